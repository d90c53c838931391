//! Labels as methods record them.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{CLASSES, keep, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    vec![workload("one_hot: 100 classes", Storage::F32, move |probe| {
        let labels = probe.integers("labels", [batch], (0..batch).map(|row| (7 * row % CLASSES) as u32).collect());
        let y = probe.tape.one_hot(labels, CLASSES)?;
        keep(probe, y);
        Ok(())
    })]
}
