//! What the kernels are counted and timed on: feature maps over pixels, channels and everything.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep, keep_gradients, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    let map = [batch, 16, 16, 64];
    let mut all: Vec<Case> = [("pixels", &[1, 2][..]), ("channels", &[3]), ("everything", &[0, 1, 2, 3])]
        .into_iter()
        .map(|(name, axes)| {
            workload(&format!("sum: 16x16x64 over {name}"), Storage::F32, move |probe| {
                let x = probe.float("x", map);
                let y = probe.tape.sum(x, axes)?;
                keep(probe, y);
                Ok(())
            })
        })
        .collect();
    all.push(workload("max: 32x32x64 over pixels", Storage::F32, move |probe| {
        let x = probe.float("x", [batch, 1024, 64]);
        let y = probe.tape.max(x, 1)?;
        keep(probe, y);
        Ok(())
    }));
    all.push(workload("max: 8x8x64 over channels", Storage::F32, move |probe| {
        let x = probe.float("x", [batch, 8, 8, 64]);
        let y = probe.tape.max(x, 3)?;
        keep_gradients(probe, y, &[x])
    }));
    all
}
