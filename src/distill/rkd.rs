//! Relational knowledge distillation: the student's vectors lie to each other as the teacher's do.
//!
//! `loss = ce_weight CE(z_S, y) + distance_weight L_D + angle_weight L_A` on the pooled vectors, with the losses of
//! [`Relations`].

use super::relations::Relations;
use super::{
    Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Taught, Use, features, hint,
};
use crate::error::Result;
use crate::tape::Tape;

/// What this method says about itself. The weights are RepDistiller's and mdistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "rkd",
    title: "distances and angles between the student's pooled vectors are as between the teacher's",
    paper: "Park, Kim, Lu, Cho: Relational Knowledge Distillation, CVPR 2019, arXiv 1904.05068",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("distance_weight", 25.0, "weight of the loss on distances between pairs"),
        Hyperparameter::weight("angle_weight", 50.0, "weight of the loss on angles of triplets"),
    ],
    contradiction: |values| values.idle(&["ce_weight", "distance_weight", "angle_weight"]),
    taps: |classroom, _| {
        features::of_teacher(classroom, features::only(features::pooled), features::only(features::pooled))
    },
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let (own, wanted) = (lesson.student.pooled(tape)?, lesson.teacher()?.pooled(tape)?);
    let relations = Relations::new(tape, own, wanted)?;
    let weights = [values.number("distance_weight"), values.number("angle_weight")];
    let mut terms = Vec::new();
    if weights[0] > 0.0 {
        terms.push(("distance", weights[0], relations.distance_loss(tape)?));
    }
    if weights[1] > 0.0 {
        terms.push(("angle", weights[1], relations.angle_loss(tape)?));
    }
    let taught = hint::sum(tape, lesson, values, &terms)?;
    let role = lesson.teacher()?.role.clone();
    Ok(Taught { mentors: vec![MentorUse::constant(role, weights[0] + weights[1], None)], ..taught })
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Mentors, Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let mentors: Mentors<'_> = &[("teacher", &[("f4", [1, 1, 7])])];
        let small = Small { student: &[("f4", [1, 1, 5])], mentors, ..Small::default() };
        for hyperparameters in ["{}", r#"{"distance_weight": 0}"#, r#"{"angle_weight": 0, "ce_weight": 2.0}"#] {
            check_method("rkd", hyperparameters, &small);
        }
    }
}
