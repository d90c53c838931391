//! The GPU's code: `kernels/one_hot.cu`.

use crate::ops::packs::launch as launch_threads;
use crate::tape::Launcher;

pub(super) fn launch(launcher: &mut Launcher<'_>) {
    let shape = launcher.output_shape(0);
    let arguments = vec![launcher.input(0), launcher.output(0), shape.channels().into(), shape.count().into()];
    launch_threads(launcher, "one_hot_f32".to_string(), shape.count(), arguments);
}
