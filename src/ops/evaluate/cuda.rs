//! The GPU's code: `kernels/evaluate.cu`.

use crate::ops::row_kernels::launch_rows;
use crate::tape::Launcher;

/// Bytes of every row's cross-entropy (float32) and rank (u32).
pub(super) fn workspace(rows: usize) -> usize {
    8 * rows
}

pub(super) fn launch(launcher: &mut Launcher<'_>) {
    let (dtype, shape) = (launcher.input_dtype(0), launcher.input_shape(0));
    let (rows, classes) = (shape.rows(), shape.channels());
    let (losses, ranks) = (launcher.workspace(0, 4 * rows), launcher.workspace(4 * rows, 4 * rows));
    let (labels, valid) = (launcher.input(1), launcher.input(2));
    let sizes = [rows.into(), classes.into()];
    let mut arguments = vec![launcher.input(0), labels.clone(), valid.clone(), losses.clone(), ranks.clone()];
    arguments.extend(sizes.clone());
    launch_rows(launcher, format!("evaluate_rows_{dtype}"), rows, arguments);
    let mut arguments = vec![losses, ranks, labels, valid, launcher.output(0)];
    arguments.extend(sizes);
    // A warp for each class, and one for the batch.
    launch_rows(launcher, "evaluate_counters".into(), classes + 1, arguments);
}
