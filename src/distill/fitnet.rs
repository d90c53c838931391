//! FitNets: behind a regressor, a map in the middle of the student matches the teacher's.
//!
//! `loss = ce_weight CE(z_S, y) + feature_weight mean (r(f_S) - f_T)^2`, the mean over all elements; `r` is a convolution to
//! the teacher's shape with BatchNorm and ReLU ([`conv_reg`]), trained with the student. Regressor, weight and training in
//! one stage are those of RepDistiller and mdistiller; the paper trains the first half of the student alone before.

use super::adapters::{conv_reg, map_of};
use super::{Hyperparameter, Hyperparameters, Lesson, MethodDescription, Needs, Taught, Use, features, hint};
use crate::error::Result;
use crate::tape::Tape;

/// What this method says about itself.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "fitnet",
    title: "behind a regressor, a map in the middle of the student matches the teacher's",
    paper: "Romero, Ballas, Kahou, Chassang, Gatta, Bengio: FitNets: Hints for Thin Deep Nets, ICLR 2015, arXiv 1412.6550",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("feature_weight", 100.0, "weight of the mean squared difference between the maps"),
        Hyperparameter::choice(
            "layer",
            &["f2", "f0", "f1", "f3", "f4"],
            "which feature of student and teacher is matched; f0 is the stem's",
        ),
    ],
    contradiction: hint::idle,
    taps: |classroom, values| {
        let layer = values.choice("layer");
        features::of_teacher(classroom, |net| features::named(net, layer), |net| features::named(net, layer))
    },
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let layer = values.choice("layer");
    let wanted = lesson.teacher()?.feature(tape, layer)?;
    let own = lesson.student.activation(layer)?;
    let regressor = conv_reg(map_of(tape, own), map_of(tape, wanted))?;
    let matched = lesson.adapted(tape, "regressor", &regressor, own)?;
    let loss = hint::mean_square(tape, matched, wanted)?;
    hint::taught(tape, lesson, values, loss)
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Mentors, Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        for (student, teacher) in
            [([4, 4, 3], [4, 4, 5]), ([4, 4, 3], [2, 2, 4]), ([2, 2, 3], [4, 4, 4]), ([5, 5, 2], [4, 4, 3])]
        {
            let mentors: Mentors<'_> = &[("teacher", &[("f2", teacher)])];
            check_method("fitnet", "{}", &Small { student: &[("f2", student)], mentors, ..Small::default() });
        }
        let mentors: Mentors<'_> = &[("teacher", &[("f3", [2, 2, 3])])];
        let small = Small { student: &[("f3", [2, 2, 3])], mentors, ..Small::default() };
        check_method("fitnet", r#"{"layer": "f3", "feature_weight": 3.0, "ce_weight": 0.5}"#, &small);
        let mentors: Mentors<'_> = &[("teacher", &[("f0", [2, 2, 3])])];
        check_method("fitnet", r#"{"layer": "f0"}"#, &Small { student: &[("f0", [2, 2, 3])], mentors, ..small });
    }
}
