//! What the kernels are counted and timed on: feature maps with one number per channel, and distributions of a batch with
//! one per image.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{CLASSES, keep, keep_gradients, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    vec![
        workload("multiply: 8x8x64 by channels", Storage::F32, move |probe| {
            let (x, gate) = (probe.float("x", [batch, 8, 8, 64]), probe.float("gate", [batch, 1, 1, 64]));
            let y = probe.tape.multiply(x, gate)?;
            keep_gradients(probe, y, &[x, gate])
        }),
        workload("subtract: all pairs of rows of 101", Storage::F32, move |probe| {
            // Differences of all pairs of features.
            let (a, b) = (probe.float("a", [batch, 1, CLASSES + 1]), probe.float("b", [1, batch, CLASSES + 1]));
            let y = probe.tape.subtract(a, b)?;
            keep(probe, y);
            Ok(())
        }),
    ]
}
