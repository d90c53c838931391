//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Moved by 16 bytes, by two elements, one by one; images whose edges are no multiple of the stride.
        for (from, to, stride) in [(16, 32, 2), (8, 8, 3), (6, 10, 2), (5, 11, 2), (3, 5, 1)] {
            let name = format!("option_a_shortcut of {from} channels to {to}, stride {stride}");
            cases.push(Case::new(name, storage, move |probe| {
                let x = probe.activation("x", [2, 9, 8, from]);
                let y = probe.tape.option_a_shortcut(x, to, stride)?;
                probe.check("y", y, Tolerance::EXACT);
                probe.check_gradients(y, &[(x, Tolerance::EXACT)])
            }));
        }
    }
    cases
}
