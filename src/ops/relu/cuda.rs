//! The GPU's code: `kernels/relu.cu`.

use crate::ops::packs::{NULL, lanes, launch};
use crate::tape::Launcher;

pub(super) fn relu(launcher: &mut Launcher<'_>) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let arguments = vec![launcher.input(0), launcher.output(0), count.into()];
    launch(launcher, format!("relu_{dtype}"), count.div_ceil(lanes(dtype)), arguments);
}

pub(super) fn gradient(launcher: &mut Launcher<'_>, addend: bool) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let addend = if addend { launcher.input(2) } else { NULL };
    let arguments = vec![launcher.input(0), launcher.input(1), addend, launcher.output(0), count.into()];
    launch(launcher, format!("relu_gradient_{dtype}"), count.div_ceil(lanes(dtype)), arguments);
}
