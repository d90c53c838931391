//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Moved by 16 bytes, by two elements, one by one.
        for widths in [[16, 24, 8], [6, 14, 58], [3, 16, 22]] {
            cases.push(Case::new(format!("split {widths:?}"), storage, move |probe| {
                let x = probe.activation("x", [3, 5, 7, widths.iter().sum()]);
                for part in probe.tape.split(x, &widths)? {
                    probe.check("part", part, Tolerance::EXACT);
                }
                Ok(())
            }));
        }
    }
    cases
}
