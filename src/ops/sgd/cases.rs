//! What the kernels are checked on.

use super::{SgdOptions, SgdParameter, Watch};
use crate::ops::case::{Case, Storage};

/// Single elements, whole packs and not, exactly one piece of work, and several.
const COUNTS: [usize; 7] = [1, 3, 8, 13, 4096, 4097, 8195];

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (momentum, weight_decay, nesterov) in [(0.0, 0.0, false), (0.9, 0.05, false), (0.9, 0.05, true)] {
        let name = format!("sgd momentum {momentum} decay {weight_decay} nesterov {nesterov}");
        cases.push(case(name, SgdOptions { momentum, weight_decay, nesterov }, Fault::default()));
    }
    // A gradient that is not finite: in a single element, in a pack, behind the last pack, in another piece.
    for (parameter, element) in [(0, 0), (4, 2), (3, 12), (6, 8194)] {
        let options = SgdOptions { momentum: 0.9, weight_decay: 0.05, nesterov: true };
        let fault = Fault { gradient: Some((parameter, element)), ..Fault::default() };
        cases.push(case(format!("sgd broken at {parameter}, {element}"), options, fault));
    }
    // A loss that is not finite; and one that no longer is, so that the step before stays.
    let options = SgdOptions { momentum: 0.9, weight_decay: 0.05, nesterov: false };
    for (loss, before) in [(f64::NAN, 0), (f64::NEG_INFINITY, 0), (f64::INFINITY, 3), (f64::INFINITY, u32::MAX)] {
        cases.push(case(
            format!("sgd with a loss of {loss}, broken in step {before}"),
            options,
            Fault { loss, before, ..Fault::default() },
        ));
    }
    cases
}

/// What is not finite.
#[derive(Clone, Copy)]
struct Fault {
    /// Parameter and element of a gradient that is infinite.
    gradient: Option<(usize, usize)>,
    loss: f64,
    /// The first step in which something was not finite.
    before: u32,
}

impl Default for Fault {
    fn default() -> Self {
        Self { gradient: None, loss: -3e38, before: 0 }
    }
}

fn case(name: String, options: SgdOptions, fault: Fault) -> Case {
    Case::new(name, Storage::F32, move |probe| {
        let mut parameters = Vec::new();
        for (index, count) in COUNTS.into_iter().enumerate() {
            let mut gradient = probe.normal(count);
            if let Some((_, element)) = fault.gradient.filter(|(parameter, _)| *parameter == index) {
                gradient[element] = f64::INFINITY;
            }
            parameters.push(SgdParameter {
                weight: probe.float("weight", [count]),
                gradient: probe.float_of("gradient", [count], gradient),
                velocity: probe.float("velocity", [count]),
            });
        }
        let rate = probe.float_of("rate", [], vec![0.1]);
        let watch = Watch {
            loss: probe.float_of("loss", [], vec![fault.loss]),
            number: probe.integers("number", [1], vec![41]),
            broken: probe.integers("broken", [1], vec![fault.before]),
        };
        // Three fused multiply-adds an element: within the tolerance that updates have anyway.
        probe.tape.sgd(&parameters, rate, watch, options)
    })
}
