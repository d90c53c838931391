//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Whole packs, a rest behind the last one, threads that begin right behind the end.
        for count in [2048, 2053, 3, 1028] {
            cases.push(Case::new(format!("add {count}"), storage, move |probe| {
                let (a, b) = (probe.activation("a", [count]), probe.activation("b", [count]));
                let sum = probe.tape.add(a, b)?;
                // One rounding.
                probe.check("sum", sum, Tolerance { f32: 1.0 / f64::from(1 << 24), bf16: Tolerance::BF16_ROUNDING });
                Ok(())
            }));
        }
    }
    cases
}
