//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

const ROUNDED: Tolerance = Tolerance { f32: 0.0, bf16: Tolerance::BF16_ROUNDING };

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = vec![Case::new("cast several", Storage::Bf16, |probe| {
        // Whole packs, a rest, less than a pack, and one tensor that takes every block several blocks' worth.
        let counts = [2048, 131, 5, 4100];
        let values: Vec<_> = counts.iter().map(|count| probe.float("x", [*count])).collect();
        let storage = probe.tape.storage();
        for made in probe.tape.cast_all(&values, storage)? {
            probe.check("cast", made, ROUNDED);
        }
        Ok(())
    })];
    // More than all blocks take in one turn: 64 blocks of 256 threads with four elements each.
    for count in [2055, 64 * 256 * 4 + 2053] {
        cases.push(Case::new(format!("cast to bf16 {count}"), Storage::Bf16, move |probe| {
            let (x, storage) = (probe.float("x", [count]), probe.tape.storage());
            let made = probe.tape.cast(x, storage)?;
            probe.check("cast", made, ROUNDED);
            Ok(())
        }));
        cases.push(Case::new(format!("cast to f32 {count}"), Storage::Bf16, move |probe| {
            let (x, float) = (probe.activation("x", [count]), probe.tape.float());
            let made = probe.tape.cast(x, float)?;
            probe.check("cast", made, Tolerance::EXACT);
            Ok(())
        }));
    }
    cases
}
