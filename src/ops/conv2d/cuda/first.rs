//! Convolutions over few input channels: `kernels/conv_first.cu`.

use std::fmt;

use super::super::Conv2dGeometry;
use super::{Besides, Chunked, ConvShape, Split, usual_first};
use crate::tape::Launcher;

/// Forward: pixels of a tile.
const PIXELS: usize = 128;

/// Forward: columns and threads of a tile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    columns: usize,
    threads: u32,
}

const NARROW: Tile = Tile { columns: 16, threads: 64 };
const WIDE: Tile = Tile { columns: 32, threads: 128 };

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PIXELS}x{}", self.columns)
    }
}

/// Weight gradient: rows, columns and threads of a tile.
const ROWS: usize = 32;
const COLUMNS: usize = 16;
const THREADS: u32 = 32;

/// The tiles of the forward pass, the usual one first.
pub(super) fn fprop_tiles(geometry: &Conv2dGeometry) -> Vec<Tile> {
    usual_first(if geometry.out_channels <= NARROW.columns { NARROW } else { WIDE }, [NARROW, WIDE])
}

pub(super) fn fprop(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry, besides: Besides) {
    let [rows, columns] = geometry.output();
    let tile = fprop_tiles(geometry)[launcher.variant()];
    let down = (geometry.batch * rows * columns).div_ceil(PIXELS);
    let mut arguments = besides.arguments(launcher, None, true);
    arguments.push(ConvShape::from(geometry).into());
    let kernel = format!("conv_first_fprop_{tile}_{}", launcher.input_dtype(0));
    launcher.launch(kernel, [down, geometry.out_channels.div_ceil(tile.columns), 1], tile.threads, arguments);
}

/// Tiles of the weight gradient: of the rows of the weights (and the bias) as a matrix, of channels.
fn tiles(geometry: &Conv2dGeometry, with_bias: bool) -> [usize; 2] {
    let rows = geometry.weight_count() / geometry.out_channels + usize::from(with_bias);
    [rows.div_ceil(ROWS), geometry.out_channels.div_ceil(COLUMNS)]
}

/// The ways to make the weight gradient, the usual one first.
pub(super) fn wgrads(geometry: &Conv2dGeometry, with_bias: bool) -> Vec<Chunked<&'static str>> {
    let [down, across] = tiles(geometry, with_bias);
    Chunked::all(vec!["32x16"], |_, blocks| Split::new(geometry, with_bias, blocks.div_ceil(down * across), 64, 16))
}

pub(super) fn wgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let with_bias = launcher.output_count() > 1;
    let split = wgrads(geometry, with_bias)[launcher.variant()].split;
    let kernel = format!("conv_first_wgrad_{}", launcher.input_dtype(0));
    split.launch(launcher, geometry, &kernel, tiles(geometry, with_bias), THREADS, None);
}
