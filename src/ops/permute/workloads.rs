//! Permutations as methods record them.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    let case = |name: &str, axes: &'static [usize]| {
        workload(name, Storage::F32, move |probe| {
            let x = probe.float("x", [batch, 32, 32, 16]);
            let y = probe.tape.permute(x, axes)?;
            keep(probe, y);
            Ok(())
        })
    };
    vec![
        case("permute: channels before pixels of 32x32x16", &[0, 3, 1, 2]),
        case("permute: rows before images of 32x32x16", &[1, 0, 2, 3]),
    ]
}
