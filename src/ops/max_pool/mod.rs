//! Maximum pooling over square windows: `y[o] = max of x over window o` (PyTorch's `MaxPool2d`). The gradient of a
//! window goes to its first maximum in row-major order.

pub(super) mod cases;
mod cpu;
mod cuda;

use crate::error::Result;
use crate::ops::operands;
use crate::ops::windows::Windows;
use crate::simd::Level;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;
use cpu::Pooling;

#[derive(Clone, Copy, Debug)]
struct MaxPool(Pooling);

/// Inputs: upstream, x, y. Which input was the maximum is found again by comparison: cheaper than to keep indices.
#[derive(Clone, Copy, Debug)]
struct MaxPoolGradient(Pooling);

impl Tape {
    /// The maximum over square windows of `x` (`[N, H, W, C]`); the padding never wins.
    ///
    /// Not-a-number loses against numbers, unlike in PyTorch.
    ///
    /// # Errors
    /// If `x` is no batch of images, the window does not fit, or the padding is more than half of it.
    pub fn max_pool(&mut self, x: ValueId, kernel: usize, stride: usize, padding: usize) -> Result<ValueId> {
        let (dtype, shape) = (self.dtype(x), operands::images(self, "max_pool", x)?);
        let (windows, height) = Windows::sliding(shape[1], kernel, stride, padding)?;
        let (_, width) = Windows::sliding(shape[2], kernel, stride, padding)?;
        let output = Shape::from([shape[0], height, width, shape[3]]);
        let pooling = Pooling { windows, input: shape, output };
        Ok(self.record_one(MaxPool(pooling), &[x], "max_pool", dtype, output))
    }
}

impl Operation for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let dtype = tape.dtype(x);
        Ok(vec![upstream[0].map(|upstream| {
            tape.record_one(MaxPoolGradient(self.0), &[upstream, x, y], "dmax_pool", dtype, self.0.input)
        })])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::max_pool(Level::current(), self.0, frame.input::<T>(0), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::max_pool(launcher, self.0);
        Ok(())
    }
}

impl Operation for MaxPoolGradient {
    fn name(&self) -> &'static str {
        "max_pool gradient"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let [upstream, x, y] = [0, 1, 2].map(|index| frame.input::<T>(index));
            cpu::gradient(Level::current(), self.0, upstream, x, y, frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::gradient(launcher, self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
