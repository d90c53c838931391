//! What the kernels are counted and timed on: SoKD's policy with its network, and a parameter of several pieces.

use super::{AdamOptions, AdamParameter};
use crate::ops::case::{Case, Storage};
use crate::ops::sgd::Watch;
use crate::ops::workloads::workload;

pub(in crate::ops) fn workloads(_batch: usize) -> Vec<Case> {
    vec![workload("adam: SoKD's policy and 64x1024", Storage::F32, |probe| {
        let parameters: Vec<AdamParameter> = [70, 35, 70, 105 * 100, 100, 100, 1, 64 * 1024]
            .into_iter()
            .map(|count| AdamParameter {
                weight: probe.float("weight", [count]),
                gradient: probe.float("gradient", [count]),
                first: probe.float_of("first", [count], vec![0.0; count]),
                second: probe.float_of("second", [count], vec![0.0; count]),
            })
            .collect();
        let rate = probe.float_of("rate", [], vec![3e-4]);
        let steps = probe.integers("steps", [1], vec![0]);
        let watch = Watch {
            loss: probe.float_of("loss", [], vec![2.0]),
            number: probe.integers("number", [1], vec![0]),
            broken: probe.integers("broken", [1], vec![0]),
        };
        let options = AdamOptions { betas: [0.5, 0.999], weight_decay: 1e-3, ..AdamOptions::default() };
        probe.tape.adam(&parameters, rate, steps, watch, options)
    })]
}
