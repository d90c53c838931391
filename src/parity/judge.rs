//! What is equal enough: the format's tolerances, and the verdict on a case.

use super::{Answers, Case, CaseTensor, Kind};
use crate::error::{Error, Result};
use crate::tensor::DType;

/// What a user asks for in the place of the format's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Replay in this type alone.
    pub dtype: Option<DType>,
    /// Relative to the expected tensor's largest value.
    pub rtol: Option<f64>,
    /// Added, for gradients times the largest gradient of the case where that is above 1.
    pub atol: Option<f64>,
}

impl Overrides {
    fn has_tolerance(&self) -> bool {
        self.rtol.is_some() || self.atol.is_some()
    }
}

/// An expected tensor beside what was computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Name of the expected tensor.
    pub name: String,
    /// What it was computed in.
    pub dtype: DType,
    /// The largest difference of two elements; not a number where one of them is none, or nothing was compared.
    pub max_abs: f64,
    /// The same relative to the tensor's largest expected value.
    pub max_rel: f64,
    /// What `max_abs` may be at most.
    pub tolerance: f64,
    /// Whether it is.
    pub passed: bool,
    /// Whether there was anything to compare with.
    pub compared: bool,
}

/// The verdict on a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it compares.
    pub kind: Kind,
    /// What is judged.
    pub tensors: Vec<Comparison>,
    /// What is told for information only.
    pub information: Vec<Comparison>,
}

impl Report {
    pub(super) fn new(case: &Case) -> Self {
        Self { kind: case.kind, tensors: Vec::new(), information: Vec::new() }
    }

    pub(super) fn add(&mut self, compared: Vec<Comparison>, judged: bool) {
        if judged { self.tensors.extend(compared) } else { self.information.extend(compared) }
    }

    /// Whether anything of the case was judged.
    pub fn judged(&self) -> bool {
        !self.tensors.is_empty()
    }

    /// Whether the case was judged and every tensor passed.
    pub fn passed(&self) -> bool {
        self.judged() && self.tensors.iter().all(|one| one.passed)
    }
}

/// Whether what is computed in `dtype` counts. Near a ReLU's kink or a rank's rounding edge f32 is not decisive, so a
/// case for f64 is judged in f32 only where the user says by which tolerance.
pub(super) fn is_judged(case: &Case, dtype: DType, overrides: &Overrides) -> bool {
    dtype == DType::F64 || case.compute == DType::F32 || (overrides.dtype.is_some() && overrides.has_tolerance())
}

/// Compares every expected tensor with the answer of the same name.
pub(super) fn compare(case: &Case, answers: &Answers, dtype: DType, overrides: &Overrides) -> Result<Vec<Comparison>> {
    let gradients = case.expected().filter(|(name, _)| name.contains("/grad/"));
    let largest_gradient = gradients.fold(1.0f64, |most, (_, tensor)| most.max(tensor.largest()));
    case.expected()
        .map(|(name, expected)| {
            let (rtol, atol) = tolerance(case.kind, name, dtype);
            let (rtol, atol) = (overrides.rtol.unwrap_or(rtol), overrides.atol.unwrap_or(atol));
            let gradient = name.contains("/grad/") || name.contains("/grad_norm/");
            let scale = if gradient { largest_gradient } else { 1.0 };
            let tolerance = rtol * expected.largest() + atol * scale;
            match answers.get(name) {
                Some(answer) if fits(answer, expected) => Ok(compare_one(name, dtype, answer, expected, tolerance)),
                Some(answer) => Err(Error::request(format!(
                    "{}: `{name}` has the shape {:?}, but what it is compared with has {:?}",
                    case.file.display(),
                    expected.shape,
                    answer.shape
                ))),
                None => Ok(Comparison {
                    name: name.to_string(),
                    dtype,
                    max_abs: f64::NAN,
                    max_rel: f64::NAN,
                    tolerance,
                    passed: false,
                    compared: false,
                }),
            }
        })
        .collect()
}

fn fits(answer: &CaseTensor, expected: &CaseTensor) -> bool {
    answer.shape == expected.shape || (answer.values.len() == 1 && expected.values.len() == 1)
}

/// The relative and the absolute tolerance of an expected tensor.
fn tolerance(kind: Kind, name: &str, dtype: DType) -> (f64, f64) {
    match (dtype, kind, name) {
        (DType::F64, ..) => (1e-5, 1e-7),
        // Several steps, each of which widens what rounding began.
        (_, Kind::Trajectory, "expect/loss") => (1e-4, 0.0),
        (_, Kind::Trajectory, "expect/temperature") => (1e-3, 0.0),
        (_, Kind::Trajectory, "expect/active") => (0.0, 0.0),
        (_, Kind::Trajectory, _) => (2e-3, 0.0),
        _ => (1e-4, 1e-6),
    }
}

fn compare_one(name: &str, dtype: DType, answer: &CaseTensor, expected: &CaseTensor, tolerance: f64) -> Comparison {
    let differences = answer.values.iter().zip(&expected.values).map(|(a, b)| (a - b).abs());
    // Unlike f64::max, keeps what is not a number.
    let max_abs = differences.fold(0.0f64, |most, one| if one.is_nan() || one > most { one } else { most });
    let largest = expected.largest();
    let max_rel = if max_abs == 0.0 { 0.0 } else { max_abs / largest };
    let finite = expected.values.iter().all(|x| x.is_finite());
    let passed = finite && max_abs <= tolerance;
    Comparison { name: name.to_string(), dtype, max_abs, max_rel, tolerance, passed, compared: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f64]) -> CaseTensor {
        CaseTensor::new(&[values.len()], values.to_vec())
    }

    #[test]
    fn the_largest_difference_is_judged() {
        let judged = compare_one("x", DType::F64, &tensor(&[1.0, -2.0, 4.5]), &tensor(&[1.0, -2.25, 4.0]), 0.5);
        assert_eq!((judged.max_abs, judged.max_rel, judged.passed), (0.5, 0.125, true));
        let judged = compare_one("x", DType::F64, &tensor(&[1.0]), &tensor(&[1.1]), 0.09);
        assert!(!judged.passed);
    }

    #[test]
    fn what_is_not_a_number_never_passes() {
        let nan = f64::NAN;
        let infinite = f64::INFINITY;
        for (answer, expected) in [
            ([nan, 1.0], [1.0, 1.0]),
            ([1.0, nan], [1.0, 1.0]),
            ([1.0, 1.0], [nan, 1.0]),
            ([1.0, 1.0], [1.0, nan]),
            ([nan, nan], [nan, nan]),
            ([infinite, 1.0], [infinite, 1.0]),
            ([1.0, 1.0], [infinite, 1.0]),
            ([infinite, 1.0], [1.0, 1.0]),
        ] {
            let expected = tensor(&expected);
            let tolerance = 1e-4 * expected.largest() + 1.0;
            let judged = compare_one("x", DType::F64, &tensor(&answer), &expected, tolerance);
            assert!(!judged.passed, "{answer:?} for {expected:?}");
        }
    }

    #[test]
    fn tolerances_are_the_formats() {
        assert_eq!(tolerance(Kind::Model, "expect/eval/logits", DType::F64), (1e-5, 1e-7));
        assert_eq!(tolerance(Kind::Model, "expect/eval/logits", DType::F32), (1e-4, 1e-6));
        assert_eq!(tolerance(Kind::Loss, "expect/loss", DType::F32), (1e-4, 1e-6));
        let of = |name: &str, dtype| tolerance(Kind::Trajectory, name, dtype);
        assert_eq!(of("expect/loss", DType::F64), (1e-5, 1e-7));
        assert_eq!(of("expect/loss", DType::F32), (1e-4, 0.0));
        assert_eq!(of("expect/temperature", DType::F32), (1e-3, 0.0));
        assert_eq!(of("expect/active", DType::F32), (0.0, 0.0));
        assert_eq!(of("expect/final/param/fc.bias", DType::F32), (2e-3, 0.0));
    }
}
