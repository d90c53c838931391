//! Parity: what another implementation computed, computed again here and compared.
//!
//! A case is one safetensors file in the format `kd-parity/1`: inputs, and the outputs that an independent
//! implementation computed for them in float64. [`Case::read`] reads it, [`replay`] computes everything it expects in
//! f64 or f32, and [`check`] compares the two by the format's tolerances.

mod batch;
mod case;
mod judge;
mod loss;
mod model;
mod trajectory;

use std::collections::BTreeMap;

pub use case::{Case, CaseTensor, Kind};
pub use judge::{Comparison, Overrides, Report};

use crate::error::Result;
use crate::tensor::DType;

/// What a replay computed, under the names that a case expects it by.
pub type Answers = BTreeMap<String, CaseTensor>;

/// Computes everything that `case` can expect, in `float` (f32 or f64).
///
/// # Errors
/// If the case asks for a model or a method that does not exist, or its inputs do not fit together.
pub fn replay(case: &Case, float: DType) -> Result<Answers> {
    let answers = match case.kind {
        Kind::Model => model::replay(case, float),
        Kind::Loss => loss::replay(case, float),
        Kind::Trajectory => trajectory::replay(case, float),
    };
    answers.map_err(|error| error.within(case.file.display()))
}

/// Replays `case` in every type that it is judged in, and in f32 also where that is for information only.
///
/// # Errors
/// As [`replay`], or if an expected tensor has another shape than what it is to be compared with.
pub fn check(case: &Case, overrides: &Overrides) -> Result<Report> {
    let dtypes = overrides.dtype.map_or(vec![DType::F64, DType::F32], |dtype| vec![dtype]);
    let mut report = Report::new(case);
    for dtype in dtypes {
        let answers = replay(case, dtype)?;
        let compared = judge::compare(case, &answers, dtype, overrides)?;
        report.add(compared, judge::is_judged(case, dtype, overrides));
    }
    Ok(report)
}
