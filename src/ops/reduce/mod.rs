//! Sums, means and maxima over axes. The axes that go stay, with extent 1, so that what is left can be broadcast again.
//!
//! `sum`: every element gets the gradient of its sum; `mean`: divided by their number; `max`: the first of the largest ones
//! gets it, no other.

pub(super) mod cases;
mod cpu;
mod cuda;
pub(in crate::ops) mod view;
pub(super) mod workloads;

use self::view::{View, check_axis, runs, without};
use crate::error::Result;
use crate::ops::operands;
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::tensor::{DType, Shape};
use crate::with_float;

/// `y = factor * sum x`
#[derive(Debug)]
struct Sum {
    view: View,
    factor: f64,
}

/// Outputs: the largest elements, and where along the axis each is, u32.
#[derive(Debug)]
struct Max(View);

/// Inputs: upstream, and where the largest elements are.
#[derive(Debug)]
struct MaxGradient(View);

impl Tape {
    /// The sum of `x` over `axes`, which stay with extent 1.
    ///
    /// # Errors
    /// If there is no such axis, or `x` is not of the tape's floating-point type.
    pub fn sum(&mut self, x: ValueId, axes: &[usize]) -> Result<ValueId> {
        self.record_sum(x, axes, false)
    }

    /// The mean of `x` over `axes`, which stay with extent 1.
    ///
    /// # Errors
    /// As [`Tape::sum`].
    pub fn mean(&mut self, x: ValueId, axes: &[usize]) -> Result<ValueId> {
        self.record_sum(x, axes, true)
    }

    /// The sum of all elements of `x`: a scalar of shape `[]`.
    ///
    /// # Errors
    /// As [`Tape::sum`].
    pub fn total(&mut self, x: ValueId) -> Result<ValueId> {
        let axes: Vec<usize> = (0..self.shape(x).rank()).collect();
        let sum = self.sum(x, &axes)?;
        self.view(sum, [])
    }

    /// The mean of all elements of `x`: a scalar of shape `[]`.
    ///
    /// # Errors
    /// As [`Tape::sum`].
    pub fn average(&mut self, x: ValueId) -> Result<ValueId> {
        let axes: Vec<usize> = (0..self.shape(x).rank()).collect();
        let mean = self.mean(x, &axes)?;
        self.view(mean, [])
    }

    /// The largest elements of `x` along `axis`, which stays with extent 1; not-a-number counts as larger than all. The
    /// gradient goes to the first of the largest.
    ///
    /// # Errors
    /// As [`Tape::sum`].
    pub fn max(&mut self, x: ValueId, axis: usize) -> Result<ValueId> {
        let (dtype, shape) = operands::float(self, "max", x)?;
        check_axis("max", shape, axis)?;
        let left = without(shape, axis..=axis);
        let op = Max(View::new(shape, axis..=axis));
        Ok(self.record(op, &[x], &[("max", dtype, left), ("argmax", DType::U32, left)])[0])
    }

    fn record_sum(&mut self, x: ValueId, axes: &[usize], is_mean: bool) -> Result<ValueId> {
        let name = if is_mean { "mean" } else { "sum" };
        let (dtype, shape) = operands::float(self, name, x)?;
        axes.iter().try_for_each(|axis| check_axis(name, shape, *axis))?;
        let (mut x, mut shape) = (x, shape);
        for run in runs(shape, axes) {
            let view = View::new(shape, run.clone());
            let factor = if is_mean { 1.0 / view.axis as f64 } else { 1.0 };
            shape = without(shape, run);
            x = self.record_one(Sum { view, factor }, &[x], name, dtype, shape);
        }
        Ok(x)
    }
}

impl Operation for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn workspace(&self, signature: &Signature) -> usize {
        cpu::partials(self.view) * signature.outputs[0].0.size()
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let Some(upstream) = upstream[0] else { return Ok(vec![None]) };
        let scaled = if self.factor == 1.0 { upstream } else { tape.scale(upstream, self.factor) };
        let whole = tape.shape(node.inputs[0]);
        Ok(vec![Some(tape.broadcast(scaled, whole)?)])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let (x, y) = (frame.input::<T>(0), frame.output::<T>(0));
            cpu::sum(self.view, T::from_f64(self.factor), x, frame.workspace::<T>(), y);
        });
    }

    fn gpu_workspace(&self, _signature: &Signature) -> usize {
        cuda::workspace(self.view)
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::sum(launcher, self.view, self.factor);
        Ok(())
    }
}

impl Operation for Max {
    fn name(&self) -> &'static str {
        "max"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let (x, places) = (node.inputs[0], node.outputs[1]);
        let (dtype, shape): (DType, Shape) = (tape.dtype(x), tape.shape(x));
        let gradient = |upstream| tape.record_one(MaxGradient(self.0), &[upstream, places], "dmax", dtype, shape);
        Ok(vec![upstream[0].map(gradient)])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::max(self.0, frame.input::<T>(0), frame.output::<T>(0), frame.output::<u32>(1));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::max(launcher, self.0);
        Ok(())
    }
}

impl Operation for MaxGradient {
    fn name(&self) -> &'static str {
        "max gradient"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::max_gradient(self.0, frame.input::<T>(0), frame.input::<u32>(1), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::max_gradient(launcher, self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
