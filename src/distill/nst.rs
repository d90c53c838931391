//! Neuron selectivity transfer: the student's channels respond to places as a distribution like that of the teacher's.
//!
//! `loss = ce_weight CE(z_S, y) + feature_weight sum over stages (k(T, T) + k(S, S) - 2 k(S, T))`, the squared maximum mean
//! discrepancy with the polynomial kernel: `k(A, B)` is the mean over images and pairs of channels of `(a_i . b_j)^2`, where
//! `a_i` is a channel's map, seen as a vector of length 1. The larger map is averaged down to the size of the smaller.

use super::{Hyperparameter, Hyperparameters, Lesson, MethodDescription, Needs, Taught, Use, features, hint};
use crate::error::Result;
use crate::ops::matmul::Transposed;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The weight is RepDistiller's and mdistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "nst",
    title: "the student's channels select places as the teacher's do, stage by stage",
    paper: "Huang, Wang: Like What You Like: Knowledge Distill via Neuron Selectivity Transfer, 2017, arXiv 1707.01219",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("feature_weight", 50.0, "weight of the sum over the stages"),
    ],
    contradiction: hint::idle,
    taps: |classroom, _| features::of_teacher(classroom, features::maps, features::maps),
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let mut kernels = Vec::new();
    for (own, wanted) in hint::stages(tape, lesson)? {
        let (own, wanted) = (channels(tape, own)?, channels(tape, wanted)?);
        for (weight, a, b) in [(1.0, wanted, wanted), (1.0, own, own), (-2.0, own, wanted)] {
            kernels.push((weight, kernel(tape, a, b)?));
        }
    }
    let loss = tape.weighted_sum(&kernels)?;
    hint::taught(tape, lesson, values, loss)
}

/// The channels of a map `[B, H, W, C]` as vectors of length 1, `[B, H W, C]`.
fn channels(tape: &mut Tape, map: ValueId) -> Result<ValueId> {
    let shape = tape.shape(map);
    let columns = tape.view(map, [shape[0], shape[1] * shape[2], shape[3]])?;
    hint::normalised(tape, columns, 1)
}

fn kernel(tape: &mut Tape, a: ValueId, b: ValueId) -> Result<ValueId> {
    let products = tape.matmul(a, b, Transposed { a: true, b: false })?;
    let square = tape.square(products)?;
    tape.average(square)
}
