//! What the kernels are counted and timed on: SoKD turns a teacher's features by one map for all.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep_gradients, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    vec![workload("grid_sample: 16x16x128, rotated", Storage::F32, move |probe| {
        let x = probe.float("x", [batch, 16, 16, 128]);
        let (sine, cosine) = 0.3f64.sin_cos();
        let theta = probe.float_of("theta", [1, 2, 3], vec![cosine, -sine, 0.0, sine, cosine, 0.0]);
        let grid = probe.tape.affine_grid(theta, 16, 16)?;
        let y = probe.tape.grid_sample(x, grid)?;
        keep_gradients(probe, y, &[x, grid])
    })]
}
