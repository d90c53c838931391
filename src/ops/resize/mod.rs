//! Maps of another size, as PyTorch's `interpolate`: an output takes the input it lies in (`nearest`: input `floor(i h / h')`),
//! or the mean of the four around it, weighted by distance between the pixels' centres (`bilinear`, `align_corners=False`).
//!
//! Positions are computed in whole numbers. PyTorch computes them in float32, whose rounding moves a position that falls on a
//! pixel's edge to the one before for some odd ratios; for whole ratios, up or down, both agree.

mod axis;
pub(super) mod cases;
mod cpu;
mod cuda;
pub(super) mod workloads;

use crate::error::{Error, Result};
use crate::ops::operands;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;
use axis::Axis;

/// What an output is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nearest,
    Bilinear,
}

/// From `input` `[N, H, W, C]` to `output` `[N, H', W', C]`.
#[derive(Clone, Copy, Debug)]
struct Resize {
    mode: Mode,
    input: Shape,
    output: Shape,
}

impl Resize {
    /// Rows and columns.
    fn axes(&self) -> [Axis; 2] {
        [1, 2].map(|axis| Axis { mode: self.mode, input: self.input[axis], output: self.output[axis] })
    }
}

/// Kernels compute positions as products of two extents, in 32 bits.
const LARGEST: usize = 1 << 15;

#[derive(Clone, Copy, Debug)]
struct ResizeGradient(Resize);

impl Tape {
    /// `x` (`[N, H, W, C]`) at `height` by `width`: every pixel is the one of `x` that it lies in.
    ///
    /// # Errors
    /// If `x` is no batch of images of the tape's floating-point type, or the result has no extent.
    pub fn resize_nearest(&mut self, x: ValueId, height: usize, width: usize) -> Result<ValueId> {
        self.resize(x, height, width, Mode::Nearest)
    }

    /// `x` (`[N, H, W, C]`) at `height` by `width`, interpolated between pixels (`align_corners=False`).
    ///
    /// # Errors
    /// As [`Tape::resize_nearest`].
    pub fn resize_bilinear(&mut self, x: ValueId, height: usize, width: usize) -> Result<ValueId> {
        self.resize(x, height, width, Mode::Bilinear)
    }

    fn resize(&mut self, x: ValueId, height: usize, width: usize, mode: Mode) -> Result<ValueId> {
        let (dtype, _) = operands::float(self, "resize", x)?;
        let input = operands::images(self, "resize", x)?;
        let output = Shape::from([input[0], height, width, input[3]]);
        let extents = [height, width, input[1], input[2]];
        if extents.iter().any(|extent| !(1..LARGEST).contains(extent)) || u32::try_from(output.count()).is_err() {
            return Err(Error::request(format!("cannot resize {input} to {height} x {width}")));
        }
        if [height, width] == [input[1], input[2]] {
            return Ok(x);
        }
        Ok(self.record_one(Resize { mode, input, output }, &[x], "resized", dtype, output))
    }
}

impl Operation for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn gradient(&self, tape: &mut Tape, _: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let Some(upstream) = upstream[0] else { return Ok(vec![None]) };
        let dtype = tape.dtype(upstream);
        Ok(vec![Some(tape.record_one(ResizeGradient(*self), &[upstream], "d_resized", dtype, self.input))])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => cpu::resize(self, frame.input::<T>(0), frame.output::<T>(0)));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, self, false);
        Ok(())
    }
}

impl Operation for ResizeGradient {
    fn name(&self) -> &'static str {
        "resize gradient"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => cpu::gradient(&self.0, frame.input::<T>(0), frame.output::<T>(0)));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, &self.0, true);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
