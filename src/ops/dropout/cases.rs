//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Several blocks of whole packs, every length of a rest behind the last pack, nothing but a rest.
        for (count, step, probability) in [
            (4096, 0, 0.5),
            (2053, 3, 0.1),
            (2054, 1 << 20, 0.75),
            (2055, u32::MAX, 0.3),
            (3, 5, 0.5),
            (1028, 6, 0.5),
            (2049, 7, 0.999),
        ] {
            cases.push(Case::new(format!("dropout {count} of {probability}"), storage, move |probe| {
                let x = probe.activation("x", [count]);
                let number = probe.integers("number", [1], vec![step]);
                probe.tape.set_randomness(0x1234_5678_9abc, number);
                let y = probe.tape.dropout(x, probability)?;
                // The factor is rounded, and the product.
                let f32 = 2.0 / f64::from(1 << 24);
                let tolerance = Tolerance { f32, bf16: f32 + Tolerance::BF16_ROUNDING };
                probe.check("y", y, tolerance);
                // A second draw, in place.
                let doubled = probe.tape.scale(x, 2.0);
                let other = probe.tape.dropout(doubled, probability)?;
                probe.check("another draw", other, tolerance);
                probe.check_gradients(y, &[(x, tolerance)])
            }));
        }
    }
    cases
}
