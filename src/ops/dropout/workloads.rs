//! What dropout costs: the head of AMTML-KD's VGG19, and a map.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep_gradients, workload};
use crate::tensor::Shape;

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    let of = |name: &str, storage, shape: Shape| {
        workload(name, storage, move |probe| {
            let x = probe.activation("x", shape);
            let number = probe.integers("number", [1], vec![7]);
            probe.tape.set_randomness(1, number);
            let y = probe.tape.dropout(x, 0.5)?;
            keep_gradients(probe, y, &[x])
        })
    };
    vec![
        of("dropout: 4096", Storage::F32, Shape::from([batch, 4096])),
        of("dropout: 32x32x16", Storage::Bf16, Shape::from([batch, 32, 32, 16])),
    ]
}
