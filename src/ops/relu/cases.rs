//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Several blocks of whole packs, a rest behind the last pack, nothing but a rest.
        for count in [4096, 2053, 3, 1028] {
            cases.push(Case::new(format!("relu {count}"), storage, move |probe| {
                // Every fifth is zero, where nothing flows back.
                let values = probe.normal(count).into_iter().enumerate();
                let values = values.map(|(index, x)| if index % 5 == 2 { 0.0 } else { x }).collect();
                let x = probe.activation_of("x", [count], values);
                let y = probe.tape.relu(x)?;
                probe.check("y", y, Tolerance::EXACT);
                probe.check_gradients(y, &[(x, Tolerance::EXACT)])
            }));
            cases.push(Case::new(format!("relu {count} with addend"), storage, move |probe| {
                let x = probe.activation("x", [count]);
                let y = probe.tape.relu(x)?;
                // One rounding.
                let rounding = Tolerance { f32: 1.0 / f64::from(1 << 24), bf16: Tolerance::BF16_ROUNDING };
                probe.check_gradient_with_addend(y, x, rounding)
            }));
            cases.push(Case::new(format!("relu {count} in place"), storage, move |probe| {
                let x = probe.activation("x", [count]);
                let between = probe.tape.scale(x, 2.0);
                let y = probe.tape.relu(between)?;
                // Its gradient is no state and dies in that of the ReLU.
                let half = probe.tape.scale(y, 0.5);
                probe.check("half", half, Tolerance::EXACT);
                probe.check_gradients(half, &[(x, Tolerance::EXACT)])
            }));
        }
    }
    cases
}
