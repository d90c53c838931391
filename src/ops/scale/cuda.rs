//! The GPU's code: `kernels/scale.cu`.

use crate::ops::packs::{lanes, launch};
use crate::tape::Launcher;

pub(super) fn scale(launcher: &mut Launcher<'_>, factor: f64) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let arguments = vec![launcher.input(0), launcher.output(0), (factor as f32).into(), count.into()];
    launch(launcher, format!("scale_{dtype}"), count.div_ceil(lanes(dtype)), arguments);
}

pub(super) fn scale_by(launcher: &mut Launcher<'_>) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0), count.into()];
    launch(launcher, format!("scale_by_{dtype}"), count.div_ceil(lanes(dtype)), arguments);
}
