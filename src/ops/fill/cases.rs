//! What the kernel is checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    // Several blocks of whole packs, a rest behind the last pack, nothing but a rest.
    let counts = [4096, 2053, 3, 1028].into_iter();
    let case = |count| {
        Case::new(format!("fill {count}"), Storage::F32, move |probe| {
            let y = probe.tape.fill([count], 0.375);
            probe.check("y", y, Tolerance::EXACT);
            Ok(())
        })
    };
    counts.map(case).collect()
}
