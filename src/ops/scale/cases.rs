//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // One rounding; the factors are exact.
        let rounding = Tolerance { f32: 1.0 / f64::from(1 << 24), bf16: Tolerance::BF16_ROUNDING };
        // Several blocks of whole packs, a rest behind the last pack, the longest rest, nothing but a rest.
        for count in [4096, 2053, 2055, 3, 1028] {
            cases.push(Case::new(format!("scale {count}"), storage, move |probe| {
                let x = probe.activation("x", [count]);
                let y = probe.tape.scale(x, -1.625);
                probe.check("y", y, rounding);
                let doubled = probe.tape.scale(x, 2.0);
                let in_place = probe.tape.scale(doubled, 0.6875);
                probe.check("in place", in_place, rounding);
                Ok(())
            }));
            cases.push(Case::new(format!("scale_by {count}"), storage, move |probe| {
                let (x, factor) = (probe.activation("x", [count]), probe.float("factor", []));
                let y = probe.tape.scale_by(x, factor)?;
                probe.check("y", y, rounding);
                Ok(())
            }));
        }
    }
    cases
}
