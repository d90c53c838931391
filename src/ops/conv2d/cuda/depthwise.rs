//! Depthwise convolutions: `kernels/conv_depthwise.cu`.

use std::fmt;

use super::super::Conv2dGeometry;
use super::{Besides, Chunked, ConvShape, NULL, Split, optional, phases, usual_first};
use crate::tape::Launcher;

/// Threads of a block, forward and backward.
const THREADS: usize = 128;
/// Of the 3x3 kernels: threads of a block, columns that a thread makes, and packs of channels that a block has at most.
const STRIP_THREADS: usize = 256;
const STRIP: usize = 4;
const STRIP_PACKS: usize = 32;
/// Weight gradient: threads of a block, and how many taps it takes on.
const WGRAD_THREADS: usize = 256;
const TAPS: usize = 9;

/// Channels that one access moves.
fn lanes(launcher: &Launcher<'_>) -> usize {
    16 / launcher.input_dtype(0).size()
}

/// Whether the 3x3 kernels with this stride fit, with `lanes` channels to a pack.
fn is_strip(geometry: &Conv2dGeometry, lanes: usize, stride: usize) -> bool {
    geometry.kernel == [3, 3]
        && geometry.dilation == [1, 1]
        && geometry.stride == [stride; 2]
        && geometry.in_channels.is_multiple_of(lanes)
}

/// Packs of channels that a block of the 3x3 kernels has, and the grid for `rows` rows of results.
fn strips(geometry: &Conv2dGeometry, lanes: usize, rows: usize, columns: usize) -> (usize, [usize; 3]) {
    let packs = geometry.in_channels / lanes;
    let parts = packs.div_ceil(STRIP_PACKS);
    let across = packs.div_ceil(parts);
    let lines = STRIP_THREADS / across;
    (across, [(geometry.batch * rows * columns.div_ceil(STRIP)).div_ceil(lines), parts, 1])
}

/// How many partial statistics the forward pass leaves at most; `None` if its kernel leaves none.
pub(super) fn most_partials(geometry: &Conv2dGeometry, lanes: usize) -> Option<usize> {
    let [rows, columns] = geometry.output();
    let fits = is_strip(geometry, lanes, 1) || is_strip(geometry, lanes, 2);
    fits.then(|| (geometry.batch * rows * columns.div_ceil(STRIP)).div_ceil(STRIP_THREADS / STRIP_PACKS))
}

/// Blocks for one thread per pack of channels and each of `places`.
fn blocks(launcher: &Launcher<'_>, geometry: &Conv2dGeometry, places: usize) -> usize {
    (geometry.in_channels.div_ceil(lanes(launcher)) * places).div_ceil(THREADS)
}

pub(super) fn fprop(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry, besides: Besides) {
    let (dtype, lanes) = (launcher.input_dtype(0), lanes(launcher));
    let [rows, columns] = geometry.output();
    let shape = ConvShape::from(geometry).into();
    if is_strip(geometry, lanes, 1) {
        let (across, grid) = strips(geometry, lanes, rows, columns);
        let mut arguments = besides.arguments(launcher, Some(NULL), true);
        arguments.extend([shape, 0u32.into(), across.into()]);
        launcher.launch(format!("conv_depthwise_3x3_s1_{dtype}"), grid, STRIP_THREADS as u32, arguments);
    } else if is_strip(geometry, lanes, 2) {
        let (across, grid) = strips(geometry, lanes, rows, columns);
        let mut arguments = besides.arguments(launcher, None, true);
        arguments.extend([shape, across.into()]);
        launcher.launch(format!("conv_depthwise_3x3_s2_{dtype}"), grid, STRIP_THREADS as u32, arguments);
    } else {
        let grid = [blocks(launcher, geometry, geometry.batch * rows * columns), 1, 1];
        let mut arguments = besides.arguments(launcher, None, false);
        arguments.push(shape);
        launcher.launch(format!("conv_depthwise_fprop_{dtype}"), grid, THREADS as u32, arguments);
    }
}

pub(super) fn dgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let dtype = launcher.input_dtype(0);
    let addend = optional(launcher, 2);
    if is_strip(geometry, lanes(launcher), 1) {
        // The forward pass from `dy` to `dx` with the kernel turned around. What is cut off there, a padding of more
        // than two, is a negative padding here: as the kernel reads it, the same bits.
        let forward = ConvShape::from(geometry);
        let turned = ConvShape {
            height: forward.out_height,
            width: forward.out_width,
            out_height: forward.height,
            out_width: forward.width,
            padding: forward.padding.map(|padding| 2u32.wrapping_sub(padding)),
            ..forward
        };
        let (source, result) = (launcher.input(0), launcher.output(0));
        let (across, grid) = strips(geometry, lanes(launcher), geometry.height, geometry.width);
        let mut arguments = vec![source, launcher.input(1), NULL, addend, result];
        let Besides { statistics, finish, .. } = Besides::none();
        arguments.push(statistics);
        arguments.extend(finish);
        arguments.extend([turned.into(), 1u32.into(), across.into()]);
        launcher.launch(format!("conv_depthwise_3x3_s1_{dtype}"), grid, STRIP_THREADS as u32, arguments);
        return;
    }
    let (phases, pixels) = phases(geometry);
    let shape = ConvShape::from(geometry).into();
    let arguments = vec![launcher.input(0), launcher.input(1), addend, launcher.output(0), shape];
    let grid = [blocks(launcher, geometry, pixels), 1, phases];
    launcher.launch(format!("conv_depthwise_dgrad_{dtype}"), grid, THREADS as u32, arguments);
}

/// How many packs of channels a block of the weight gradient has side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Across(usize);

impl fmt::Display for Across {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} packs", self.0)
    }
}

impl Across {
    const ALL: [Self; 4] = [Self(32), Self(16), Self(8), Self(4)];

    /// As many as leave the fewest of `packs` idle.
    fn fewest_idle(packs: usize) -> Self {
        Self::ALL.into_iter().min_by_key(|across| packs.next_multiple_of(across.0)).expect("there are widths")
    }

    /// Tiles of the weight gradient: of packs of channels, of taps (and the bias).
    fn tiles(self, geometry: &Conv2dGeometry, lanes: usize, with_bias: bool) -> [usize; 2] {
        let taps = geometry.kernel[0] * geometry.kernel[1] + usize::from(with_bias);
        [geometry.in_channels.div_ceil(lanes).div_ceil(self.0), taps.div_ceil(TAPS)]
    }
}

/// The ways to make the weight gradient with `lanes` channels to a pack, the usual one first.
pub(super) fn wgrads(geometry: &Conv2dGeometry, lanes: usize, with_bias: bool) -> Vec<Chunked<Across>> {
    let usual = Across::fewest_idle(geometry.in_channels.div_ceil(lanes));
    Chunked::all(usual_first(usual, Across::ALL), |across, blocks| {
        let [down, nines] = across.tiles(geometry, lanes, with_bias);
        let step = WGRAD_THREADS / across.0;
        Split::new(geometry, with_bias, blocks.div_ceil(down * nines), 4 * step, step)
    })
}

pub(super) fn wgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let (lanes, with_bias) = (lanes(launcher), launcher.output_count() > 1);
    let Chunked { tile: across, split } = wgrads(geometry, lanes, with_bias)[launcher.variant()];
    let kernel = format!("conv_depthwise_wgrad_{}", launcher.input_dtype(0));
    let tiles = across.tiles(geometry, lanes, with_bias);
    split.launch(launcher, geometry, &kernel, tiles, WGRAD_THREADS as u32, Some(across.0.into()));
}
