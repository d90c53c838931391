//! Several teachers, all alike: the student matches the mean of their softened probabilities.
//!
//! `loss = ce_weight CE(z_S, y) + kd_weight T^2 KL(mean_k softmax(z_k / T) || softmax(z_S / T))`, means over the batch.
//! Its gradient is that of the mean of the K divergences, which is larger by what the mentors differ among themselves.

use super::logits::divergences_of;
use super::{Hyperparameter, Hyperparameters, Kind, Lesson, MentorUse, MethodDescription, Needs, Taught, Term, Use};
use crate::error::{Error, Result};
use crate::tape::Tape;

/// What this method says about itself. The defaults are those of the baseline AVER in Zhang, Chen, Wang: Confidence-aware
/// multi-teacher knowledge distillation, ICASSP 2022.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "avg_kd",
    title: "the student matches the mean of its mentors' softened probabilities",
    paper: "You, Xu, Xu, Tao: Learning from Multiple Teacher Networks, KDD 2017",
    needs: Needs { teachers: Use::Optional, peers: Use::Optional, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter {
            name: "temperature",
            kind: Kind::Number { default: 4.0, minimum: 0.0, inclusive: false },
            documentation: "divides the logits of student and mentors",
        },
        Hyperparameter {
            name: "ce_weight",
            kind: Kind::Number { default: 1.0, minimum: 0.0, inclusive: true },
            documentation: "weight of the cross-entropy with the labels",
        },
        Hyperparameter {
            name: "kd_weight",
            kind: Kind::Number { default: 1.0, minimum: 0.0, inclusive: true },
            documentation: "weight of the divergence from the mentors' mean",
        },
    ],
    contradiction: |values| {
        let idle = values.number("ce_weight") == 0.0 && values.number("kd_weight") == 0.0;
        idle.then(|| ("kd_weight", "with ce_weight = 0 as well there is no loss to learn from".to_string()))
    },
    record,
    ..MethodDescription::BASE
};

/// Probabilities below this count as this in the logarithm, which they multiply to nothing.
const LEAST: f64 = 1e-37;

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let (temperature, kd_weight) = (values.number("temperature"), values.number("kd_weight"));
    let mentors: Vec<_> = lesson.classmates().collect();
    let share = 1.0 / mentors.len() as f64;
    let cross_entropy = lesson.cross_entropy(tape)?;
    let own = tape.scale(cross_entropy, values.number("ce_weight"));
    let mut sum = None;
    for mentor in &mentors {
        let probabilities = tape.softmax(mentor.logits, temperature)?; // [B, C]
        sum = Some(match sum {
            None => probabilities,
            Some(before) => tape.add(before, probabilities)?,
        });
    }
    let sum = sum.ok_or_else(|| Error::request("this method needs a teacher or a peer"))?;
    let mean = tape.affine(sum, share, 0.0)?;
    let mean = tape.at_least(mean, LEAST)?;
    let log_mean = tape.log(mean)?;
    let log_student = tape.log_softmax(lesson.student.logits, temperature)?;
    let divergences = divergences_of(tape, log_student, log_mean)?;
    let divergence = tape.average(divergences)?;
    let taught = tape.scale(divergence, kd_weight * temperature * temperature);
    let loss = tape.add(own, taught)?;
    let terms = vec![Term::scalar("cross_entropy", own), Term::scalar("mentors", taught)];
    let uses = mentors.iter().map(|mentor| MentorUse::constant(&mentor.role, kd_weight * share, Some(temperature)));
    Ok(Taught { mentors: uses.collect(), ..Taught::new(loss, terms) })
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let small = Small { mentors: &[("teacher", &[]), ("teacher-2", &[]), ("peer-1", &[])], ..Small::default() };
        check_method("avg_kd", "{}", &small);
        check_method("avg_kd", r#"{"temperature": 1.5, "ce_weight": 0, "kd_weight": 2}"#, &small);
        check_method("avg_kd", "{}", &Small { mentors: &[("peer-1", &[])], ..small });
    }
}
