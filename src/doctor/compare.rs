//! How far a device's numbers are from the reference.

use std::fmt;

use super::run::{Left, Recorded};
use crate::ops::case::Storage;

/// A value's largest difference.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The value.
    pub name: String,
    /// The largest difference relative to the largest element of the reference; infinite where one side is not a number.
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
    let values = values
        .map(|(check, (expected, found))| difference(check.name.clone(), expected, found, check.tolerance.of(storage)));
    let state = expected.state.iter().zip(&found.state).map(|((name, before, expected), (_, _, found))| {
        // What the reference leaves alone has to be left alone.
        let tolerance = if same(before, expected) { 0.0 } else { recorded.updates.of(storage) };
        difference(format!("state {name}"), expected, found, tolerance)
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

fn difference(name: String, expected: &[f64], found: &[f64], tolerance: f64) -> Difference {
    let finite = expected.iter().filter(|x| x.is_finite());
    let largest = finite.fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
    let mut worst = Difference { name, error: 0.0, element: 0, values: (0.0, 0.0), tolerance };
    for (element, (expected, found)) in expected.iter().zip(found).enumerate() {
        // Equal infinities, and what is not a number on both sides, agree.
        let agree = expected == found || (expected.is_nan() && found.is_nan());
        let error = if agree { 0.0 } else { (found - expected).abs() / largest };
        let error = if error.is_nan() { f64::INFINITY } else { error };
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
        let of = |expected: f64, found: f64| difference("x".into(), &[2.0, expected], &[2.0, found], 0.5).holds();
        assert!(of(1.0, 1.9) && !of(1.0, 2.1));
        assert!(!of(1.0, f64::NAN) && !of(f64::NAN, 1.0) && of(f64::NAN, f64::NAN));
        assert!(of(f64::INFINITY, f64::INFINITY) && !of(f64::INFINITY, 1.0) && !of(1.0, f64::INFINITY));
    }
}
