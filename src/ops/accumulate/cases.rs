//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let case = |count: usize| {
        Case::new(format!("accumulate {count}"), Storage::F32, move |probe| {
            let x = probe.float("x", [count]);
            let before = probe.normal(count).iter().map(|total| 1e6 * total).collect();
            let total = probe.totals("total", [count], before);
            probe.updates_within(Tolerance::EXACT);
            probe.tape.accumulate_into(x, total)
        })
    };
    [1, 7, 300].map(case).into()
}
