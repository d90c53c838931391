//! Mixtures of several networks' outputs, and divergences through which gradients flow both ways.

use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// `sum_k weights[.., k] values[k]`, row by row: `weights` `[B, K]` and K `values` `[B, C]` to `[B, C]`.
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

/// `(1/B) sum_i sum_c p_ic (ln p_ic - ln q_ic)`, given `ln q` and `ln p` `[B, C]`; a scalar, with a gradient to both.
///
/// # Errors
/// If the shapes differ.
pub(super) fn divergence(tape: &mut Tape, log_q: ValueId, log_p: ValueId) -> Result<ValueId> {
    let batch = tape.shape(log_p)[0] as f64;
    let p = tape.exp(log_p)?;
    let logarithms = tape.subtract(log_p, log_q)?;
    let parts = tape.multiply(p, logarithms)?;
    let sum = tape.total(parts)?;
    Ok(tape.scale(sum, 1.0 / batch))
}
