//! Knowledge distillation as Hinton, Vinyals and Dean defined it: the student also matches the teacher's softened
//! probabilities.
//!
//! `loss = ce_weight CE(z_S, y) + kd_weight T^2 KL(softmax(z_T / T) || softmax(z_S / T))`, means over the batch.

use super::{Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Taught, Use};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are RepDistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "kd",
    title: "the student matches the teacher's softened probabilities",
    paper: "Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015, arXiv 1503.02531",
    needs: Needs { teachers: Use::Required, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 4.0, "divides the logits of student and teacher"),
        Hyperparameter::ce_weight(0.1),
        Hyperparameter::weight("kd_weight", 0.9, "weight of the divergence from the teacher"),
    ],
    contradiction: |values| values.idle(&["ce_weight", "kd_weight"]),
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson; of several teachers the first is the teacher.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let logits = [lesson.student.logits, lesson.teacher()?.logits];
    record_of(tape, lesson, logits, values)
}

/// Records the loss of a lesson where the divergence compares other `logits` of student and teacher.
pub(super) fn record_of(
    tape: &mut Tape,
    lesson: &Lesson<'_>,
    [student, mentor]: [ValueId; 2],
    values: &Hyperparameters,
) -> Result<Taught> {
    let role = lesson.teacher()?.role.as_str();
    let (temperature, kd_weight) = (values.number("temperature"), values.number("kd_weight"));
    let cross_entropy = lesson.cross_entropy(tape)?;
    let divergence = tape.kl_divergence(student, mentor, temperature)?;
    let parts = [("cross_entropy", values.number("ce_weight"), cross_entropy), (role, kd_weight, divergence)];
    let mentors = vec![MentorUse::constant(role, kd_weight, Some(temperature))];
    Ok(Taught { mentors, ..Taught::sum(tape, parts)? })
}
