//! The parameter-free shortcut of residual networks (option A of He et al.: "Deep residual learning", 2016): every
//! `stride`-th pixel, and zero channels on both sides to make up the width. In PyTorch
//! `F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, pad, pad))`.

pub(super) mod cases;
mod cpu;
mod cuda;

use crate::error::{Error, Result};
use crate::ops::operands;
use crate::simd::Level;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;
use cpu::Geometry;

#[derive(Clone, Copy, Debug)]
struct OptionAShortcut(Geometry);

#[derive(Clone, Copy, Debug)]
struct OptionAShortcutGradient(Geometry);

impl Tape {
    /// Every `stride`-th pixel of `x` (`[N, H, W, C]`) with as many zero channels before as after:
    /// `[N, ceil(H / stride), ceil(W / stride), channels]`.
    ///
    /// # Errors
    /// If `x` is no batch of images, the stride is zero, or the channels to be added are no even number.
    pub fn option_a_shortcut(&mut self, x: ValueId, channels: usize, stride: usize) -> Result<ValueId> {
        let (dtype, input) = (self.dtype(x), operands::images(self, "option_a_shortcut", x)?);
        let added = channels.checked_sub(input[3]).filter(|added| added.is_multiple_of(2));
        let (Some(added), true) = (added, stride > 0) else {
            return Err(Error::request(format!(
                "option_a_shortcut of {input} to {channels} channels with stride {stride}: the channels grow by an \
                 even number, the stride is at least 1"
            )));
        };
        let output = Shape::from([input[0], input[1].div_ceil(stride), input[2].div_ceil(stride), channels]);
        let geometry = Geometry { stride, pad: added / 2, input, output };
        Ok(self.record_one(OptionAShortcut(geometry), &[x], "shortcut", dtype, output))
    }
}

impl Operation for OptionAShortcut {
    fn name(&self) -> &'static str {
        "option_a_shortcut"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let dtype = tape.dtype(node.outputs[0]);
        let op = OptionAShortcutGradient(self.0);
        Ok(vec![upstream[0].map(|upstream| tape.record_one(op, &[upstream], "dshortcut", dtype, self.0.input))])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::shortcut(Level::current(), self.0, frame.input::<T>(0), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::shortcut(launcher, self.0);
        Ok(())
    }
}

impl Operation for OptionAShortcutGradient {
    fn name(&self) -> &'static str {
        "option_a_shortcut gradient"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::gradient(Level::current(), self.0, frame.input::<T>(0), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::gradient(launcher, self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
