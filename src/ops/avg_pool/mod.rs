//! Average pooling: `y[o] = sum of x over window o / size of window o`, over both image dimensions.
//!
//! Sliding windows as PyTorch's `AvgPool2d` (the padding counts or not), or as even a partition as can be as in
//! `AdaptiveAvgPool2d`, of which global average pooling is the case of one window.

pub(super) mod cases;
mod cpu;
mod cuda;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ops::operands;
use crate::ops::windows::Windows;
use crate::simd::Level;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;
use cpu::Pooling;

#[derive(Clone, Copy, Debug)]
struct AvgPool(Pooling);

/// Inputs: upstream, then the addend.
#[derive(Clone, Copy, Debug)]
struct AvgPoolGradient {
    pooling: Pooling,
    addend: bool,
}

impl Tape {
    /// Averages over square windows of `x` (`[N, H, W, C]`). With `count_include_pad` the zeros of the padding count as
    /// inputs (PyTorch's default), else an average is over the inputs that are there.
    ///
    /// # Errors
    /// If `x` is no batch of images, the window does not fit, or the padding is more than half of it.
    pub fn avg_pool(
        &mut self,
        x: ValueId,
        kernel: usize,
        stride: usize,
        padding: usize,
        count_include_pad: bool,
    ) -> Result<ValueId> {
        let shape = operands::images(self, "avg_pool", x)?;
        let (windows, height) = Windows::sliding(shape[1], kernel, stride, padding)?;
        let (_, width) = Windows::sliding(shape[2], kernel, stride, padding)?;
        Ok(self.pool(x, windows, count_include_pad, height, width))
    }

    /// Averages `x` (`[N, H, W, C]`) down to `[N, height, width, C]` over windows as even as can be.
    ///
    /// # Errors
    /// If `x` is no batch of images or the output has no extent.
    pub fn adaptive_avg_pool(&mut self, x: ValueId, height: usize, width: usize) -> Result<ValueId> {
        let shape = operands::images(self, "adaptive_avg_pool", x)?;
        if height == 0 || width == 0 {
            return Err(Error::request(format!("adaptive_avg_pool of {shape} to {height} x {width}: nothing is left")));
        }
        Ok(self.pool(x, Windows::Even, false, height, width))
    }

    fn pool(&mut self, x: ValueId, windows: Windows, counts_padding: bool, height: usize, width: usize) -> ValueId {
        let (dtype, shape) = (self.dtype(x), self.shape(x));
        let output = Shape::from([shape[0], height, width, shape[3]]);
        let pooling = Pooling { windows, counts_padding, input: shape, output };
        self.record_one(AvgPool(pooling), &[x], "avg_pool", dtype, output)
    }
}

impl Operation for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let dtype = tape.dtype(node.outputs[0]);
        let gradient = AvgPoolGradient { pooling: self.0, addend: false };
        Ok(vec![upstream[0].map(|upstream| tape.record_one(gradient, &[upstream], "davg_pool", dtype, self.0.input))])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::avg_pool(Level::current(), self.0, frame.input::<T>(0), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::avg_pool(launcher, self.0);
        Ok(())
    }
}

impl Operation for AvgPoolGradient {
    fn name(&self) -> &'static str {
        "avg_pool gradient"
    }

    fn with_addend(&self) -> Option<Arc<dyn Operation>> {
        (!self.addend).then(|| Arc::new(Self { addend: true, ..*self }) as Arc<dyn Operation>)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let addend = self.addend.then(|| frame.input::<T>(1));
            cpu::gradient(Level::current(), self.pooling, frame.input::<T>(0), addend, frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::gradient(launcher, self.pooling, self.addend);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
