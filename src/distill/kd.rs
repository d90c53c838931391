//! Knowledge distillation as Hinton, Vinyals and Dean defined it: the student also matches the teacher's softened
//! probabilities.
//!
//! `loss = ce_weight CE(z_S, y) + kd_weight T^2 KL(softmax(z_T / T) || softmax(z_S / T))`, means over the batch.

use super::{Hyperparameter, Hyperparameters, Kind, Lesson, MentorUse, MethodDescription, Needs, Taught, Term, Use};
use crate::error::Result;
use crate::tape::Tape;

/// What this method says about itself. The defaults are RepDistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "kd",
    title: "the student matches the teacher's softened probabilities",
    paper: "Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015, arXiv 1503.02531",
    needs: Needs { teachers: Use::Required, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter {
            name: "temperature",
            kind: Kind::Number { default: 4.0, minimum: 0.0, inclusive: false },
            documentation: "divides the logits of student and teacher",
        },
        Hyperparameter {
            name: "ce_weight",
            kind: Kind::Number { default: 0.1, minimum: 0.0, inclusive: true },
            documentation: "weight of the cross-entropy with the labels",
        },
        Hyperparameter {
            name: "kd_weight",
            kind: Kind::Number { default: 0.9, minimum: 0.0, inclusive: true },
            documentation: "weight of the divergence from the teacher",
        },
    ],
    contradiction: |values| {
        let idle = values.number("ce_weight") == 0.0 && values.number("kd_weight") == 0.0;
        idle.then(|| ("kd_weight", "with ce_weight = 0 as well there is no loss to learn from".to_string()))
    },
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson; of several teachers the first is the teacher.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let teacher = lesson.teacher()?;
    let (temperature, kd_weight) = (values.number("temperature"), values.number("kd_weight"));
    let cross_entropy = lesson.cross_entropy(tape)?;
    let divergence = tape.kl_divergence(lesson.student.logits, teacher.logits, temperature)?;
    let terms = [(values.number("ce_weight"), cross_entropy), (kd_weight, divergence)];
    let parts = terms.map(|(weight, value)| tape.scale(value, weight));
    let loss = tape.add(parts[0], parts[1])?;
    let terms = vec![Term::scalar("cross_entropy", parts[0]), Term::scalar(&teacher.role, parts[1])];
    let mentors = vec![MentorUse::constant(&teacher.role, kd_weight, Some(temperature))];
    Ok(Taught { mentors, ..Taught::new(loss, terms) })
}
