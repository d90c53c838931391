//! Functions of two values, element by element, whose shapes are broadcast as NumPy does: aligned at the last axis, and
//! repeated along axes where one has extent 1 or is missing. And the repetition alone.
//!
//! Gradients are summed over the axes along which an operand was repeated.

pub(super) mod cases;
mod cpu;
mod cuda;
mod layout;
pub(super) mod workloads;

use self::layout::{Layout, repeated, together};
use crate::error::{Error, Result};
use crate::ops::operands;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    /// `a`: what is left of broadcasting.
    First,
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    /// Of the gradient of a maximum that which belongs to `a`: 1 where `a > b`, a half where they are equal, else 0.
    Share,
    /// 1 where `a > b`, else 0.
    Greater,
    /// 1 where `a <= b`, else 0.
    LessOrEqual,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::First => "broadcast",
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Divide => "divide",
            Self::Maximum => "maximum",
            Self::Share => "share",
            Self::Greater => "greater",
            Self::LessOrEqual => "less_or_equal",
        }
    }
}

/// Inputs: `a`, then `b`, which [`Function::First`] does not have.
#[derive(Debug)]
struct Pair {
    function: Function,
    layout: Layout,
    /// Whether `a` has the shape of the output.
    is_whole: bool,
}

impl Tape {
    /// `a - b`, broadcast.
    ///
    /// # Errors
    /// If the shapes do not fit, or the values are not of the tape's floating-point type.
    pub fn subtract(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.pair(Function::Subtract, a, b)
    }

    /// `a * b`, broadcast.
    ///
    /// # Errors
    /// As [`Tape::subtract`].
    pub fn multiply(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.pair(Function::Multiply, a, b)
    }

    /// `a / b`, broadcast.
    ///
    /// # Errors
    /// As [`Tape::subtract`].
    pub fn divide(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.pair(Function::Divide, a, b)
    }

    /// The larger of `a` and `b`, broadcast. Where they are equal each gets half of the gradient, as in PyTorch.
    ///
    /// # Errors
    /// As [`Tape::subtract`].
    pub fn maximum(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.pair(Function::Maximum, a, b)
    }

    /// 1 where `a > b`, else 0, broadcast and without a gradient.
    ///
    /// # Errors
    /// As [`Tape::subtract`].
    pub fn greater(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.pair(Function::Greater, a, b)
    }

    /// 1 where `a <= b`, else 0, broadcast and without a gradient.
    ///
    /// # Errors
    /// As [`Tape::subtract`].
    pub fn less_or_equal(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.pair(Function::LessOrEqual, a, b)
    }

    /// `x` repeated along the axes of `shape` where it has extent 1 or none.
    ///
    /// # Errors
    /// If `x` does not fit into the shape, or is not of the tape's floating-point type.
    pub fn broadcast(&mut self, x: ValueId, shape: impl Into<Shape>) -> Result<ValueId> {
        let (whole, (dtype, part)) = (shape.into(), operands::float(self, "broadcast", x)?);
        if together(part, whole) != Some(whole) || whole.count() == 0 {
            return Err(misfit(Function::First, part, whole));
        }
        if part.count() == whole.count() {
            return self.view(x, whole);
        }
        let op = Pair { function: Function::First, layout: Layout::new(part, part, whole), is_whole: false };
        Ok(self.record_one(op, &[x], "broadcast", dtype, whole))
    }

    /// `a + b`, broadcast: what [`Tape::add`] does with different shapes.
    pub(in crate::ops) fn add_broadcast(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.pair(Function::Add, a, b)
    }

    fn pair(&mut self, function: Function, a: ValueId, b: ValueId) -> Result<ValueId> {
        let (dtype, first) = operands::float(self, function.name(), a)?;
        let (_, second) = operands::float(self, function.name(), b)?;
        let whole = together(first, second).ok_or_else(|| misfit(function, first, second))?;
        let op = Pair { function, layout: Layout::new(first, second, whole), is_whole: first == whole };
        Ok(self.record_one(op, &[a, b], function.name(), dtype, whole))
    }

    /// `x` summed over the axes along which a value of shape `part` was repeated to become one of the shape of `x`.
    fn sum_to(&mut self, x: ValueId, part: Shape) -> Result<ValueId> {
        let axes = repeated(part, self.shape(x));
        let sum = if axes.is_empty() { x } else { self.sum(x, &axes)? };
        if self.shape(sum) == part { Ok(sum) } else { self.view(sum, part) }
    }
}

fn misfit(function: Function, a: Shape, b: Shape) -> Error {
    Error::request(format!("{} does not take shapes {a} and {b}", function.name()))
        .help("shapes are aligned at the last axis; extents are equal there, or one that is repeated is 1")
}

impl Operation for Pair {
    fn name(&self) -> &'static str {
        self.function.name()
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        self.is_whole.then_some((0, 0))
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        let Some(upstream) = upstream[0] else { return Ok(vec![None; node.inputs.len()]) };
        let (a, b) = (node.inputs[0], node.inputs[node.inputs.len() - 1]);
        let shapes = [tape.shape(a), tape.shape(b)];
        let to_both = |tape: &mut Tape, parts: [Option<ValueId>; 2]| {
            let parts = parts.into_iter().zip(shapes).map(|(part, shape)| part.map(|part| tape.sum_to(part, shape)));
            parts.map(Option::transpose).collect::<Result<Vec<_>>>()
        };
        match self.function {
            Function::First => Ok(vec![Some(tape.sum_to(upstream, shapes[0])?)]),
            Function::Add => to_both(tape, [0, 1].map(|which| wanted[which].then_some(upstream))),
            Function::Subtract => {
                let mut parts = to_both(tape, [0, 1].map(|which| wanted[which].then_some(upstream)))?;
                parts[1] = parts[1].map(|part| tape.scale(part, -1.0));
                Ok(parts)
            }
            Function::Multiply => {
                let first = wanted[0].then(|| tape.multiply(upstream, b)).transpose()?;
                let second = wanted[1].then(|| tape.multiply(upstream, a)).transpose()?;
                to_both(tape, [first, second])
            }
            Function::Divide => {
                // da = upstream / b and db = -da y. In this order nothing overflows that need not: 1 / b^2 is never made.
                let first = tape.divide(upstream, b)?;
                let second = wanted[1].then(|| tape.multiply(first, node.outputs[0])).transpose()?;
                let mut parts = to_both(tape, [wanted[0].then_some(first), second])?;
                parts[1] = parts[1].map(|part| tape.scale(part, -1.0));
                Ok(parts)
            }
            Function::Maximum => {
                let share = |tape: &mut Tape, own: ValueId, other: ValueId| {
                    let share = tape.pair(Function::Share, own, other)?;
                    tape.multiply(share, upstream)
                };
                let first = wanted[0].then(|| share(tape, a, b)).transpose()?;
                let second = wanted[1].then(|| share(tape, b, a)).transpose()?;
                to_both(tape, [first, second])
            }
            Function::Share | Function::Greater | Function::LessOrEqual => Ok(vec![None, None]),
        }
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let (a, b) = (frame.input_ptr::<T>(0), frame.input_ptr::<T>(frame.input_count() - 1));
            let y = frame.output_ptr::<T>(0);
            // SAFETY: the layout was made from the shapes; `a` is the output only where it has its shape.
            unsafe { cpu::run(self.function, &self.layout, a, b, y) }
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch_pair(launcher, self.function, &self.layout);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
