//! Products as methods record them.

use super::Transposed;
use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep, keep_gradients, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    let plain = Transposed::default();
    vec![
        workload("matmul: angles of 100 features", Storage::F32, move |probe| {
            let (a, b) = (probe.float("a", [batch, 100, 128]), probe.float("b", [batch, 128, 100]));
            let y = probe.tape.matmul(a, b, plain)?;
            keep_gradients(probe, y, &[a, b])
        }),
        workload("matmul: Gram matrix of 64 features of 4096", Storage::F32, move |probe| {
            let x = probe.float("x", [64, 4096]);
            let y = probe.tape.matmul(x, x, Transposed { a: false, b: true })?;
            keep(probe, y);
            Ok(())
        }),
        workload("matmul: scores of 1025 rows of 128", Storage::F32, move |probe| {
            let (rows, feature) = (probe.float("rows", [batch, 1025, 128]), probe.float("feature", [batch, 128, 1]));
            let y = probe.tape.matmul(rows, feature, plain)?;
            keep_gradients(probe, y, &[rows, feature])
        }),
    ]
}
