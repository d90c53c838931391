//! What methods on logits share: divergences of single images, where each has a weight or a temperature of its own, and
//! mixtures.

use super::Hyperparameters;
use crate::error::{Error, Result};
use crate::tape::{Tape, ValueId};

/// `T^2 KL(softmax(z_m / T) || softmax(z_S / T))` of every image, `[B, 1]`, with a gradient to `student` and `mentor`
/// `[B, C]`. Where only the mean is wanted, [`Tape::kl_divergence`] does it at once.
///
/// # Errors
/// If shapes do not fit or the temperature is not positive.
pub(super) fn divergences(tape: &mut Tape, student: ValueId, mentor: ValueId, temperature: f64) -> Result<ValueId> {
    let log_student = tape.log_softmax(student, temperature)?;
    let log_mentor = tape.log_softmax(mentor, temperature)?;
    let rows = divergences_of(tape, log_student, log_mentor)?;
    Ok(tape.scale(rows, temperature * temperature))
}

/// `sum_c p (ln p - ln q)` of every row, `[B, 1]`, given `ln q` and `ln p`. A probability that is zero adds nothing.
pub(super) fn divergences_of(tape: &mut Tape, log_q: ValueId, log_p: ValueId) -> Result<ValueId> {
    let p = tape.exp(log_p)?;
    let logarithms = tape.subtract(log_p, log_q)?;
    let parts = tape.multiply(p, logarithms)?;
    tape.sum(parts, &[1])
}

/// `sum_k weights[.., k] values[k]` of every row: `weights` `[B, K]` and K `values` `[B, C]` to `[B, C]`.
///
/// # Errors
/// If the shapes do not fit.
pub(super) fn mixture(tape: &mut Tape, weights: ValueId, values: &[ValueId]) -> Result<ValueId> {
    let shape = tape.shape(values[0]);
    let (batch, classes) = (shape[0], shape.channels());
    let all = tape.concat(values)?; // [B, K C]
    let all = tape.view(all, [batch, values.len(), classes])?;
    let weights = tape.view(weights, [batch, values.len(), 1])?;
    let weighted = tape.multiply(weights, all)?;
    let sum = tape.sum(weighted, &[1])?;
    tape.view(sum, [batch, classes])
}

/// The sum of `values`, which have one shape, in their order.
///
/// # Errors
/// If there are none.
pub(super) fn added(tape: &mut Tape, values: &[ValueId]) -> Result<ValueId> {
    let (first, others) = values.split_first().ok_or_else(|| Error::failed("nothing to add"))?;
    others.iter().try_fold(*first, |sum, value| tape.add(sum, *value))
}

/// `ln p` of probabilities that were mixed; those below 1e-37 count as this, so that 0 times it is 0.
pub(super) fn log_of(tape: &mut Tape, probabilities: ValueId) -> Result<ValueId> {
    let bounded = tape.at_least(probabilities, 1e-37)?;
    tape.log(bounded)
}

/// What a mean over the batch is divided by for the hyperparameter `kl_reduction`: with `"mean"` by the number of classes, as
/// if it were the mean over batch and classes (`torch.nn.KLDivLoss(reduction="mean")`).
pub(super) fn kl_divisor(tape: &Tape, logits: ValueId, values: &Hyperparameters) -> f64 {
    if values.choice("kl_reduction") == "mean" { tape.shape(logits).channels() as f64 } else { 1.0 }
}

/// How many classes `logits` `[B, C]` have.
///
/// # Errors
/// If there is but one: `what` means nothing then.
pub(super) fn several_classes(tape: &Tape, logits: ValueId, what: &str) -> Result<usize> {
    match tape.shape(logits).channels() {
        classes @ 2.. => Ok(classes),
        few => Err(Error::request(format!("{what} needs two or more classes, and the logits have {few}"))),
    }
}
