//! Feature maps that are brought to one size.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep_gradients, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    [false, true]
        .map(|bilinear| {
            let mode = if bilinear { "bilinear" } else { "nearest" };
            workload(&format!("resize_{mode}: 8x8x32 to 16x16"), Storage::F32, move |probe| {
                let x = probe.float("x", [batch, 8, 8, 32]);
                let y = match bilinear {
                    true => probe.tape.resize_bilinear(x, 16, 16)?,
                    false => probe.tape.resize_nearest(x, 16, 16)?,
                };
                keep_gradients(probe, y, &[x])
            })
        })
        .into()
}
