//! The axes of a tensor in another order: axis `i` of `y` is axis `axes[i]` of `x`, as PyTorch's `permute`. The gradient is
//! permuted back.

pub(super) mod cases;
mod cpu;
mod cuda;
pub(super) mod workloads;

use crate::error::{Error, Result};
use crate::ops::operands;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

#[derive(Clone, Debug)]
struct Permute {
    axes: Vec<usize>,
    walk: Walk,
}

/// A permutation as a walk through `x` in the order of `y`. Axes that stay together are one; 1 fills up to four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Walk {
    /// The extents of `y`, outermost first.
    extents: [usize; 4],
    /// By how many elements of `x` one goes on along each.
    strides: [usize; 4],
}

impl Walk {
    fn new(input: Shape, axes: &[usize]) -> Self {
        let stride = |axis: usize| input.extents()[axis + 1..].iter().product::<usize>();
        let mut joined: Vec<(usize, usize)> = Vec::new();
        for (extent, stride) in axes.iter().map(|axis| (input[*axis], stride(*axis))).filter(|(extent, _)| *extent > 1)
        {
            match joined.last_mut() {
                Some(last) if last.1 == extent * stride => *last = (last.0 * extent, stride),
                _ => joined.push((extent, stride)),
            }
        }
        let mut walk = Self { extents: [1; 4], strides: [0; 4] };
        let first = 4 - joined.len();
        for (index, (extent, stride)) in joined.into_iter().enumerate() {
            (walk.extents[first + index], walk.strides[first + index]) = (extent, stride);
        }
        walk
    }

    /// Elements of `y` from one step along `axis` to the next.
    fn step(&self, axis: usize) -> usize {
        self.extents[axis + 1..].iter().product()
    }

    /// The axis of `y` along which neighbours are neighbours in `x`.
    fn inner(&self) -> usize {
        self.strides.iter().position(|stride| *stride == 1).expect("some axis is the innermost of x")
    }
}

impl Tape {
    /// `x` with its axes reordered: axis `i` of the result is axis `axes[i]` of `x`.
    ///
    /// # Errors
    /// If `axes` does not name every axis of `x` once, or `x` is not of the tape's floating-point type.
    pub fn permute(&mut self, x: ValueId, axes: &[usize]) -> Result<ValueId> {
        let (dtype, shape) = operands::float(self, "permute", x)?;
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..shape.rank()) {
            return Err(Error::request(format!("permute: {axes:?} does not name each axis of {shape} once")));
        }
        let extents: Vec<usize> = axes.iter().map(|axis| shape[*axis]).collect();
        let walk = Walk::new(shape, axes);
        if walk.extents[..3] == [1; 3] {
            // Nothing moves: axes of extent 1 change places, or none does.
            return self.view(x, Shape::new(&extents));
        }
        Ok(self.record_one(Permute { axes: axes.to_vec(), walk }, &[x], "permute", dtype, Shape::new(&extents)))
    }
}

impl Operation for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn gradient(&self, tape: &mut Tape, _: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let mut back = vec![0; self.axes.len()];
        self.axes.iter().enumerate().for_each(|(to, from)| back[*from] = to);
        Ok(vec![upstream[0].map(|upstream| tape.permute(upstream, &back)).transpose()?])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => cpu::permute(&self.walk, frame.input::<T>(0), frame.output::<T>(0)));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, &self.walk);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
