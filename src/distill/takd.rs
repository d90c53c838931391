//! Teacher assistants: the student learns from the last of a chain of ever smaller models, each taught by the one before
//! it, so that no step of the chain is too large.
//!
//! `loss = (1 - lambda) CE(z_S, y) + lambda T^2 KL(softmax(z_A / T) || softmax(z_S / T))`, A the last assistant, or the
//! teacher where there is none yet: so the assistants themselves are taught.
//!
//! The authors average the divergence over batch and classes (`kl_reduction = "mean"`) and search `lambda` and `T` for each
//! pair; where they name no value, this has the usual mean over the batch, T = 4 and lambda = 0.9.

use super::logits::kl_divisor;
use super::{Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Taught, Use};
use crate::error::Result;
use crate::tape::Tape;

/// What this method says about itself.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "takd",
    title: "the student learns from the last of a chain of assistants, each taught by the one before it",
    paper: "Mirzadeh, Farajtabar, Li, Levine, Matsukawa, Ghasemzadeh: Improved Knowledge Distillation via Teacher \
            Assistant, AAAI 2020, arXiv 1902.03393",
    needs: Needs { teachers: Use::Optional, assistants: Use::Optional, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 4.0, "divides the logits of student and assistant"),
        Hyperparameter::share("lambda", 0.9, "share of the divergence in the loss; the labels have the rest"),
        Hyperparameter::choice(
            "kl_reduction",
            &["batchmean", "mean"],
            "mean of the divergence over the batch, or over batch and classes as the authors' code has it",
        ),
    ],
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let assistant = match lesson.assistants().last() {
        Some(assistant) => assistant,
        None => lesson.teacher()?,
    };
    let (temperature, share) = (values.number("temperature"), values.number("lambda"));
    let cross_entropy = lesson.cross_entropy(tape)?;
    let divergence = tape.kl_divergence(lesson.student.logits, assistant.logits, temperature)?;
    let weight = share * (1.0 / kl_divisor(tape, lesson.student.logits, values));
    let parts = [("cross_entropy", 1.0 - share, cross_entropy), (&assistant.role, weight, divergence)];
    let mentors = vec![MentorUse::constant(&assistant.role, share, Some(temperature))];
    Ok(Taught { mentors, ..Taught::sum(tape, parts)? })
}
