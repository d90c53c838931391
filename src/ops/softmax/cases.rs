//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};
use crate::ops::row_kernels::logits;

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // At the lowest temperature exp overflows where anything but the largest logit is taken off.
    for (rows, classes, temperature) in [(4, 3, 1.0), (5, 10, 4.0), (33, 100, 0.7), (5, 257, 1.0), (33, 70, 0.01)] {
        for is_logarithm in [false, true] {
            let form = if is_logarithm { "log_softmax" } else { "softmax" };
            let name = format!("{form} {rows}x{classes} at {temperature}");
            cases.push(Case::new(name, Storage::F32, move |probe| {
                let x = logits(probe, "logits", rows, classes);
                let y = match is_logarithm {
                    false => probe.tape.softmax(x, temperature)?,
                    true => probe.tape.log_softmax(x, temperature)?,
                };
                let tolerance = Tolerance::sum(classes);
                probe.check("output", y, tolerance);
                probe.check_gradients(y, &[(x, tolerance)])
            }));
        }
    }
    cases
}
