//! The GPU's code: `kernels/grid_sample.cu`.

use crate::ops::packs::{THREADS, launch};
use crate::tape::Launcher;

pub(super) fn forward(launcher: &mut Launcher<'_>) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let points = shape.count() / 2;
    let arguments = vec![launcher.input(0), launcher.output(0), points.into(), shape[1].into(), shape[2].into()];
    launch(launcher, format!("affine_grid_{dtype}"), points, arguments);
}

pub(super) fn backward(launcher: &mut Launcher<'_>) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.input_shape(0));
    let arguments = vec![launcher.input(0), launcher.output(0), shape[1].into(), shape[2].into()];
    launcher.launch(format!("affine_grid_backward_{dtype}"), [shape[0], 1, 1], THREADS as u32, arguments);
}
