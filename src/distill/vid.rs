//! Variational information distillation: the student's maps say as much as can be about the teacher's.
//!
//! `loss = ce_weight CE(z_S, y) + feature_weight sum over stages mean of ((mu(f_S) - f_T)^2 / v + ln v) / 2`, the mean over
//! all elements (the paper's equation 5 without its constant). `mu` is a regressor of three 1x1 convolutions with ReLU between
//! them, and `v = softplus(a) + 1e-5` a variance for each of the teacher's channels, 5 at the start; both are trained with the
//! student. (In mdistiller `a` reaches no optimizer, so there the variance stays 5; RepDistiller trains it.) The larger map
//! is averaged down to the size of the smaller.

use super::adapters::{map_of, pointwise};
use super::{Hyperparameter, Hyperparameters, Learning, Lesson, MethodDescription, Needs, Taught, Use, features, hint};
use crate::error::Result;
use crate::nn::Distribution;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The weight is RepDistiller's and mdistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "vid",
    title: "regressors and variances tell the teacher's maps from the student's, stage by stage, as surely as they can",
    paper: "Ahn, Hu, Damianou, Lawrence, Dai: Variational Information Distillation for Knowledge Transfer, CVPR 2019, \
            arXiv 1904.05835",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("feature_weight", 1.0, "weight of the sum over the stages"),
    ],
    contradiction: hint::idle,
    taps: |classroom, _| features::of_teacher(classroom, features::maps, features::maps),
    record,
    ..MethodDescription::BASE
};

/// Every variance at the start.
const FIRST_VARIANCE: f64 = 5.0;
/// Added to every variance.
const LEAST_VARIANCE: f64 = 1e-5;

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let mut losses = Vec::new();
    for (index, (own, wanted)) in hint::stages(tape, lesson)?.into_iter().enumerate() {
        losses.push((1.0, negative_log_likelihood(tape, lesson, index + 1, own, wanted)?));
    }
    let loss = tape.weighted_sum(&losses)?;
    hint::taught(tape, lesson, values, loss)
}

/// `((mu - f_T)^2 / v + ln v) / 2`, averaged over all elements: the negative logarithm of the likelihood of the teacher's map
/// `wanted` of a stage, given the student's map `own`.
fn negative_log_likelihood(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    stage: usize,
    own: ValueId,
    wanted: ValueId,
) -> Result<ValueId> {
    let channels = tape.shape(wanted).channels();
    let regressor = pointwise(map_of(tape, own), &[channels; 3], false)?;
    let mean = lesson.adapted(tape, &format!("regressor{stage}"), &regressor, own)?;
    let start = Distribution::Constant { value: (FIRST_VARIANCE - LEAST_VARIANCE).exp_m1().ln() };
    let scale = lesson.parameter(tape, &format!("log_scale{stage}"), [channels], start, Learning::WithStudent);
    let softplus = tape.softplus(scale)?;
    let variance = tape.affine(softplus, 1.0, LEAST_VARIANCE)?;
    let difference = tape.subtract(mean, wanted)?;
    let square = tape.square(difference)?;
    let distance = tape.divide(square, variance)?;
    let (distance, logarithm) = (tape.average(distance)?, tape.log(variance)?);
    let logarithm = tape.average(logarithm)?;
    tape.weighted_sum(&[(0.5, distance), (0.5, logarithm)])
}
