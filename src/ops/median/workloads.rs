//! What the kernel is counted and timed on: the confidences of a batch, and every class over a batch.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{CLASSES, keep, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    let of = |(name, shape): (&str, [usize; 2])| {
        workload(&format!("median: {name}"), Storage::F32, move |probe| {
            let x = probe.float("x", shape);
            let y = probe.tape.median(x, 0)?;
            keep(probe, y);
            Ok(())
        })
    };
    [("a batch", [batch, 1]), ("100 classes", [batch, CLASSES])].into_iter().map(of).collect()
}
