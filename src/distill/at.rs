//! Attention transfer: the student's maps are strong where the teacher's are.
//!
//! `loss = ce_weight CE(z_S, y) + feature_weight sum over stages mean (A_S - A_T)^2`, where `A` is the mean over the channels
//! of a map's squares, seen as one vector per image of length 1; the mean is over images and positions. The larger map is
//! averaged down to the size of the smaller.

use super::{Hyperparameter, Hyperparameters, Lesson, MethodDescription, Needs, Taught, Use, features, hint};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The weight is RepDistiller's and mdistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "at",
    title: "the student's maps are strong where the teacher's are, stage by stage",
    paper: "Zagoruyko, Komodakis: Paying More Attention to Attention: Improving the Performance of Convolutional Neural \
            Networks via Attention Transfer, ICLR 2017, arXiv 1612.03928",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("feature_weight", 1000.0, "weight of the sum over the stages"),
    ],
    contradiction: hint::idle,
    taps: |classroom, _| features::of_teacher(classroom, features::maps, features::maps),
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let mut losses = Vec::new();
    for (own, wanted) in hint::stages(tape, lesson)? {
        let (own, wanted) = (attention(tape, own)?, attention(tape, wanted)?);
        losses.push((1.0, hint::mean_square(tape, own, wanted)?));
    }
    let loss = tape.weighted_sum(&losses)?;
    hint::taught(tape, lesson, values, loss)
}

/// Where a map `[B, H, W, C]` is strong: `[B, H W]`.
pub(super) fn attention(tape: &mut Tape, map: ValueId) -> Result<ValueId> {
    let shape = tape.shape(map);
    let square = tape.square(map)?;
    let strength = tape.mean(square, &[3])?;
    let strength = tape.view(strength, [shape[0], shape[1] * shape[2]])?;
    hint::normalised(tape, strength, 1)
}
