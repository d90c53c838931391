//! What the kernels are counted and timed on: feature maps with a number per image and channel, and images with one per
//! channel.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep_gradients, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    vec![
        workload("multiply: 16x16x16 by images and channels", Storage::F32, move |probe| {
            let (x, gate) = (probe.float("x", [batch, 16, 16, 16]), probe.float("gate", [batch, 1, 1, 16]));
            let y = probe.tape.multiply(x, gate)?;
            keep_gradients(probe, y, &[x, gate])
        }),
        workload("multiply: 32x32x3 by channels", Storage::F32, move |probe| {
            let (x, gate) = (probe.float("x", [batch, 32, 32, 3]), probe.float("gate", [3]));
            let y = probe.tape.multiply(x, gate)?;
            keep_gradients(probe, y, &[x, gate])
        }),
    ]
}
