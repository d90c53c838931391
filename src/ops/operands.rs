//! What recording functions ask of their operands.

use crate::error::{Error, Result};
use crate::tape::{Tape, ValueId};
use crate::tensor::DType;

/// Refuses operands of `what` that are not of the tape's [`Tape::float`] type.
pub(in crate::ops) fn floats(tape: &Tape, what: &str, operands: &[ValueId]) -> Result<()> {
    operands.iter().try_for_each(|id| of_type(tape, what, *id, tape.float()))
}

/// Refuses an operand of `what` that has another type.
pub(in crate::ops) fn of_type(tape: &Tape, what: &str, operand: ValueId, dtype: DType) -> Result<()> {
    let value = tape.value(operand);
    if value.dtype == dtype {
        return Ok(());
    }
    Err(Error::request(format!("{what} takes {} as {dtype}, not as {}", value.name, value.dtype)))
}

/// Refuses an operand of `what` without the layout's extents: `Some` has to be met, `None` may be anything but zero.
pub(in crate::ops) fn shaped(
    tape: &Tape,
    what: &str,
    operand: ValueId,
    layout: &str,
    extents: &[Option<usize>],
) -> Result<()> {
    let shape = tape.shape(operand);
    let meets = |(extent, wanted): (&usize, &Option<usize>)| wanted.map_or(*extent > 0, |wanted| wanted == *extent);
    if shape.rank() == extents.len() && shape.extents().iter().zip(extents).all(meets) {
        return Ok(());
    }
    Err(Error::request(format!("{what} takes {layout}, not {shape}")))
}
