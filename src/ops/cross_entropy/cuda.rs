//! The GPU's code: `kernels/cross_entropy.cu`, `kernels/loss.cu`.

use super::CrossEntropy;
use crate::ops::row_kernels::{launch_loss, launch_rows, loss_workspace};
use crate::tape::Launcher;

pub(super) fn launch(launcher: &mut Launcher<'_>, op: &CrossEntropy) {
    let (dtype, shape) = (launcher.input_dtype(0), launcher.input_shape(0));
    let (rows, classes) = (shape.rows(), shape.channels());
    let arguments = vec![
        launcher.input(0),
        launcher.input(1),
        launcher.output(1),
        launcher.workspace(0, loss_workspace(rows)),
        rows.into(),
        classes.into(),
        (1.0 - op.smoothing).into(),
        (op.smoothing / classes as f64).into(),
    ];
    launch_rows(launcher, format!("cross_entropy_{dtype}"), rows, arguments);
    launch_loss(launcher, rows, 1.0 / rows as f64);
}
