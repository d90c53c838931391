//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};
use crate::random::{Philox, Stream};

const SEED: u64 = 0x1234_5678_9abc;

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
            cases.push(case(storage, count, step, probability));
        }
        // The threshold is one element's own word, which is kept: each element of a pack and of the longest rest.
        for element in (0..8).chain(2048..2055) {
            let word = Philox::new(SEED, Stream::Step).draw(1, element / 4)[element as usize % 4];
            cases.push(case(storage, 2055, 1, f64::from(word) / 2f64.powi(32)));
        }
    }
    cases
}

fn case(storage: Storage, count: usize, step: u32, probability: f64) -> Case {
    Case::new(format!("dropout {count} of {probability}"), storage, move |probe| {
        let x = probe.activation("x", [count]);
        let number = probe.integers("number", [1], vec![step]);
        probe.tape.set_randomness(SEED, number);
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
    })
}
