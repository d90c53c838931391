//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Whole batches, padded ones, none, and a count beyond the batch.
    for (rows, classes, valid) in
        [(1, 3, 1), (5, 10, 4), (33, 100, 33), (33, 5, 40), (70, 6, 65), (5, 257, 5), (5, 10, 0)]
    {
        for broken in [false, true] {
            let name = format!("evaluate {valid} of {rows}x{classes}{}", if broken { " with NaN" } else { "" });
            cases.push(Case::new(name, Storage::F32, move |probe| {
                // Halves: many classes share a logit, also with the label's, which is among the first in many rows.
                let mut logits: Vec<f64> =
                    probe.normal(rows * classes).iter().map(|z| (4.0 * z).round() / 2.0).collect();
                let labels: Vec<u32> = (0..rows).map(|row| ((7 * row + 2) % classes) as u32).collect();
                // Some rows reach so far that exponentials overflow if not the largest is taken off.
                logits.chunks_exact_mut(classes).skip(1).step_by(3).flatten().for_each(|z| *z *= 50.0);
                for (row, label) in labels.iter().enumerate() {
                    logits[row * classes + *label as usize] += [0.0, 1.5, 3.0][row % 3];
                }
                if broken {
                    logits[labels[0] as usize] = f64::NAN;
                    if rows > 1 {
                        logits[classes + (labels[1] as usize + 1) % classes] = f64::NAN;
                    }
                }
                let logits = probe.float_of("logits", [rows, classes], logits);
                let labels = probe.integers("labels", [rows], labels);
                let valid = probe.integers("valid", [1], vec![valid]);
                let counters = 4 + 2 * classes;
                let before = (0..counters).map(|index| index as f64).collect();
                let counters = probe.totals("counters", [counters], before);
                probe.updates_within(Tolerance::sum(classes));
                probe.tape.evaluate(logits, labels, valid, counters)
            }));
        }
    }
    cases
}
