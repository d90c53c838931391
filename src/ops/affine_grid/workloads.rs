//! What the kernels are counted and timed on: a map for each image.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep_gradients, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    vec![workload("affine_grid: 16x16", Storage::F32, move |probe| {
        let theta = probe.float("theta", [batch, 2, 3]);
        let grid = probe.tape.affine_grid(theta, 16, 16)?;
        keep_gradients(probe, grid, &[theta])
    })]
}
