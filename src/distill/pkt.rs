//! Probabilistic knowledge transfer: among the images of a batch, the student finds each other's neighbours as probable as
//! the teacher does.
//!
//! `loss = ce_weight CE(z_S, y) + feature_weight mean over i, j of K_T ln((K_T + e) / (K_S + e))`, e = 1e-7, where `K_ij` is
//! `(1 + cos(x_i, x_j)) / 2`, divided by its sum over j (j = i included), and `x` is the pooled vector.

use super::{Hyperparameter, Hyperparameters, Lesson, MethodDescription, Needs, Taught, Use, features, hint};
use crate::error::Result;
use crate::ops::matmul::Transposed;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The weight is RepDistiller's and mdistiller's, which average over B^2.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "pkt",
    title: "the student finds the images of a batch as likely to be neighbours as the teacher does",
    paper: "Passalis, Tefas: Learning Deep Representations with Probabilistic Knowledge Transfer, ECCV 2018, arXiv 1803.10837",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("feature_weight", 30000.0, "weight of the divergence, which is a mean over all pairs"),
    ],
    contradiction: hint::idle,
    taps: |classroom, _| {
        features::of_teacher(classroom, features::only(features::pooled), features::only(features::pooled))
    },
    record,
    ..MethodDescription::BASE
};

/// Added to lengths and probabilities.
const EPSILON: f64 = 1e-7;

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let (own, wanted) = (lesson.student.pooled(tape)?, lesson.teacher()?.pooled(tape)?);
    let (own, wanted) = (neighbours(tape, own)?, neighbours(tape, wanted)?);
    let above = tape.affine(wanted, 1.0, EPSILON)?;
    let below = tape.affine(own, 1.0, EPSILON)?;
    let ratio = tape.divide(above, below)?;
    let logarithm = tape.log(ratio)?;
    let divergence = tape.multiply(wanted, logarithm)?;
    let loss = tape.average(divergence)?;
    hint::taught(tape, lesson, values, loss)
}

/// How probable it is that image j is a neighbour of image i, of vectors `[B, D]`: `[B, B]`.
fn neighbours(tape: &mut Tape, vectors: ValueId) -> Result<ValueId> {
    let length = hint::norm(tape, vectors, 1)?;
    let length = tape.affine(length, 1.0, EPSILON)?;
    let directions = tape.divide(vectors, length)?;
    let cosines = tape.matmul(directions, directions, Transposed { a: false, b: true })?;
    let similarities = tape.affine(cosines, 0.5, 0.5)?;
    let sums = tape.sum(similarities, &[1])?;
    tape.divide(similarities, sums)
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Mentors, Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let mentors: Mentors<'_> = &[("teacher", &[("f4", [1, 1, 7])])];
        check_method("pkt", "{}", &Small { student: &[("f4", [1, 1, 5])], mentors, ..Small::default() });
    }
}
