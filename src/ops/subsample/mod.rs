//! The parameter-free shortcut of residual networks (option A of He et al.: "Deep residual learning", 2016): every
//! `stride`-th pixel, and zero channels on both sides to make up the width. In PyTorch
//! `F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, pad, pad))`.

mod cpu;

use crate::error::{Error, Result};
use crate::ops::avg_pool::images;
use crate::simd::Level;
use crate::tape::{Frame, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;
use cpu::Shortcut;

#[derive(Clone, Copy, Debug)]
struct Subsample(Shortcut);

#[derive(Clone, Copy, Debug)]
struct SubsampleGradient(Shortcut);

impl Tape {
    /// Every `stride`-th pixel of `x` (`[N, H, W, C]`) with `pad` zero channels before and after:
    /// `[N, ceil(H / stride), ceil(W / stride), C + 2 pad]`.
    ///
    /// # Errors
    /// If `x` is no batch of images or the stride is zero.
    pub fn pad_channels_subsample(&mut self, x: ValueId, stride: usize, pad: usize) -> Result<ValueId> {
        let (dtype, input) = (self.dtype(x), images(self, x, "pad_channels_subsample")?);
        if stride == 0 {
            return Err(Error::request("pad_channels_subsample needs a stride of at least 1, got 0"));
        }
        let output = [input[0], input[1].div_ceil(stride), input[2].div_ceil(stride), input[3] + 2 * pad];
        let shortcut = Shortcut { stride, pad, input, output: Shape::from(output) };
        Ok(self.record_one(Subsample(shortcut), &[x], "subsample", dtype, shortcut.output))
    }
}

impl Operation for Subsample {
    fn name(&self) -> &'static str {
        "subsample"
    }

    fn gradient(
        &self,
        tape: &mut Tape,
        node: &Node,
        upstream: &[Option<ValueId>],
        _wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>> {
        let dtype = tape.dtype(node.outputs[0]);
        let op = SubsampleGradient(self.0);
        Ok(vec![upstream[0].map(|upstream| tape.record_one(op, &[upstream], "dsubsample", dtype, self.0.input))])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::subsample(Level::current(), self.0, frame.input::<T>(0), frame.output::<T>(0));
        });
    }
}

impl Operation for SubsampleGradient {
    fn name(&self) -> &'static str {
        "subsample gradient"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::gradient(Level::current(), self.0, frame.input::<T>(0), frame.output::<T>(0));
        });
    }
}

#[cfg(test)]
mod tests;
