//! Decoupled knowledge distillation: what the teacher says of the true class and what it says of the others are separate
//! terms, so that a teacher that is sure of the true class does not silence the rest.
//!
//! `loss = ce_weight CE(z_S, y) + w T^2 (alpha TCKD + beta NCKD)`, with p = softmax(z / T), means over the batch:
//! `TCKD = KL(b_t || b_S)`, where b = (p_y, 1 - p_y); `NCKD = KL(q_t || q_S)`, where q is the softmax over the other classes
//! alone; and w rises from 1 / warmup_epochs to 1 (Zhao et al., equation 7; the warm-up is their code's).

use super::logits::{divergences_of, several_classes};
use super::{Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Taught, Use};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are the authors' for CIFAR-100; they take beta = 2 where the teacher is
/// hardly better than the student, and 6 for most WRN and VGG pairs.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "dkd",
    title: "what the teacher says of the true class and of the others are separate terms",
    paper: "Zhao, Cui, Song, Qiu, Liang: Decoupled Knowledge Distillation, CVPR 2022, arXiv 2203.08679",
    needs: Needs { teachers: Use::Required, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 4.0, "divides the logits of student and teacher"),
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("alpha", 1.0, "weight of the divergence in the share of the true class"),
        Hyperparameter::weight("beta", 8.0, "weight of the divergence among the other classes"),
        Hyperparameter::epochs("warmup_epochs", 20.0, "epochs in which both divergences rise to their weights"),
    ],
    contradiction: |values| values.idle(&["ce_weight", "alpha", "beta"]),
    record,
    ..MethodDescription::BASE
};

/// The weights of the loss's parts.
pub(super) struct Weights {
    pub cross_entropy: f64,
    pub alpha: f64,
    pub beta: f64,
    pub warmup_epochs: f64,
}

/// Records the loss of a lesson; of several teachers the first is the teacher.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let logits = [lesson.student.logits, lesson.teacher()?.logits];
    let weights = Weights {
        cross_entropy: values.number("ce_weight"),
        alpha: values.number("alpha"),
        beta: values.number("beta"),
        warmup_epochs: values.epochs("warmup_epochs"),
    };
    record_of(tape, lesson, logits, values.number("temperature"), &weights)
}

/// Records the loss of a lesson where the divergences compare other `logits` of student and teacher.
pub(super) fn record_of(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    [student, mentor]: [ValueId; 2],
    temperature: f64,
    weights: &Weights,
) -> Result<Taught> {
    let role = lesson.teacher()?.role.clone();
    let cross_entropy = lesson.cross_entropy(tape)?;
    let (target, others) = decoupled(tape, student, mentor, lesson.labels, temperature)?;
    let mut warm = |weight: f64, value: ValueId| {
        let weighted = tape.scale(value, weight);
        lesson.warmed_up(tape, weights.warmup_epochs, weighted)
    };
    let (target, others) = (warm(weights.alpha, target)?, warm(weights.beta, others)?);
    let parts = [
        ("cross_entropy", weights.cross_entropy, cross_entropy),
        ("true_class", 1.0, target),
        ("other_classes", 1.0, others),
    ];
    let weight = lesson.warmed_up_weight(tape, weights.warmup_epochs, 1.0)?;
    let mentors = vec![MentorUse { weight, ..MentorUse::constant(role, 1.0, Some(temperature)) }];
    Ok(Taught { mentors, ..Taught::sum(tape, parts)? })
}

/// Taken off the true class' logit over temperature: its share is zero then, in float32 and in float64.
const HIDDEN: f64 = 1000.0;

/// `T^2 TCKD` and `T^2 NCKD`, scalars, of `student` and `mentor` `[B, C]`.
///
/// # Errors
/// If there is but one class, or shapes do not fit.
fn decoupled(
    tape: &mut Tape,
    student: ValueId,
    mentor: ValueId,
    labels: ValueId,
    temperature: f64,
) -> Result<(ValueId, ValueId)> {
    let classes = several_classes(tape, student, "decoupled distillation")?;
    let each = 1.0 / (classes as f64 - 1.0);
    let is_true = tape.one_hot(labels, classes)?; // [B, C]
    let hidden = tape.scale(is_true, -HIDDEN * temperature);
    let mean_of_others = tape.affine(is_true, -each, each)?;
    // ln p_y and ln(1 - p_y), [B, 1], and ln q, [B, C]. ln p_c - ln q_c is ln(1 - p_y) for every other class c: so it needs no
    // logarithm of a difference that may be zero.
    let mut split = |logits: ValueId| {
        let log_p = tape.log_softmax(logits, temperature)?;
        let without = tape.add(logits, hidden)?;
        let log_q = tape.log_softmax(without, temperature)?;
        let own = tape.multiply(log_p, is_true)?;
        let difference = tape.subtract(log_p, log_q)?;
        let other = tape.multiply(difference, mean_of_others)?;
        Ok::<_, crate::error::Error>([tape.sum(own, &[1])?, tape.sum(other, &[1])?, log_q])
    };
    let [student, mentor] = [split(student)?, split(mentor)?];
    let of_true = divergences_of(tape, student[0], mentor[0])?;
    let of_rest = divergences_of(tape, student[1], mentor[1])?;
    let both = tape.add(of_true, of_rest)?;
    let among_others = divergences_of(tape, student[2], mentor[2])?;
    let (target, others) = (tape.average(both)?, tape.average(among_others)?);
    let square = temperature * temperature;
    Ok((tape.scale(target, square), tape.scale(others, square)))
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let small = Small { mentors: &[("teacher", &[])], ..Small::default() };
        for hyperparameters in ["{}", r#"{"temperature": 1, "ce_weight": 0.5, "alpha": 3, "beta": 0.5}"#] {
            check_method("dkd", hyperparameters, &small);
        }
        check_method("dkd", r#"{"warmup_epochs": 4}"#, &Small { epoch: 1.0, ..small });
    }
}
