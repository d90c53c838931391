//! What the policy, its operations and its gradients are all made of.

use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// `1 - x`
pub(super) fn complement(tape: &mut Tape, x: ValueId) -> Result<ValueId> {
    tape.affine(x, -1.0, 1.0)
}

/// `p (1 - p)`, the variance of a bit that is 1 with probability `p`.
pub(super) fn variance(tape: &mut Tape, p: ValueId) -> Result<ValueId> {
    let rest = complement(tape, p)?;
    tape.multiply(p, rest)
}

/// `ln p - ln(1 - p)`
pub(super) fn logit(tape: &mut Tape, p: ValueId) -> Result<ValueId> {
    let rest = complement(tape, p)?;
    let logs = [tape.log(p)?, tape.log(rest)?];
    tape.subtract(logs[0], logs[1])
}

/// `(1 - share) a + share b`
pub(super) fn blend(tape: &mut Tape, a: ValueId, b: ValueId, share: ValueId) -> Result<ValueId> {
    let other = complement(tape, share)?;
    let parts = [tape.multiply(a, other)?, tape.multiply(b, share)?];
    tape.add(parts[0], parts[1])
}

/// `x + (p - detach(p))`: `x` itself, with a gradient to `p` that is the sum of what flows into `x`, where `p` is broadcast.
pub(super) fn straight_through(tape: &mut Tape, x: ValueId, p: ValueId) -> Result<ValueId> {
    let same = tape.detach(p);
    let nothing = tape.subtract(p, same)?;
    tape.add(x, nothing)
}

/// The gradients of the scalar `loss` by each of `wanted`, in their shapes; zeros where nothing flows.
pub(super) fn differentiate(tape: &mut Tape, loss: ValueId, wanted: &[ValueId]) -> Result<Vec<ValueId>> {
    let one = tape.fill([], 1.0);
    let gradients = tape.backward(&[(loss, one)], wanted)?;
    let or_zeros = |(gradient, like): (Option<ValueId>, &ValueId)| match gradient {
        Some(gradient) => gradient,
        None => tape.fill(tape.shape(*like), 0.0),
    };
    Ok(gradients.into_iter().zip(wanted).map(or_zeros).collect())
}
