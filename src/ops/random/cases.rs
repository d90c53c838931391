//! What the kernels are checked on.

use super::Distribution;
use crate::ops::case::{Case, Probe, Storage, Tolerance};

/// A seed with an upper half, which goes into the key as well.
const SEED: u64 = 0x1234_5678_9abc;

/// Draws after others, in a step that fills more than 16 bits.
fn number(probe: &mut Probe<'_>) {
    let number = probe.integers("number", [1], vec![0x0001_2345]);
    probe.tape.set_randomness(SEED, number);
}

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // In units of 2^-24 of the largest element, where logf and sincospif are off by one and two units in the last place
    // (CUDA C++ programming guide, "Mathematical functions"), that is by 2 and 4 of these at most:
    // - uniform numbers are exact;
    // - normal ones are products of a root (half of the logarithm's error, and its own half unit) and a sine (two), rounded
    //   once: 1 + 1 + 4 + 1;
    // - what the inner logarithm of Gumbel's is off by shows in the outer one in full, 2 beside 2 of the largest element,
    //   which is above one;
    // - of the logistic ones' logarithms one is small where the other is large: 2 for both, and 1 for the difference.
    let distributions = [
        (Distribution::Uniform, 0.0),
        (Distribution::Normal, 7.0),
        (Distribution::Gumbel, 4.0),
        (Distribution::Logistic, 4.0),
    ];
    for (distribution, units) in distributions {
        let units = units / f64::from(1 << 24);
        // Several blocks, and every rest behind the last pack.
        for count in [2051, 1026, 1025, 4] {
            cases.push(Case::new(format!("random {distribution:?} {count}"), Storage::F32, move |probe| {
                number(probe);
                let first = probe.tape.random(distribution, [count])?;
                let second = probe.tape.random(distribution, [count])?;
                probe.check("first draw", first, Tolerance { f32: units, bf16: units });
                probe.check("second draw", second, Tolerance { f32: units, bf16: units });
                Ok(())
            }));
        }
    }
    for count in [1, 7, 256, 602] {
        cases.push(Case::new(format!("random_permutation {count}"), Storage::F32, move |probe| {
            number(probe);
            let first = probe.tape.random_permutation(count)?;
            let second = probe.tape.random_permutation(count)?;
            probe.check("first draw", first, Tolerance::EXACT);
            probe.check("second draw", second, Tolerance::EXACT);
            Ok(())
        }));
    }
    cases
}
