//! What the kernels are counted and timed on: a shuffle of the channels that SoKD augments.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep_gradients, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    vec![workload("gather_channels: 16x16x128", Storage::F32, move |probe| {
        let x = probe.float("x", [batch, 16, 16, 128]);
        let indices = probe.integers("indices", [128], (0..128).map(|channel| channel * 37 % 128).collect());
        let y = probe.tape.gather_channels(x, indices)?;
        keep_gradients(probe, y, &[x])
    })]
}
