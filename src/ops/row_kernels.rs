//! What the kernels over rows of logits share on the host's side: `kernels/rows.cuh`, `kernels/loss.cu`.

use crate::ops::case::Probe;
use crate::tape::{Argument, Launcher, ValueId};

/// Rows, a warp each, of a block: `ROW_WARPS` in `kernels/rows.cuh`.
pub(crate) const ROW_WARPS: usize = 4;
/// Threads of a block.
pub(crate) const ROW_THREADS: u32 = 32 * ROW_WARPS as u32;

/// Launches `kernel` with a warp for each of `rows` rows.
pub(crate) fn launch_rows(launcher: &mut Launcher<'_>, kernel: String, rows: usize, arguments: Vec<Argument>) {
    launcher.launch(kernel, [rows.div_ceil(ROW_WARPS), 1, 1], ROW_THREADS, arguments);
}

/// Bytes of the losses of all rows, in f64.
pub(crate) fn loss_workspace(rows: usize) -> usize {
    8 * rows
}

/// Launches the sum of the workspace's losses, times `factor`, into output 0.
pub(crate) fn launch_loss(launcher: &mut Launcher<'_>, rows: usize, factor: f64) {
    let losses = launcher.workspace(0, loss_workspace(rows));
    let arguments = vec![losses, launcher.output(0), rows.into(), factor.into()];
    launcher.launch(format!("loss_{}", launcher.output_dtype(0)), [1, 1, 1], 32, arguments);
}

/// Logits `[rows, classes]` for the kernels' cases. Rows lie around 0, 80, 160, -80 in turn, far beyond what an exponential
/// bears that is taken without subtracting the largest; every fifth row reaches from -80 to 80 itself.
pub(crate) fn logits(probe: &mut Probe<'_>, name: &str, rows: usize, classes: usize) -> ValueId {
    let mut values = probe.normal(rows * classes);
    for (row, values) in values.chunks_exact_mut(classes).enumerate() {
        let (around, spread) = ([0.0, 80.0, 160.0, -80.0][row % 4], if row % 5 == 4 { 40.0 } else { 2.0 });
        values.iter_mut().for_each(|z| *z = (around + spread * *z).clamp(around - 80.0, around + 80.0));
    }
    probe.float_of(name, [rows, classes], values)
}

/// Labels `[rows]` that visit the classes out of step with the rows.
pub(crate) fn labels(probe: &mut Probe<'_>, rows: usize, classes: usize) -> ValueId {
    let values = (0..rows).map(|row| ((7 * row + 2) % classes) as u32).collect();
    probe.integers("labels", [rows], values)
}

/// An output of the operation recorded last: gradients that are saved by the forward pass.
pub(crate) fn last_output(probe: &Probe<'_>, index: usize) -> ValueId {
    probe.tape.nodes().last().expect("something was recorded").outputs[index]
}
