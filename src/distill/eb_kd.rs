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

/// Is added to every entropy, so that mentors of which all are certain have equal weights, `(K - 1) / K`, where the paper
/// divides 0 by 0. A normal float32; the entropy of two classes whose logits differ by 73 is as small.
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
        entropies.push(tape.affine(sum, -1.0, CERTAIN)?);
    }
    let total = added(tape, &entropies)?;
    let weight = |entropy: ValueId| {
        let share = tape.divide(entropy, total)?;
        tape.affine(share, -1.0, 1.0)
    };
    entropies.into_iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::check::{Small, check_method};
    use crate::tape::{Arena, Plan, StateLayout};
    use crate::tensor::DType;

    #[test]
    fn gradients_are_those_of_the_loss() {
        let small = Small { mentors: &[("teacher", &[]), ("peer-1", &[]), ("peer-2", &[])], ..Small::default() };
        check_method("eb_kd", "{}", &small);
        check_method("eb_kd", r#"{"temperature": 1.5, "ce_weight": 0, "kd_weight": 2}"#, &small);
    }

    #[test]
    fn one_mentor_is_too_few() {
        assert!(enough(1).unwrap_err().to_string().contains("two or more"));
        enough(2).unwrap();
    }

    /// Three mentors: all of them certain of the first image, the first of them of the second, none of the third. The
    /// weights of an image are K - 1 = 2 in sum.
    #[test]
    fn certain_mentors_are_weighed_alike() {
        for float in [DType::F32, DType::F64] {
            let (mut layout, mut tape) = (StateLayout::new(), Tape::new(float));
            let ids = [0, 1, 2].map(|_| layout.declare("logits", float, [3, 2]));
            let logits = ids.map(|id| tape.state(&layout, id));
            let made = weights(&mut tape, &logits).unwrap();
            made.iter().for_each(|id| tape.keep(*id));
            let plan = Plan::new(&tape, &layout);
            let mut state = layout.allocate();
            for (id, second) in ids.iter().zip([1e4, 1.0, 1.0]) {
                state.set_f64(*id, &[1e4, -1e4, second, -second, 0.5, -0.5]);
            }
            let mut arena = Arena::new(plan.bytes());
            plan.run(&mut arena, &mut state).unwrap();
            let made: Vec<Vec<f64>> = made.iter().map(|id| plan.read_f64(&arena, &state, *id).unwrap()).collect();
            for (mentor, (found, expected)) in
                made.iter().zip([[2.0 / 3.0, 1.0], [2.0 / 3.0, 0.5], [2.0 / 3.0, 0.5]]).enumerate()
            {
                let expected = [expected[0], expected[1], 2.0 / 3.0];
                for (found, expected) in found.iter().zip(expected) {
                    // A few roundings of numbers below 1.
                    assert!((found - expected).abs() <= 4.0 * f64::from(f32::EPSILON), "{float} {mentor}: {made:?}");
                }
            }
        }
    }
}
