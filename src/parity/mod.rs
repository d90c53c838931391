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

use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::tensor::DType;

/// What a replay computed, under the names that a case expects it by.
pub type Answers = BTreeMap<String, CaseTensor>;

/// Computes everything that `case` can expect, in `float` (f32 or f64), on `processor`. A GPU computes in f32.
///
/// # Errors
/// If the case asks for a model or a method that does not exist, or its inputs do not fit together.
pub fn replay(case: &Case, float: DType, processor: &Processor) -> Result<Answers> {
    let answers = match case.kind {
        Kind::Model => model::replay(case, float, processor),
        Kind::Loss => loss::replay(case, float, processor),
        Kind::Trajectory => trajectory::replay(case, float, processor),
    };
    answers.map_err(|error| error.within(case.file.display()))
}

/// Replays `case` on `processor` in every type that it is judged in, and in f32 also where that is for information only.
/// A GPU has f32 alone: a case that is judged in f64 only is reported as not judged there.
///
/// # Errors
/// As [`replay`], or if an expected tensor has another shape than what it is to be compared with.
pub fn check(case: &Case, overrides: &Overrides, processor: &Processor) -> Result<Report> {
    let dtypes = match (overrides.dtype, processor) {
        (None, Processor::Cpu) => vec![DType::F64, DType::F32],
        (None, Processor::Gpu(..)) => vec![DType::F32],
        (Some(dtype), Processor::Cpu) => vec![dtype],
        (Some(DType::F32), Processor::Gpu(..)) => vec![DType::F32],
        (Some(dtype), Processor::Gpu(..)) => {
            return Err(Error::request(format!("{processor} computes in f32, not in {dtype}"))
                .help("leave --dtype out, or --dtype f32, or --device cpu"));
        }
    };
    let mut report = Report::new(case);
    for dtype in dtypes {
        let answers = replay(case, dtype, processor)?;
        let compared = judge::compare(case, &answers, dtype, overrides)?;
        report.add(compared, judge::is_judged(case, dtype, overrides));
    }
    Ok(report)
}
