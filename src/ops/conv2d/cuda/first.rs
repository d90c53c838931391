//! Convolutions over few input channels: `kernels/conv_first.cu`.

use super::super::Conv2dGeometry;
use super::{Besides, ConvShape, Split};
use crate::tape::Launcher;

/// Forward: pixels of a tile.
const PIXELS: usize = 128;
/// Weight gradient: rows, columns and threads of a tile.
const ROWS: usize = 32;
const COLUMNS: usize = 16;
const THREADS: u32 = 32;

pub(super) fn fprop(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry, besides: Besides) {
    let [rows, columns] = geometry.output();
    let (width, threads) = if geometry.out_channels <= 16 { (16, 64) } else { (32, 128) };
    let down = (geometry.batch * rows * columns).div_ceil(PIXELS);
    let mut arguments = besides.arguments(launcher, None, true);
    arguments.push(ConvShape::from(geometry).into());
    let kernel = format!("conv_first_fprop_{PIXELS}x{width}_{}", launcher.input_dtype(0));
    launcher.launch(kernel, [down, geometry.out_channels.div_ceil(width), 1], threads, arguments);
}

/// Tiles of the weight gradient: of the rows of the weights (and the bias) as a matrix, of channels.
fn tiles(geometry: &Conv2dGeometry, with_bias: bool) -> [usize; 2] {
    let rows = geometry.weight_count() / geometry.out_channels + usize::from(with_bias);
    [rows.div_ceil(ROWS), geometry.out_channels.div_ceil(COLUMNS)]
}

pub(super) fn split(geometry: &Conv2dGeometry, with_bias: bool) -> Split {
    let [down, across] = tiles(geometry, with_bias);
    Split::new(geometry, with_bias, down * across, 64, 16)
}

pub(super) fn wgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let with_bias = launcher.output_count() > 1;
    let kernel = format!("conv_first_wgrad_{}", launcher.input_dtype(0));
    split(geometry, with_bias).launch(launcher, geometry, &kernel, tiles(geometry, with_bias), THREADS, None);
}
