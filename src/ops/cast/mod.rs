//! Values in another floating-point type: float32 to bf16, rounded to nearest with ties to even, and back, exactly.
//!
//! The gradient of `y` goes back in the type that it has if that is the type of `x`, and is cast to it otherwise. The first
//! is how a weight that is kept in float32 and used in bf16 gets a gradient in float32: convolutions make theirs so.

pub(super) mod cases;
mod cuda;

use crate::error::{Error, Result};
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::DType;

/// As many outputs as inputs, each of its input's shape.
#[derive(Debug)]
struct Cast;

impl Tape {
    /// `x` with elements of type `dtype`; `x` itself if it has them already.
    ///
    /// # Errors
    /// For a pair of types other than f32 and bf16, or on a tape that does not store activations in bf16.
    pub fn cast(&mut self, x: ValueId, dtype: DType) -> Result<ValueId> {
        Ok(self.cast_all(&[x], dtype)?[0])
    }

    /// All of `values` with elements of type `dtype`, in one pass; a value that has them already is returned itself.
    ///
    /// # Errors
    /// As [`Tape::cast`], or if there are values of several other types.
    pub fn cast_all(&mut self, values: &[ValueId], dtype: DType) -> Result<Vec<ValueId>> {
        let inputs: Vec<ValueId> = values.iter().copied().filter(|id| self.dtype(*id) != dtype).collect();
        let Some(first) = inputs.first() else { return Ok(values.to_vec()) };
        let from = self.dtype(*first);
        let other = inputs.iter().map(|id| self.dtype(*id)).find(|other| *other != from).unwrap_or(from);
        let known = matches!((from, dtype), (DType::F32, DType::BF16) | (DType::BF16, DType::F32));
        if !known || other != from || self.storage() != DType::BF16 {
            return Err(Error::failed(format!("cannot cast {from} and {other} to {dtype}"))
                .help("expected f32 to bf16 or back, where activations are stored in bf16"));
        }
        let shapes: Vec<_> = inputs.iter().map(|id| ("cast", dtype, self.shape(*id))).collect();
        let mut made = self.record(Cast, &inputs, &shapes).into_iter();
        let of = |id: &ValueId| if inputs.contains(id) { made.next().expect("one for each") } else { *id };
        Ok(values.iter().map(of).collect())
    }
}

impl Operation for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        let back = |((input, upstream), wanted): ((&ValueId, &Option<ValueId>), &bool)| {
            let Some(upstream) = upstream.filter(|_| *wanted) else { return Ok(None) };
            let dtype = tape.dtype(*input);
            tape.cast(upstream, dtype).map(Some)
        };
        node.inputs.iter().zip(upstream).zip(wanted).map(back).collect()
    }

    fn run(&self, _frame: &Frame<'_>) {
        unreachable!("the CPU refuses plans with bf16");
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
