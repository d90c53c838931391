//! How far a device's numbers are from the reference.

use std::fmt;

use super::run::{Left, Recorded};
use crate::ops::case::{Storage, Tolerance};
use crate::tensor::DType;

/// A value's largest difference.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The value.
    pub name: String,
    /// The largest difference relative to the largest element of the reference, beyond what the last rounding to bf16
    /// explains; infinite where one side is not a number.
    pub error: f64,
    /// The element that it is at.
    pub element: usize,
    /// What was found there, and what was expected.
    pub values: (f64, f64),
    /// What is allowed.
    pub tolerance: f64,
}

impl Difference {
    /// Whether it is within the tolerance.
    pub fn holds(&self) -> bool {
        self.error <= self.tolerance
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, expected) = self.values;
        write!(
            f,
            "{}, element {}: {found}, expected {expected}; off by {:.2e} of the largest, {:.2e} allowed",
            self.name, self.element, self.error, self.tolerance
        )
    }
}

pub(super) fn compare(storage: Storage, recorded: &Recorded, expected: &Left, found: &Left) -> Vec<Difference> {
    let values = recorded.checks.iter().zip(expected.values.iter().zip(&found.values));
    let values = values.map(|(check, (expected, found))| {
        let tolerance = check.tolerance.of(storage);
        let rounded = check.dtype == DType::BF16 && tolerance >= Tolerance::BF16_ROUNDING;
        let (tolerance, granted): (f64, Rounding) = match rounded {
            true => (tolerance - Tolerance::BF16_ROUNDING, half_a_unit),
            false => (tolerance, |_| 0.0),
        };
        difference(check.name.clone(), expected, found, tolerance, granted)
    });
    let state = expected.state.iter().zip(&found.state).map(|((name, before, expected), (_, _, found))| {
        // What the reference leaves alone has to be left alone.
        let tolerance = if same(before, expected) { 0.0 } else { recorded.updates.of(storage) };
        difference(format!("state {name}"), expected, found, tolerance, |_| 0.0)
    });
    values.chain(state).collect()
}

/// The first difference that does not hold.
pub(super) fn worst(storage: Storage, recorded: &Recorded, expected: &Left, found: &Left) -> Option<Difference> {
    compare(storage, recorded, expected, found).into_iter().find(|difference| !difference.holds())
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// What an element of that size is granted besides the tolerance.
type Rounding = fn(f64) -> f64;

/// Half a unit in the last place of a number of that size in bf16, whose significand has 8 bits.
fn half_a_unit(size: f64) -> f64 {
    // Smaller numbers than 2^-126 have the units of those just above it.
    let exponent = size.max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    if exponent.is_finite() { (exponent - 8.0).exp2() } else { 0.0 }
}

fn difference(name: String, expected: &[f64], found: &[f64], tolerance: f64, granted: Rounding) -> Difference {
    let finite = expected.iter().filter(|x| x.is_finite());
    let largest = finite.fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
    let mut worst = Difference { name, error: 0.0, element: 0, values: (0.0, 0.0), tolerance };
    for (element, (expected, found)) in expected.iter().zip(found).enumerate() {
        // Equal infinities, and what is not a number on both sides, agree.
        let agree = expected == found || (expected.is_nan() && found.is_nan());
        let off = || ((found - expected).abs() - granted(found.abs().max(expected.abs()))).max(0.0) / largest;
        // `max` would make zero of what is not a number.
        let error = match agree {
            true => 0.0,
            false if found.is_nan() || expected.is_nan() => f64::INFINITY,
            false => off(),
        };
        if error > worst.error || element == 0 {
            worst = Difference { error, element, values: (*found, *expected), ..worst };
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_never_passes_for_one() {
        let of =
            |expected: f64, found: f64| difference("x".into(), &[2.0, expected], &[2.0, found], 0.5, |_| 0.0).holds();
        assert!(of(1.0, 1.9) && !of(1.0, 2.1));
        assert!(!of(1.0, f64::NAN) && !of(f64::NAN, 1.0) && of(f64::NAN, f64::NAN));
        assert!(of(f64::INFINITY, f64::INFINITY) && !of(f64::INFINITY, 1.0) && !of(1.0, f64::INFINITY));
    }

    #[test]
    fn a_number_may_be_rounded_to_the_nearer_side_alone() {
        let of = |expected: f64, found: f64| {
            difference("x".into(), &[2.0, expected], &[2.0, found], 0.0, half_a_unit).holds()
        };
        for exact in [1.0 + 1.0 / 256.0, 1.25 + 1.0 / 300.0, 0.013, 1e-30, 3e-40] {
            let near = half::bf16::from_f64(exact).to_f64();
            let other = half::bf16::from_bits(half::bf16::from_f64(exact).to_bits() + 1).to_f64();
            let other = if near < exact { other } else { 2.0 * near - other };
            assert!(of(exact, near), "{exact} {near}");
            let tie = (exact - near).abs() == (exact - other).abs();
            assert!(tie || !of(exact, other), "{exact} {other}");
        }
        assert!(!of(1.0, f64::NAN) && !of(f64::NAN, 1.0));
    }
}
