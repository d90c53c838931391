//! Dense convolutions on tensor cores: `kernels/conv_tensor.cu` and `kernels/conv_tensor_wgrad.cu`. bf16 activations
//! are multiplied as they are, float32 ones rounded to TF32.

use std::fmt;

use bytemuck::{Pod, Zeroable};

use super::super::Conv2dGeometry;
use super::{Besides, Chunked, NULL, Split, optional, usual_first};
use crate::tape::{Argument, Launcher};
use crate::tensor::DType;

/// Threads of a block: four warps.
const THREADS: u32 = 128;

/// Blocks that keep a GPU busy: with fewer of the large tiles, smaller ones share the work better.
const BLOCKS: usize = 64;

/// `Tap` of `kernels/conv_tensor.cuh`: where a filter tap reads, relative to the pixel that a row starts from.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
struct Tap {
    row: i32,
    column: i32,
    /// The same in pixels of the source.
    offset: i32,
    /// Its number among the weights.
    weight: u32,
}

/// `Class` of `kernels/conv_tensor.cu`: pixels of the target that see the same taps.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
struct Class {
    rows: u32,
    columns: u32,
    row: u32,
    column: u32,
    first: u32,
    count: u32,
}

/// `Convolution` of `kernels/conv_tensor.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Convolution {
    images: u32,
    source: [u32; 3],
    target: [u32; 3],
    source_step: [u32; 2],
    target_step: [u32; 2],
}

/// `Correlation` of `kernels/conv_tensor_wgrad.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Correlation {
    source: [u32; 3],
    target: [u32; 3],
    step: [u32; 2],
    pixels: u32,
    chunk: u32,
    taps: u32,
    bias: u32,
    len: u32,
    ahead: [u32; 3],
}

/// A block's share of the matrix of results, and the kernels' suffix that names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    name: &'static str,
    rows: usize,
    columns: usize,
}

impl Tile {
    const LARGE: Self = Self { name: "128x64", rows: 128, columns: 64 };
    const SMALL: Self = Self { name: "64x64", rows: 64, columns: 64 };
    const NARROW: Self = Self { name: "128x32", rows: 128, columns: 32 };
    const SLIM: Self = Self { name: "128x16", rows: 128, columns: 16 };
    const ANY: Self = Self { name: "any", rows: 64, columns: 64 };

    /// The tiles for so many columns, the usual one first; `large` says whether many rows call for a large one.
    fn all(geometry: &Conv2dGeometry, dtype: DType, columns: usize, large: impl Fn(&Self) -> bool) -> Vec<Self> {
        if !in_packs(geometry, dtype) {
            return vec![Self::ANY];
        }
        let others = [Self::LARGE, Self::SMALL, Self::NARROW];
        let slim = (dtype == DType::BF16).then_some(Self::SLIM);
        let usual = if columns <= 16 && dtype == DType::BF16 {
            Self::SLIM
        } else if columns <= 32 {
            Self::NARROW
        } else if large(&Self::LARGE) {
            Self::LARGE
        } else {
            Self::SMALL
        };
        usual_first(usual, others.into_iter().chain(slim))
    }

    /// How many of them cover `rows` times `columns` results.
    fn cover(&self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows) * columns.div_ceil(self.columns)
    }

    /// The name of a pass's kernel.
    fn kernel(&self, pass: &str, dtype: DType) -> String {
        let suffix = if dtype == DType::BF16 { "bf16" } else { "tf32" };
        format!("conv_tensor_{pass}_{}_{suffix}", self.name)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Whether the channels come in whole packs of 16 bytes, without which there is no kernel for TF32.
pub(super) fn in_packs(geometry: &Conv2dGeometry, dtype: DType) -> bool {
    let lanes = 16 / dtype.size();
    geometry.in_channels.is_multiple_of(lanes) && geometry.out_channels.is_multiple_of(lanes)
}

/// The taps as the forward pass sees them, from the input pixel that an output starts at.
fn taps(geometry: &Conv2dGeometry) -> Vec<Tap> {
    let [kernel_rows, kernel_columns] = geometry.kernel;
    let each = (0..kernel_rows).flat_map(|row| (0..kernel_columns).map(move |column| [row, column]));
    each.zip(0..)
        .map(|(tap, weight)| {
            let at = |axis: usize| (tap[axis] * geometry.dilation[axis]) as i32 - geometry.padding[axis] as i32;
            Tap { row: at(0), column: at(1), offset: at(0) * geometry.width as i32 + at(1), weight }
        })
        .collect()
}

/// The classes of input pixels, by their remainder over the stride, and the taps that each class sees.
fn classes(geometry: &Conv2dGeometry) -> (Vec<Class>, Vec<Tap>) {
    let [_, out_columns] = geometry.output();
    let extents = [geometry.height, geometry.width];
    let (mut classes, mut taps) = (Vec::new(), Vec::new());
    // Along one axis: (tap, output that it reads from, relative to the class's own count).
    let seen = |axis: usize, remainder: usize| {
        let stride = geometry.stride[axis] as i32;
        let steps = (0..geometry.kernel[axis]).map(move |tap| {
            let distance = (remainder + geometry.padding[axis]) as i32 - (tap * geometry.dilation[axis]) as i32;
            (tap, distance)
        });
        let met = steps.filter(move |(_, distance)| distance % stride == 0);
        met.map(move |(tap, distance)| (tap, distance / stride)).collect::<Vec<_>>()
    };
    for row in 0..geometry.stride[0].min(extents[0]) {
        for column in 0..geometry.stride[1].min(extents[1]) {
            let first = taps.len() as u32;
            for (kernel_row, y) in seen(0, row) {
                taps.extend(seen(1, column).into_iter().map(|(kernel_column, x)| Tap {
                    row: y,
                    column: x,
                    offset: y * out_columns as i32 + x,
                    weight: (kernel_row * geometry.kernel[1] + kernel_column) as u32,
                }));
            }
            classes.push(Class {
                rows: (extents[0] - row).div_ceil(geometry.stride[0]) as u32,
                columns: (extents[1] - column).div_ceil(geometry.stride[1]) as u32,
                row: row as u32,
                column: column as u32,
                first,
                count: taps.len() as u32 - first,
            });
        }
    }
    (classes, taps)
}

fn pair([rows, columns]: [usize; 2]) -> [u32; 2] {
    [rows as u32, columns as u32]
}

fn input_map(geometry: &Conv2dGeometry) -> [u32; 3] {
    [geometry.height, geometry.width, geometry.in_channels].map(|extent| extent as u32)
}

fn output_map(geometry: &Conv2dGeometry) -> [u32; 3] {
    let [rows, columns] = geometry.output();
    [rows, columns, geometry.out_channels].map(|extent| extent as u32)
}

/// The one class of the forward pass.
fn own_class(geometry: &Conv2dGeometry) -> Class {
    let ([rows, columns], [down, across]) = (geometry.output(), geometry.kernel);
    Class { rows: rows as u32, columns: columns as u32, row: 0, column: 0, first: 0, count: (down * across) as u32 }
}

/// The tiles for `columns` columns and the rows of `classes`, the usual one first.
fn tiles(geometry: &Conv2dGeometry, dtype: DType, columns: usize, classes: &[Class]) -> Vec<Tile> {
    let rows = |class: &Class| geometry.batch * class.rows as usize * class.columns as usize;
    let blocks = |tile: &Tile| classes.iter().map(|class| tile.cover(rows(class), columns)).sum::<usize>();
    Tile::all(geometry, dtype, columns, |large| blocks(large) >= BLOCKS)
}

/// The tiles of the forward pass, the usual one first.
pub(super) fn fprop_tiles(geometry: &Conv2dGeometry, dtype: DType) -> Vec<Tile> {
    tiles(geometry, dtype, geometry.out_channels, &[own_class(geometry)])
}

/// The tiles of the input gradient, the usual one first.
pub(super) fn dgrad_tiles(geometry: &Conv2dGeometry, dtype: DType) -> Vec<Tile> {
    tiles(geometry, dtype, geometry.in_channels, &classes(geometry).0)
}

/// The forward pass.
pub(super) fn fprop(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry, besides: Besides) {
    let shape = Convolution {
        images: geometry.batch as u32,
        source: input_map(geometry),
        target: output_map(geometry),
        source_step: pair(geometry.stride),
        target_step: [1, 1],
    };
    let arguments = besides.arguments(launcher, None, true);
    convolve(launcher, geometry, "fprop", shape, arguments, (vec![own_class(geometry)], taps(geometry)));
}

/// The input gradient: inputs `dy`, `w` and maybe an addend, output `dx`.
pub(super) fn dgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let shape = Convolution {
        images: geometry.batch as u32,
        source: output_map(geometry),
        target: input_map(geometry),
        source_step: [1, 1],
        target_step: pair(geometry.stride),
    };
    let arguments = vec![launcher.input(0), launcher.input(1), optional(launcher, 2), launcher.output(0)];
    convolve(launcher, geometry, "dgrad", shape, arguments, classes(geometry));
}

/// `arguments` are those up to the classes.
fn convolve(
    launcher: &mut Launcher<'_>,
    geometry: &Conv2dGeometry,
    pass: &str,
    shape: Convolution,
    mut arguments: Vec<Argument>,
    (classes, taps): (Vec<Class>, Vec<Tap>),
) {
    let dtype = launcher.input_dtype(0);
    let rows = |class: &Class| shape.images as usize * class.rows as usize * class.columns as usize;
    let columns = shape.target[2] as usize;
    let tile = tiles(geometry, dtype, columns, &classes)[launcher.variant()];
    let most = classes.iter().map(|class| tile.cover(rows(class), columns)).max().expect("there is a class");
    let class_count = classes.len();
    arguments.extend([
        launcher.constant(bytemuck::cast_slice(&classes)),
        launcher.constant(bytemuck::cast_slice(&taps)),
        Argument::Structure(bytemuck::bytes_of(&shape).into()),
    ]);
    launcher.launch(tile.kernel(pass, dtype), [most, class_count, 1], THREADS, arguments);
}

/// Steps of the reduction in one stage: 64 bytes of elements.
fn depth(dtype: DType) -> usize {
    64 / dtype.size()
}

/// Rows of the weight gradient as a matrix, as the kernel counts them.
fn wgrad_rows(geometry: &Conv2dGeometry, dtype: DType, with_bias: bool) -> usize {
    let channels = geometry.in_channels.next_multiple_of(16 / dtype.size());
    geometry.kernel[0] * geometry.kernel[1] * channels + usize::from(with_bias)
}

/// The ways to make the weight gradient, the usual one first: its pixels are cut into chunks of eight stages at least.
pub(super) fn wgrads(geometry: &Conv2dGeometry, dtype: DType, with_bias: bool) -> Vec<Chunked<Tile>> {
    // Many chunks keep the GPU busy whatever the tile.
    let rows = wgrad_rows(geometry, dtype, with_bias);
    let tiles = Tile::all(geometry, dtype, geometry.out_channels, |_| rows > Tile::SMALL.rows);
    Chunked::all(tiles, |tile, blocks| {
        let chunks = blocks.div_ceil(tile.cover(rows, geometry.out_channels));
        Split::new(geometry, with_bias, chunks, 8 * depth(dtype), depth(dtype))
    })
}

/// The weight gradient: inputs `x` and `dy`, outputs `dw` and maybe `d_bias`, both float32.
pub(super) fn wgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let (dtype, with_bias) = (launcher.input_dtype(0), launcher.output_count() > 1);
    let Chunked { tile, split } = wgrads(geometry, dtype, with_bias)[launcher.variant()];
    let (taps, depth, [rows, columns]) = (taps(geometry), depth(dtype), geometry.output());
    let shape = Correlation {
        source: input_map(geometry),
        target: output_map(geometry),
        step: pair(geometry.stride),
        pixels: (geometry.batch * rows * columns) as u32,
        chunk: split.pixels as u32,
        taps: taps.len() as u32,
        bias: u32::from(with_bias),
        len: split.len as u32,
        ahead: [depth / (rows * columns), depth % (rows * columns) / columns, depth % columns].map(|x| x as u32),
    };
    // What the bias's row of the left operand is filled from: one, and zeros.
    let one = match (with_bias, dtype) {
        (false, _) => NULL,
        (true, DType::BF16) => {
            let mut pack = [half::bf16::ZERO; 8];
            pack[0] = half::bf16::ONE;
            launcher.constant(bytemuck::bytes_of(&pack))
        }
        (true, _) => launcher.constant(bytemuck::bytes_of(&[1.0f32, 0.0, 0.0, 0.0])),
    };
    let arguments = vec![
        launcher.input(0),
        launcher.input(1),
        split.partials(launcher),
        launcher.constant(bytemuck::cast_slice(&taps)),
        one,
        Argument::Structure(bytemuck::bytes_of(&shape).into()),
    ];
    let tiles = tile.cover(wgrad_rows(geometry, dtype, with_bias), geometry.out_channels);
    launcher.launch(tile.kernel("wgrad", dtype), [tiles, split.chunks, 1], THREADS, arguments);
    split.sum(launcher);
}

#[cfg(test)]
mod tests;
