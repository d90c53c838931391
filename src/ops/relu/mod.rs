//! Rectified linear unit: `y = max(0, x)`, with the gradient `upstream where y > 0, else 0` (PyTorch's choice at 0).
//! After a BatchNorm it is fused there; see [`crate::ops::batch_norm`].

pub(super) mod cases;
mod cpu;
mod cuda;

use std::sync::Arc;

use crate::error::Result;
use crate::simd::Level;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::with_float;

#[derive(Debug)]
struct Relu;

/// Inputs: upstream, the forward's output, then the addend.
#[derive(Debug)]
struct ReluGradient {
    addend: bool,
}

impl Tape {
    /// `max(0, x)`, element by element; not-a-number stays so.
    ///
    /// # Errors
    /// None today: every shape will do.
    pub fn relu(&mut self, x: ValueId) -> Result<ValueId> {
        let (dtype, shape) = (self.dtype(x), self.shape(x));
        Ok(self.record_one(Relu, &[x], "relu", dtype, shape))
    }
}

impl Operation for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let y = node.outputs[0];
        let (dtype, shape) = (tape.dtype(y), tape.shape(y));
        let gradient = ReluGradient { addend: false };
        Ok(vec![upstream[0].map(|upstream| tape.record_one(gradient, &[upstream, y], "drelu", dtype, shape))])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let y = frame.output::<T>(0);
            let x = if frame.is_in_place() { y.as_ptr() } else { frame.input_ptr(0) };
            // SAFETY: input and output have one shape.
            unsafe { cpu::relu(Level::current(), y.len(), x, y.as_mut_ptr()) }
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::relu(launcher);
        Ok(())
    }
}

impl Operation for ReluGradient {
    fn name(&self) -> &'static str {
        "relu gradient"
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }

    fn with_addend(&self) -> Option<Arc<dyn Operation>> {
        (!self.addend).then(|| Arc::new(Self { addend: true }) as Arc<dyn Operation>)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let dx = frame.output::<T>(0);
            let upstream = if frame.is_in_place() { dx.as_ptr() } else { frame.input_ptr(0) };
            let addend = self.addend.then(|| frame.input_ptr(2));
            let y = frame.input_ptr(1);
            // SAFETY: inputs and output have one shape.
            unsafe { cpu::gradient(Level::current(), dx.len(), upstream, y, addend, dx.as_mut_ptr()) }
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::gradient(launcher, self.addend);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
