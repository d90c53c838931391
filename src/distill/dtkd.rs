//! Dynamic temperatures: for every image student and teacher have a temperature each, so that both are about equally sharp.
//! Whose largest logit is the larger has the higher temperature.
//!
//! `loss = ce_weight CE(z_S, y) + w (alpha L_dt + beta T^2 KL(softmax(z_t / T) || softmax(z_S / T)))`, means over the batch,
//! `L_dt = T_t T_S KL(softmax(z_t / T_t) || softmax(z_S / T_S))`, `T_S = 2 m_S T / (m_t + m_S)`, `T_t = 2 m_t T / (m_t + m_S)`,
//! m the largest logit of an image; w rises from 1 / warmup_epochs to 1 (Wei, Bai, section 3, and their code).
//!
//! The paper measures sharpness by the log-sum-exp, the code by the largest logit, as here. The gradient flows through the
//! temperatures as well.

use super::logits::divergences_of;
use super::{Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Quantity, Taught, Use};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are the authors' for CIFAR-100; pairs of ResNets and of WRNs take
/// alpha = 1 and beta = 0.5.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "dtkd",
    title: "student and teacher have a temperature each for every image, so that both are equally sharp",
    paper: "Wei, Bai: Dynamic Temperature Knowledge Distillation, 2024, arXiv 2404.12711",
    needs: Needs { teachers: Use::Required, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive(
            "temperature",
            4.0,
            "mean of both temperatures, and the one of the ordinary divergence",
        ),
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("alpha", 3.0, "weight of the divergence at dynamic temperatures"),
        Hyperparameter::weight("beta", 1.0, "weight of the divergence at the ordinary temperature"),
        Hyperparameter::epochs("warmup_epochs", 20.0, "epochs in which both divergences rise to their weights"),
        Hyperparameter::positive(
            "least_logit",
            0.1,
            "a largest logit below this counts as this, so that temperatures are above 0 (not in the paper)",
        ),
    ],
    contradiction: |values| values.idle(&["ce_weight", "alpha", "beta"]),
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson; of several teachers the first is the teacher.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let (role, mentor) = (lesson.teacher()?.role.clone(), lesson.teacher()?.logits);
    let (student, temperature) = (lesson.student.logits, values.number("temperature"));
    let cross_entropy = lesson.cross_entropy(tape)?;
    let (dynamic, temperatures) = at_dynamic_temperatures(tape, student, mentor, values)?;
    let plain = tape.kl_divergence(student, mentor, temperature)?;
    let mut warm = |weight: f64, value: ValueId| {
        let weighted = tape.scale(value, weight);
        lesson.warmed_up(tape, values.epochs("warmup_epochs"), weighted)
    };
    let dynamic = warm(values.number("alpha"), dynamic)?;
    let plain = warm(values.number("beta"), plain)?;
    let parts = [
        ("cross_entropy", values.number("ce_weight"), cross_entropy),
        ("dynamic_temperatures", 1.0, dynamic),
        (&role, 1.0, plain),
    ];
    let taught = Taught::sum(tape, parts)?;
    let mean = tape.average(temperatures)?;
    let weight = lesson.warmed_up_weight(tape, values.epochs("warmup_epochs"), 1.0)?;
    let temperature = Some(Quantity::Element(mean, 0));
    let uses = MentorUse { weight, temperature, ..MentorUse::constant(&role, 1.0, None) };
    Ok(Taught { mentors: vec![uses], ..taught })
}

/// `L_dt`, a scalar, and the teacher's temperatures `[B, 1]`.
fn at_dynamic_temperatures(
    tape: &mut Tape,
    student: ValueId,
    mentor: ValueId,
    values: &Hyperparameters,
) -> Result<(ValueId, ValueId)> {
    let mut largest = |logits: ValueId| {
        let largest = tape.max(logits, 1)?;
        tape.at_least(largest, values.number("least_logit"))
    };
    let largest = [largest(student)?, largest(mentor)?]; // [B, 1]
    let sum = tape.add(largest[0], largest[1])?;
    let mut softened = |logits: ValueId, largest: ValueId| {
        let doubled = tape.scale(largest, 2.0 * values.number("temperature"));
        let temperatures = tape.divide(doubled, sum)?;
        let over = tape.divide(logits, temperatures)?;
        Ok::<_, crate::error::Error>((temperatures, tape.log_softmax(over, 1.0)?))
    };
    let (own, log_student) = softened(student, largest[0])?;
    let (other, log_mentor) = softened(mentor, largest[1])?;
    let divergences = divergences_of(tape, log_student, log_mentor)?;
    let squares = tape.multiply(own, other)?;
    let scaled = tape.multiply(squares, divergences)?;
    Ok((tape.average(scaled)?, other))
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};

    /// Made-up logits are up to 1: with the larger floor some of the largest are below it.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let small = Small { mentors: &[("teacher", &[])], batch: 7, ..Small::default() };
        for hyperparameters in [
            "{}",
            r#"{"temperature": 2, "ce_weight": 0, "beta": 0}"#,
            r#"{"least_logit": 0.7, "alpha": 1, "beta": 0.5}"#,
        ] {
            check_method("dtkd", hyperparameters, &small);
        }
        check_method("dtkd", r#"{"warmup_epochs": 4}"#, &Small { epoch: 1.0, ..small });
    }
}
