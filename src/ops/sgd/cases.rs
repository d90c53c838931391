//! What the kernels are checked on.

use super::{SgdOptions, SgdParameter};
use crate::ops::case::{Case, Storage};

/// Single elements, whole packs and not, exactly one piece of work, and several.
const COUNTS: [usize; 7] = [1, 3, 8, 13, 4096, 4097, 8195];

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (momentum, weight_decay, nesterov) in [(0.0, 0.0, false), (0.9, 0.05, false), (0.9, 0.05, true)] {
        let name = format!("sgd momentum {momentum} decay {weight_decay} nesterov {nesterov}");
        cases.push(case(name, SgdOptions { momentum, weight_decay, nesterov }, None));
    }
    // A gradient that is not finite: in a single element, in a pack, behind the last pack, in another piece.
    for (parameter, element) in [(0, 0), (4, 2), (3, 12), (6, 8194)] {
        let options = SgdOptions { momentum: 0.9, weight_decay: 0.05, nesterov: true };
        cases.push(case(format!("sgd broken at {parameter}, {element}"), options, Some((parameter, element))));
    }
    cases
}

fn case(name: String, options: SgdOptions, broken_at: Option<(usize, usize)>) -> Case {
    Case::new(name, Storage::F32, move |probe| {
        let mut parameters = Vec::new();
        for (index, count) in COUNTS.into_iter().enumerate() {
            let mut gradient = probe.normal(count);
            if let Some((_, element)) = broken_at.filter(|(parameter, _)| *parameter == index) {
                gradient[element] = f64::INFINITY;
            }
            parameters.push(SgdParameter {
                weight: probe.float("weight", [count]),
                gradient: probe.float_of("gradient", [count], gradient),
                velocity: probe.float("velocity", [count]),
            });
        }
        let rate = probe.float_of("rate", [], vec![0.1]);
        let broken = probe.integers("broken", [1], vec![0]);
        // Three fused multiply-adds an element: within the tolerance that updates have anyway.
        probe.tape.sgd(&parameters, rate, broken, options)
    })
}
