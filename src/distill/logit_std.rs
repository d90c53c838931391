//! Logit standardisation: student and teacher are compared after the logits of each image have been brought to mean 0 and
//! standard deviation 1, so that the student need not reach the teacher's scale.
//!
//! `N(z) = (z - mean_c z) / (1e-7 + std_c z)` (Sun et al., algorithm 1), std with the divisor C - 1 as their code has it. N(z)
//! takes the place of z in the divergences of another method, whose weight is `kd_weight`:
//! - `kd`: `ce_weight CE(z_S, y) + kd_weight T^2 KL(softmax(N(z_t) / T) || softmax(N(z_S) / T))`;
//! - `dkd`: `dkd_ce_weight CE + w kd_weight T^2 (alpha TCKD + beta NCKD)`, warmed up as in [`super::dkd`];
//! - `mlkd`: as in [`super::mlkd`], where the likeness of classes and images stays that of the logits themselves.

use super::logits::several_classes;
use super::{Hyperparameter, Hyperparameters, Lesson, MethodDescription, Needs, Taught, Use, dkd, kd, mlkd};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are those of the authors' command line.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "logit_std",
    title: "student and teacher are compared after each image's logits were standardised",
    paper: "Sun, Ren, Li, Wang, Cao: Logit Standardization in Knowledge Distillation, CVPR 2024, arXiv 2403.01427",
    needs: Needs { teachers: Use::Required, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::choice("base", &["kd", "dkd", "mlkd"], "the method whose logits are standardised"),
        Hyperparameter::positive("temperature", 2.0, "divides the standardised logits; with mlkd the first of five"),
        Hyperparameter::weight("ce_weight", 0.1, "weight of the cross-entropy with the labels, with kd and mlkd"),
        Hyperparameter::weight("dkd_ce_weight", 1.0, "weight of the cross-entropy with the labels, with dkd"),
        Hyperparameter::weight("kd_weight", 9.0, "weight of all that comes from the teacher"),
        Hyperparameter::weight(
            "alpha",
            1.0,
            "with dkd: weight of the divergence in the share of the true class, times kd_weight",
        ),
        Hyperparameter::weight(
            "beta",
            8.0,
            "with dkd: weight of the divergence among the other classes, times kd_weight",
        ),
        Hyperparameter::epochs(
            "warmup_epochs",
            20.0,
            "with dkd: epochs in which the divergences rise to their weights",
        ),
        mlkd::MASKS,
        mlkd::OPERATIONS,
    ],
    contradiction: |values| {
        let of_labels = if values.choice("base") == "dkd" { "dkd_ce_weight" } else { "ce_weight" };
        values.idle(&[of_labels, "kd_weight"])
    },
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson; of several teachers the first is the teacher.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    if values.choice("base") == "mlkd" {
        return mlkd::levels(tape, lesson, values, standardised);
    }
    let (student, mentor) = (lesson.student.logits, lesson.teacher()?.logits);
    let logits = [standardised(tape, student)?, standardised(tape, mentor)?];
    if values.choice("base") == "kd" {
        return kd::record_of(tape, lesson, logits, values);
    }
    let weights = dkd::Weights {
        cross_entropy: values.number("dkd_ce_weight"),
        alpha: values.number("kd_weight") * values.number("alpha"),
        beta: values.number("kd_weight") * values.number("beta"),
        warmup_epochs: values.epochs("warmup_epochs"),
    };
    dkd::record_of(tape, lesson, logits, values.number("temperature"), &weights)
}

/// Variances below this are no longer told from zero: their root has no slope.
const NOTHING: f64 = 1e-30;

/// `N(z)` of `[B, C]`. The gradient flows through mean and deviation.
fn standardised(tape: &mut Tape, logits: ValueId) -> Result<ValueId> {
    let classes = several_classes(tape, logits, "standardisation")? as f64;
    let mean = tape.mean(logits, &[1])?;
    let centred = tape.subtract(logits, mean)?;
    let square = tape.square(centred)?;
    let square = tape.mean(square, &[1])?;
    let variance = tape.affine(square, classes / (classes - 1.0), 0.0)?;
    let variance = tape.at_least(variance, NOTHING)?;
    let deviation = tape.sqrt(variance)?;
    let deviation = tape.affine(deviation, 1.0, 1e-7)?;
    tape.divide(centred, deviation)
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let strong: &[(&str, [usize; 3])] = &[("strong_logits", [1, 1, 4])];
        let small = Small { mentors: &[("teacher", &[])], ..Small::default() };
        check_method("logit_std", "{}", &small);
        check_method("logit_std", r#"{"base": "dkd", "temperature": 1, "kd_weight": 2}"#, &small);
        check_method("logit_std", r#"{"base": "dkd", "warmup_epochs": 4}"#, &Small { epoch: 1.0, ..small.clone() });
        let small = Small { student: strong, mentors: &[("teacher", strong)], ..small };
        check_method("logit_std", r#"{"base": "mlkd", "ce_weight": 2}"#, &small);
        check_method("logit_std", r#"{"base": "mlkd", "masks": "sample"}"#, &small);
    }
}
