//! What recording functions ask of their operands.

use crate::error::{Error, Result};
use crate::tape::{Tape, ValueId};
use crate::tensor::{DType, Shape};

/// Type and shape of `operand`, which has to be of the tape's [`Tape::float`] type and have elements.
pub(in crate::ops) fn float(tape: &Tape, what: &str, operand: ValueId) -> Result<(DType, Shape)> {
    let (value, wanted) = (tape.value(operand), tape.float());
    if value.dtype != wanted {
        let message = format!("{what} takes {wanted} values, not {} of {}", value.name, value.dtype);
        return Err(Error::request(message).help("activations are brought there by Tape::cast"));
    }
    let shape = tape.shape(operand);
    if shape.count() == 0 {
        return Err(Error::request(format!("{what} of shape {shape}: there are no elements")));
    }
    Ok((value.dtype, shape))
}

/// Refuses operands of `what` that are not of the tape's [`Tape::float`] type.
pub(in crate::ops) fn floats(tape: &Tape, what: &str, operands: &[ValueId]) -> Result<()> {
    operands.iter().try_for_each(|operand| float(tape, what, *operand).map(drop))
}

/// Refuses an operand of `what` that has another type.
pub(in crate::ops) fn of_type(tape: &Tape, what: &str, operand: ValueId, dtype: DType) -> Result<()> {
    let value = tape.value(operand);
    if value.dtype == dtype {
        return Ok(());
    }
    Err(Error::request(format!("{what} takes {} as {dtype}, not as {}", value.name, value.dtype)))
}

/// The shape of a batch of images `[N, H, W, C]`.
pub(in crate::ops) fn images(tape: &Tape, what: &str, operand: ValueId) -> Result<Shape> {
    let shape = tape.shape(operand);
    if shape.rank() != 4 || shape.count() == 0 {
        return Err(Error::request(format!("{what} needs images [N, H, W, C], got {shape}")));
    }
    Ok(shape)
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
