//! What the operations of methods' losses ask of their inputs.

use crate::error::{Error, Result};
use crate::tape::{Tape, ValueId};
use crate::tensor::{DType, Shape};

/// Type and shape of `x`, an input of `operation`: one of the tape's floating-point values, with at least one element.
///
/// # Errors
/// For another type (activations in bf16 are cast first), or if there are no elements.
pub(in crate::ops) fn float_operand(tape: &Tape, x: ValueId, operation: &str) -> Result<(DType, Shape)> {
    let (dtype, shape, float) = (tape.dtype(x), tape.shape(x), tape.float());
    if dtype != float {
        let error = Error::request(format!("{operation} takes {float} values, not {} of {dtype}", tape.value(x).name));
        return Err(error.help("activations are brought there by Tape::cast"));
    }
    if shape.count() == 0 {
        return Err(Error::request(format!("{operation} of shape {shape}: there are no elements")));
    }
    Ok((dtype, shape))
}
