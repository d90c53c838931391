//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Written by 16 bytes, by two elements, one by one.
        for (channels, groups) in [(24, 3), (16, 2), (30, 5), (15, 3)] {
            cases.push(Case::new(format!("channel_shuffle of {channels} in {groups}"), storage, move |probe| {
                let x = probe.activation("x", [3, 5, 7, channels]);
                let y = probe.tape.channel_shuffle(x, groups)?;
                probe.check("y", y, Tolerance::EXACT);
                probe.check_gradients(y, &[(x, Tolerance::EXACT)])
            }));
        }
    }
    cases
}
