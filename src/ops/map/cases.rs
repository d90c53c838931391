//! What the kernels are checked on.

use super::Function;
use crate::ops::case::{Case, Probe, Storage, Tolerance};
use crate::tape::ValueId;

/// Functions, and how far values and gradients may be off, in units of 2^-24.
///
/// A rounding costs one, and the CUDA library's functions two for each unit in the last place that "CUDA C++ Programming
/// Guide", section "Mathematical Functions", grants them: `expf` and `tanhf` 2, `logf` and `log1pf` 1. A gradient that is made
/// from `y` takes over its error, twice where `y` is squared; those of sigmoid (at most 1/4) and `1 - y^2` are compared with
/// the largest element, the product with upstream rounds once more.
const FUNCTIONS: [(Function, f64, f64); 14] = [
    (Function::Exp, 4.0, 5.0),
    (Function::Log, 2.0, 2.0),
    (Function::Sqrt, 1.0, 3.0),
    (Function::Square, 1.0, 1.0),
    (Function::Abs, 0.0, 0.0),
    (Function::Sigmoid, 6.0, 26.0),
    (Function::Tanh, 4.0, 10.0),
    (Function::Softplus, 7.0, 7.0),
    (Function::SmoothL1, 2.0, 1.0),
    (Function::Reciprocal, 1.0, 4.0),
    (Function::Affine { scale: -1.625, shift: 0.375 }, 1.0, 1.0),
    (Function::AtLeast(0.3125), 0.0, 0.0),
    (Function::Above(0.3125), 0.0, 0.0),
    (Function::Above(-0.6875), 0.0, 0.0),
];

fn units(count: f64) -> Tolerance {
    let f32 = count / f64::from(1 << 24);
    Tolerance { f32, bf16: f32 }
}

/// Inputs on both sides of every corner and on it, where a function saturates, and what is no ordinary number. Functions with
/// a pole get it where no gradient flows in.
fn inputs(probe: &mut Probe<'_>, function: Function, count: usize) -> ValueId {
    let bound = function.parameters()[0];
    let far = if matches!(function, Function::Exp) { -200.0 } else { 12.0 };
    let strange = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0];
    let corners = [bound, bound + 1e-6, 1.0, 1.0 + 1e-6, -1.0, -1.0 - 1e-6, 0.0, far, -far.abs()];
    let values = probe.normal(count).into_iter().enumerate().map(|(index, x)| match function {
        Function::Log | Function::Sqrt | Function::Reciprocal if is_blocked(index) => 0.0,
        _ if count > 3 && index % 35 == 4 => strange[index / 35 % strange.len()],
        Function::Log | Function::Sqrt => x.abs() + 0.25,
        Function::Reciprocal => x + x.signum(),
        // So few, near zero: no slope is small beside the rounding of its parts.
        _ if count < 4 => x / 4.0,
        _ if index % 5 == 3 => corners[index / 5 % corners.len()],
        _ => x,
    });
    let values = values.collect();
    probe.float_of("x", [count], values)
}

/// Where no gradient flows in.
fn is_blocked(index: usize) -> bool {
    index % 7 == 2
}

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, (function, values, slopes)) in FUNCTIONS.into_iter().enumerate() {
        // Several blocks of whole packs, a rest behind the last pack, nothing but a rest.
        for count in [1028 + index % 4, 200 + index, 3] {
            cases.push(Case::new(format!("map {function:?} {count}"), Storage::F32, move |probe| {
                let x = inputs(probe, function, count);
                let y = probe.tape.map(x, function)?;
                probe.check("y", y, units(values));
                let upstream = probe.normal(count).into_iter().enumerate();
                let upstream = upstream.map(|(index, x)| if is_blocked(index) { 0.0 } else { x }).collect();
                let upstream = probe.float_of("upstream", [count], upstream);
                if let Some(gradient) = probe.tape.backward(&[(y, upstream)], &[x])?[0] {
                    probe.check("gradient", gradient, units(slopes));
                }
                Ok(())
            }));
        }
        cases.push(Case::new(format!("map {function:?} in place, with addend"), Storage::F32, move |probe| {
            let x = match function {
                Function::Log | Function::Sqrt | Function::Reciprocal => {
                    let values = probe.normal(259).into_iter().map(|x| x.abs() + 0.25).collect();
                    probe.float_of("x", [259], values)
                }
                _ => probe.float("x", [259]),
            };
            // Twice x, exactly; it dies where its value is made from it.
            let doubled = probe.tape.scale(x, 2.0);
            let y = probe.tape.map(doubled, function)?;
            probe.check("y", y, units(values));
            if function.source() == super::Source::Nothing {
                return Ok(());
            }
            // One rounding for the sum.
            probe.check_gradient_with_addend(y, doubled, units(slopes + 1.0))
        }));
    }
    // So far below zero results are small, so that the largest one hides no digit of the others, and exponents have many.
    for (function, values, slopes) in FUNCTIONS {
        if !matches!(function, Function::Exp | Function::Sigmoid | Function::Softplus) {
            continue;
        }
        cases.push(Case::new(format!("map {function:?} far below zero"), Storage::F32, move |probe| {
            let x = probe.normal(70).into_iter().map(|x| x / 2.0 - 79.0).collect();
            let x = probe.float_of("x", [70], x);
            let y = probe.tape.map(x, function)?;
            probe.check("y", y, units(values));
            probe.check_gradients(y, &[(x, units(slopes))])
        }));
    }
    cases.push(Case::new("map Log of subnormal numbers", Storage::F32, |probe| {
        let values = probe.normal(64).into_iter().enumerate();
        let values = values.map(|(index, x)| x.abs() * if index % 3 == 0 { 1e-40 } else { 1e-36 }).collect();
        let x = probe.float_of("x", [64], values);
        let y = probe.tape.log(x)?;
        probe.check("y", y, units(2.0));
        Ok(())
    }));
    cases
}
