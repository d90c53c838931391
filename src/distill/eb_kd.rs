//! Several teachers, weighted per image by how sure they are: the lower the entropy of a teacher's probabilities, the
//! more the student listens.
//!
//! `loss = ce_weight CE(z_S, y) + kd_weight (1/B) sum_b (1/K) sum_k w_kb T^2 KL(softmax(z_kb / T) || softmax(z_Sb / T))`,
//! `w_kb = 1 - H_kb / sum_j H_jb`, H the entropy of softmax(z_kb) at temperature 1. The weights of an image sum to K - 1.
//!
//! This is the method as Zhang, Chen, Wang (ICASSP 2022) carried it from speech to images in their comparison.

use super::logits::{added, divergences};
use super::{
    Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Quantity, Taps, Taught, Use,
};
use crate::error::{Error, Result};
use crate::tape::{Tape, ValueId};

/// What this method says about itself.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "eb_kd",
    title: "the student listens to several mentors, most to those that are sure of an image",
    paper: "Kwon, Na, Lee, Kim: Adaptive Knowledge Distillation Based on Entropy, ICASSP 2020",
    needs: Needs { teachers: Use::Optional, peers: Use::Optional, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 4.0, "divides the logits of student and mentors"),
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("kd_weight", 1.0, "weight of the divergences from the mentors"),
    ],
    contradiction: |values| values.idle(&["ce_weight", "kd_weight"]),
    taps: |classroom, _| enough(classroom.classmates().len()).map(|()| Taps::default()),
    record,
    ..MethodDescription::BASE
};

/// A single mentor would have the weight 0.
fn enough(mentors: usize) -> Result<()> {
    match mentors {
        2.. => Ok(()),
        few => Err(Error::request(format!(
            "eb_kd weighs mentors against each other: it needs two or more teachers or peers, and has {few}"
        ))),
    }
}

/// The least sum of entropies that is divided by: all mentors are certain, and have equal weights.
const CERTAIN: f64 = 1e-30;

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let temperature = values.number("temperature");
    let mentors: Vec<_> = lesson.classmates().collect();
    enough(mentors.len())?;
    let scale = values.number("kd_weight") / mentors.len() as f64;
    let cross_entropy = lesson.cross_entropy(tape)?;
    let logits: Vec<ValueId> = mentors.iter().map(|mentor| mentor.logits).collect();
    let weights = weights(tape, &logits)?;
    let mut parts = vec![("cross_entropy", values.number("ce_weight"), cross_entropy)];
    let mut uses = Vec::new();
    for (mentor, weight) in mentors.iter().zip(weights) {
        let divergences = divergences(tape, lesson.student.logits, mentor.logits, temperature)?;
        let weighted = tape.multiply(weight, divergences)?;
        parts.push((&mentor.role, scale, tape.average(weighted)?));
        let mean_weight = tape.average(weight)?;
        let weight = Quantity::Element(tape.scale(mean_weight, scale), 0);
        uses.push(MentorUse { weight, ..MentorUse::constant(&mentor.role, scale, Some(temperature)) });
    }
    Ok(Taught { mentors: uses, ..Taught::sum(tape, parts)? })
}

/// `1 - H_k / sum_j H_j` of every image, `[B, 1]` for each mentor.
fn weights(tape: &mut Tape, logits: &[ValueId]) -> Result<Vec<ValueId>> {
    let mut entropies = Vec::new();
    for logits in logits {
        let log_p = tape.log_softmax(*logits, 1.0)?;
        let p = tape.exp(log_p)?;
        let parts = tape.multiply(p, log_p)?;
        let sum = tape.sum(parts, &[1])?;
        entropies.push(tape.scale(sum, -1.0));
    }
    let total = added(tape, &entropies)?;
    let total = tape.at_least(total, CERTAIN)?;
    let weight = |entropy: ValueId| {
        let share = tape.divide(entropy, total)?;
        tape.affine(share, -1.0, 1.0)
    };
    entropies.into_iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let small = Small { mentors: &[("teacher", &[]), ("peer-1", &[]), ("peer-2", &[])], ..Small::default() };
        check_method("eb_kd", "{}", &small);
        check_method("eb_kd", r#"{"temperature": 1.5, "ce_weight": 0, "kd_weight": 2}"#, &small);
    }

    #[test]
    fn one_mentor_is_too_few() {
        assert!(super::enough(1).unwrap_err().to_string().contains("two or more"));
        super::enough(2).unwrap();
    }
}
