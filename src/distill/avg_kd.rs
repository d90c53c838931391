//! Several teachers, all alike: the student matches the mean of their softened probabilities.
//!
//! `loss = ce_weight CE(z_S, y) + kd_weight T^2 KL(mean_k softmax(z_k / T) || softmax(z_S / T))`, means over the batch.
//! Its gradient is that of the mean of the K divergences, which is larger by what the mentors differ among themselves.

use super::logits::{added, divergences_of, log_of};
use super::{Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Taught, Use};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are those of the baseline AVER in Zhang, Chen, Wang: Confidence-aware
/// multi-teacher knowledge distillation, ICASSP 2022.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "avg_kd",
    title: "the student matches the mean of its mentors' softened probabilities",
    paper: "You, Xu, Xu, Tao: Learning from Multiple Teacher Networks, KDD 2017",
    needs: Needs { teachers: Use::Optional, peers: Use::Optional, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 4.0, "divides the logits of student and mentors"),
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("kd_weight", 1.0, "weight of the divergence from the mentors' mean"),
    ],
    contradiction: |values| values.idle(&["ce_weight", "kd_weight"]),
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let (temperature, kd_weight) = (values.number("temperature"), values.number("kd_weight"));
    let mentors: Vec<_> = lesson.classmates().collect();
    let share = 1.0 / mentors.len() as f64;
    let cross_entropy = lesson.cross_entropy(tape)?;
    let softened: Vec<ValueId> =
        mentors.iter().map(|mentor| tape.softmax(mentor.logits, temperature)).collect::<Result<_>>()?; // [B, C] each
    let sum = added(tape, &softened)?;
    let mean = tape.affine(sum, share, 0.0)?;
    let log_mean = log_of(tape, mean)?;
    let log_student = tape.log_softmax(lesson.student.logits, temperature)?;
    let divergences = divergences_of(tape, log_student, log_mean)?;
    let divergence = tape.average(divergences)?;
    let parts = [
        ("cross_entropy", values.number("ce_weight"), cross_entropy),
        ("mentors", kd_weight * temperature * temperature, divergence),
    ];
    let uses = mentors.iter().map(|mentor| MentorUse::constant(&mentor.role, kd_weight * share, Some(temperature)));
    Ok(Taught { mentors: uses.collect(), ..Taught::sum(tape, parts)? })
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
