//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};
use crate::ops::row_kernels::{last_output, logits};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, classes, temperature) in [(1, 3, 1.0), (5, 10, 4.0), (33, 100, 0.7), (33, 100, 4.0), (5, 257, 1.0)] {
        let name = format!("kl_divergence {rows}x{classes} at {temperature}");
        cases.push(Case::new(name, Storage::F32, move |probe| {
            let (student, mentor) = (logits(probe, "student", rows, classes), logits(probe, "mentor", rows, classes));
            let loss = probe.tape.kl_divergence(student, mentor, temperature)?;
            let gradient = last_output(probe, 1);
            probe.check("loss", loss, of_loss(classes, temperature));
            probe.check("gradient", gradient, of_gradient(classes, temperature));
            Ok(())
        }));
    }
    cases
}

/// A divergence is a mean of differences of two logarithms of about ln C, each rounded to four halves of a unit in the last
/// place at most. Logits with a spread of 2 diverge by about 4 / T^2 (half of the variance of the difference); rounding
/// errors count the more the less there is of it.
pub(in crate::ops) fn of_loss(classes: usize, temperature: f64) -> Tolerance {
    let unit = f64::from(f32::EPSILON) / 2.0;
    let share = 2.0 * (classes as f64).ln() * (temperature * temperature / 4.0).max(1.0);
    Tolerance { f32: 4.0 * unit * share.max(4.0), bf16: 0.0 }
}

/// A gradient is a difference of two probabilities, which is about 2 / T of them.
pub(in crate::ops) fn of_gradient(classes: usize, temperature: f64) -> Tolerance {
    Tolerance { f32: Tolerance::sum(classes).f32 * (temperature / 2.0).max(1.0), bf16: 0.0 }
}
