//! What the kernels are counted and timed on: noise for a feature map, and choices among SoKD's sub-policies.

use super::Distribution;
use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    let mut all = Vec::new();
    for (distribution, name) in [
        (Distribution::Uniform, "random, uniform: 16x16x128"),
        (Distribution::Normal, "random, normal: 16x16x128"),
        (Distribution::Gumbel, "random, Gumbel: 16x16x128"),
        (Distribution::Logistic, "random, logistic: 16x16x128"),
    ] {
        all.push(workload(name, Storage::F32, move |probe| {
            let number = probe.integers("number", [1], vec![7]);
            probe.tape.set_randomness(1, number);
            let y = probe.tape.random(distribution, [batch, 16, 16, 128])?;
            keep(probe, y);
            Ok(())
        }));
    }
    all.push(workload("random_permutation: 512", Storage::F32, |probe| {
        let number = probe.integers("number", [1], vec![7]);
        probe.tape.set_randomness(1, number);
        let y = probe.tape.random_permutation(512)?;
        keep(probe, y);
        Ok(())
    }));
    all
}
