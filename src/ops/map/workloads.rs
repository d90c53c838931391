//! What the kernels are counted and timed on: a feature map of float32, as methods of features have it.

use super::Function;
use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep_gradients, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    let functions = [("tanh", Function::Tanh), ("square", Function::Square)];
    let of = |(name, function)| {
        workload(&format!("map {name}: 8x8x64"), Storage::F32, move |probe| {
            let x = probe.float("x", [batch, 8, 8, 64]);
            let y = probe.tape.map(x, function)?;
            keep_gradients(probe, y, &[x])
        })
    };
    functions.into_iter().map(of).collect()
}
