//! Similarity-preserving distillation: images that are similar to the teacher are similar to the student.
//!
//! `loss = ce_weight CE(z_S, y) + feature_weight |G_S - G_T|^2 / B^2`, where the rows of `G` are those of `F F^T`, divided by
//! their lengths, and `F` `[B, H W C]` is the last map.

use super::{Hyperparameter, Hyperparameters, Lesson, MethodDescription, Needs, Taught, Use, features, hint};
use crate::error::Result;
use crate::ops::matmul::Transposed;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The weight is RepDistiller's and mdistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "sp",
    title: "images that are similar to the teacher are similar to the student",
    paper: "Tung, Mori: Similarity-Preserving Knowledge Distillation, ICCV 2019, arXiv 1907.09682",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight(
            "feature_weight",
            3000.0,
            "weight of the mean squared difference between the similarities",
        ),
    ],
    contradiction: hint::idle,
    taps: |classroom, _| {
        features::of_teacher(classroom, features::only(features::last_map), features::only(features::last_map))
    },
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let (own, wanted) = (lesson.student.last_map(tape)?, lesson.teacher()?.last_map(tape)?);
    let (own, wanted) = (similarities(tape, own)?, similarities(tape, wanted)?);
    let loss = hint::mean_square(tape, own, wanted)?;
    hint::taught(tape, lesson, values, loss)
}

/// Of a map `[B, H, W, C]`: `[B, B]`.
fn similarities(tape: &mut Tape, map: ValueId) -> Result<ValueId> {
    let shape = tape.shape(map);
    let rows = tape.view(map, [shape[0], shape.count() / shape[0]])?;
    let products = tape.matmul(rows, rows, Transposed { a: false, b: true })?;
    hint::normalised(tape, products, 1)
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Mentors, Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let mentors: Mentors<'_> = &[("teacher", &[("f3", [4, 4, 2])])];
        check_method("sp", "{}", &Small { student: &[("f3", [2, 2, 3])], mentors, ..Small::default() });
    }
}
