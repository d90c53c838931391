//! The GPU's code: `kernels/kl_divergence.cu`, `kernels/loss.cu`.

use super::KlDivergence;
use crate::ops::row_kernels::{launch_loss, launch_rows, loss_workspace};
use crate::tape::Launcher;

pub(super) fn launch(launcher: &mut Launcher<'_>, op: &KlDivergence) {
    let (dtype, shape) = (launcher.input_dtype(0), launcher.input_shape(0));
    let (rows, temperature) = (shape.rows(), op.temperature);
    let arguments = vec![
        launcher.input(0),
        launcher.input(1),
        launcher.output(1),
        launcher.workspace(0, loss_workspace(rows)),
        rows.into(),
        shape.channels().into(),
        ((1.0 / temperature) as f32).into(),
        ((temperature / rows as f64) as f32).into(),
    ];
    launch_rows(launcher, format!("kl_divergence_{dtype}"), rows, arguments);
    launch_loss(launcher, rows, temperature * temperature / rows as f64);
}
