//! Grouped convolutions: `kernels/conv_grouped.cu`.

use super::super::Conv2dGeometry;
use super::{Besides, Chunked, ConvShape, Split, optional, phases};
use crate::tape::Launcher;

/// Rows of a tile forward and backward, rows of one of the weight gradient; columns and threads of all.
const PIXELS: usize = 128;
const ROWS: usize = 64;
const COLUMNS: usize = 16;
const THREADS: u32 = 64;

pub(super) fn fprop(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry, besides: Besides) {
    let [rows, columns] = geometry.output();
    let tiles = geometry.outputs_per_group().div_ceil(COLUMNS) * geometry.groups;
    let grid = [(geometry.batch * rows * columns).div_ceil(PIXELS), tiles, 1];
    let mut arguments = besides.arguments(launcher, None, true);
    arguments.push(ConvShape::from(geometry).into());
    launcher.launch(format!("conv_grouped_fprop_{}", launcher.input_dtype(0)), grid, THREADS, arguments);
}

pub(super) fn dgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let (phases, pixels) = phases(geometry);
    let tiles = geometry.channels_per_group().div_ceil(COLUMNS) * geometry.groups;
    let addend = optional(launcher, 2);
    let shape = ConvShape::from(geometry).into();
    let arguments = vec![launcher.input(0), launcher.input(1), addend, launcher.output(0), shape];
    let kernel = format!("conv_grouped_dgrad_{}", launcher.input_dtype(0));
    launcher.launch(kernel, [pixels.div_ceil(PIXELS), tiles, phases], THREADS, arguments);
}

/// Tiles of the weight gradient: of the rows of the weights (and the bias) as a matrix, of channels.
fn tiles(geometry: &Conv2dGeometry, with_bias: bool) -> [usize; 2] {
    let rows = geometry.weight_count() / geometry.out_channels + usize::from(with_bias);
    [rows.div_ceil(ROWS), geometry.outputs_per_group().div_ceil(COLUMNS) * geometry.groups]
}

/// The ways to make the weight gradient, the usual one first.
pub(super) fn wgrads(geometry: &Conv2dGeometry, with_bias: bool) -> Vec<Chunked<&'static str>> {
    let [down, across] = tiles(geometry, with_bias);
    Chunked::all(vec!["64x16"], |_, blocks| Split::new(geometry, with_bias, blocks.div_ceil(down * across), 64, 8))
}

pub(super) fn wgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let with_bias = launcher.output_count() > 1;
    let split = wgrads(geometry, with_bias)[launcher.variant()].split;
    let kernel = format!("conv_grouped_wgrad_{}", launcher.input_dtype(0));
    split.launch(launcher, geometry, &kernel, tiles(geometry, with_bias), THREADS, None);
}
