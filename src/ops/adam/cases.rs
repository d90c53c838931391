//! What the kernels are checked on.

use super::{AdamOptions, AdamParameter};
use crate::ops::case::{Case, Storage};
use crate::ops::sgd::Watch;

/// Single elements, whole packs and not, exactly one piece of work, and several.
const COUNTS: [usize; 6] = [1, 3, 8, 13, 4096, 8195];

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let plain = AdamOptions::default();
    // SoKD's policy, and an epsilon that is felt.
    let policy = AdamOptions { betas: [0.5, 0.999], weight_decay: 1e-3, ..plain };
    let strong = AdamOptions { betas: [0.0, 0.9], epsilon: 0.25, weight_decay: 0.5 };
    for (name, options, steps) in [
        ("plain", plain, 0),
        ("plain", plain, 5),
        ("policy", policy, 0),
        ("policy", policy, 1000),
        ("strong", strong, 2),
        ("strong", strong, u32::MAX - 1),
        ("strong", strong, u32::MAX),
    ] {
        cases.push(case(format!("adam {name} after {steps}"), options, steps, Fault::default()));
    }
    // A gradient that is not finite: in a single element, in a pack, behind the last pack, in another piece.
    for (parameter, element) in [(0, 0), (4, 2), (3, 12), (5, 8194)] {
        let fault = Fault { gradient: Some((parameter, element)), ..Fault::default() };
        cases.push(case(format!("adam broken at {parameter}, {element}"), policy, 3, fault));
    }
    // A loss that is not finite; and one that no longer is, so that the step before stays.
    for (loss, before) in [(f64::NAN, 0), (f64::NEG_INFINITY, 0), (f64::INFINITY, 3)] {
        let fault = Fault { loss, before, ..Fault::default() };
        cases.push(case(format!("adam with a loss of {loss}, broken in step {before}"), policy, 3, fault));
    }
    cases
}

/// What is not finite.
#[derive(Clone, Copy)]
struct Fault {
    /// Parameter and element of a gradient that is not a number.
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

fn case(name: String, options: AdamOptions, steps: u32, fault: Fault) -> Case {
    Case::new(name, Storage::F32, move |probe| {
        let mut parameters = Vec::new();
        for (index, count) in COUNTS.into_iter().enumerate() {
            let mut gradient = probe.normal(count);
            if let Some((_, element)) = fault.gradient.filter(|(parameter, _)| *parameter == index) {
                gradient[element] = f64::NAN;
            }
            let gradient = probe.float_of("gradient", [count], gradient);
            let weight = probe.float("weight", [count]);
            let first = probe.float("first", [count]);
            let second = probe.normal(count).into_iter().map(|x| x * x).collect();
            let second = probe.float_of("second", [count], second);
            parameters.push(AdamParameter { weight, gradient, first, second });
        }
        let rate = probe.float_of("rate", [], vec![0.1]);
        let steps = probe.integers("steps", [1], vec![steps]);
        let watch = Watch {
            loss: probe.float_of("loss", [], vec![fault.loss]),
            number: probe.integers("number", [1], vec![41]),
            broken: probe.integers("broken", [1], vec![fault.before]),
        };
        // A dozen roundings, of which the division's count in full: within the tolerance that updates have anyway.
        probe.tape.adam(&parameters, rate, steps, watch, options)
    })
}
