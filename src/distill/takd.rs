//! Teacher assistants: the student learns from the last of a chain of ever smaller models, each taught by the one before
//! it, so that no step of the chain is too large.
//!
//! `loss = (1 - lambda) CE(z_S, y) + lambda T^2 KL(softmax(z_A / T) || softmax(z_S / T))`, A the last assistant, or the
//! teacher where there is none yet: so the assistants themselves are taught.
//!
//! The authors average the divergence over batch and classes (`kl_reduction = "mean"`) and search `lambda` and `T` for each
//! pair; where they name no value, this has the usual mean over the batch, T = 4 and lambda = 0.9.

use super::{Hyperparameter, Hyperparameters, Kind, Lesson, MentorUse, MethodDescription, Needs, Taught, Term, Use};
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
        Hyperparameter {
            name: "temperature",
            kind: Kind::Number { default: 4.0, minimum: 0.0, inclusive: false },
            documentation: "divides the logits of student and assistant",
        },
        Hyperparameter {
            name: "lambda",
            kind: Kind::Number { default: 0.9, minimum: 0.0, inclusive: true },
            documentation: "share of the divergence in the loss; the labels have the rest",
        },
        Hyperparameter {
            name: "kl_reduction",
            kind: Kind::Choice { names: &["batchmean", "mean"] },
            documentation: "mean of the divergence over the batch, or over batch and classes as the authors' code has it",
        },
    ],
    contradiction: |values| {
        let share = values.number("lambda");
        (share > 1.0).then(|| ("lambda", format!("is a share, so at most 1, not {share}")))
    },
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
    let classes = tape.shape(lesson.student.logits).channels() as f64;
    let reduction = if values.choice("kl_reduction") == "mean" { 1.0 / classes } else { 1.0 };
    let cross_entropy = lesson.cross_entropy(tape)?;
    let divergence = tape.kl_divergence(lesson.student.logits, assistant.logits, temperature)?;
    let own = tape.scale(cross_entropy, 1.0 - share);
    let taught = tape.scale(divergence, share * reduction);
    let loss = tape.add(own, taught)?;
    let terms = vec![Term::scalar("cross_entropy", own), Term::scalar(&assistant.role, taught)];
    let mentors = vec![MentorUse::constant(&assistant.role, share, Some(temperature))];
    Ok(Taught { mentors, ..Taught::new(loss, terms) })
}
