//! What the kernels are checked on.

use crate::ops::case::{Case, Probe, Storage, Tolerance};
use crate::ops::row_kernels::{labels, last_output, logits};
use crate::tape::ValueId;

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, classes) in [(1, 3), (5, 10), (33, 100), (5, 257)] {
        for smoothing in [0.0, 0.1] {
            let name = format!("cross_entropy {rows}x{classes} smoothing {smoothing}");
            cases.push(Case::new(name, Storage::F32, move |probe| {
                let logits = logits(probe, "logits", rows, classes);
                record(probe, logits, [rows, classes], smoothing)
            }));
        }
    }
    // A class that is ruled out costs nothing where it is not the label.
    cases.push(Case::new("cross_entropy without a class", Storage::F32, |probe| {
        let logits = [[1.0, f64::NEG_INFINITY, 0.5], [f64::NEG_INFINITY, 0.25, 2.0]].concat();
        let logits = probe.float_of("logits", [2, 3], logits);
        record(probe, logits, [2, 3], 0.0)
    }));
    cases
}

fn record(
    probe: &mut Probe<'_>,
    logits: ValueId,
    [rows, classes]: [usize; 2],
    smoothing: f64,
) -> crate::error::Result<()> {
    let labels = labels(probe, rows, classes);
    let loss = probe.tape.cross_entropy(logits, labels, smoothing)?;
    let gradient = last_output(probe, 1);
    probe.check("loss", loss, Tolerance::sum(classes));
    probe.check("gradient", gradient, Tolerance::sum(classes));
    Ok(())
}
