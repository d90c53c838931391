//! Functions of one number, element by element: `y = f(x)`, with the gradient `dx = upstream f'(x)`.
//!
//! Where nothing flows in, nothing flows out: `dx` is zero where `upstream` is, also where the derivative is infinite (the
//! square root at zero), so that a term that is masked out leaves no not-a-number behind.

pub(super) mod cases;
mod cuda;
mod function;
pub(super) mod workloads;

use std::sync::Arc;

use self::function::{Source, Visit};
use crate::error::Result;
use crate::ops::operands;
use crate::ops::parallel::{Chunks, Shared};
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::with_float;

pub use self::function::Function;

#[derive(Debug)]
struct Map(Function);

/// Inputs: upstream, `x` or `y` as [`Function::source`] says, then the addend.
#[derive(Debug)]
struct MapGradient {
    function: Function,
    addend: bool,
}

impl Tape {
    /// `function(x)`, element by element.
    ///
    /// # Errors
    /// If `x` is not of the tape's floating-point type, or empty.
    pub fn map(&mut self, x: ValueId, function: Function) -> Result<ValueId> {
        let (dtype, shape) = operands::float(self, function.name(), x)?;
        Ok(self.record_one(Map(function), &[x], function.name(), dtype, shape))
    }

    /// `e^x`
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn exp(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::Exp)
    }

    /// `ln x`
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn log(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::Log)
    }

    /// `sqrt x`
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn sqrt(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::Sqrt)
    }

    /// `x^2`
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn square(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::Square)
    }

    /// `|x|`; no gradient flows where `x` is zero.
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn abs(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::Abs)
    }

    /// `1 / (1 + e^-x)`
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn sigmoid(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::Sigmoid)
    }

    /// The hyperbolic tangent of `x`.
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn tanh(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::Tanh)
    }

    /// `ln (1 + e^x)`
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn softplus(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::Softplus)
    }

    /// `x^2 / 2` where `|x| < 1`, else `|x| - 1/2`: PyTorch's `smooth_l1_loss` of a difference `x` with `beta` 1, before it
    /// is averaged.
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn smooth_l1(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::SmoothL1)
    }

    /// `1 / x`
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn reciprocal(&mut self, x: ValueId) -> Result<ValueId> {
        self.map(x, Function::Reciprocal)
    }

    /// `scale x + shift`
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn affine(&mut self, x: ValueId, scale: f64, shift: f64) -> Result<ValueId> {
        self.map(x, Function::Affine { scale, shift })
    }

    /// The larger of `x` and `bound`; gradients flow where `x` is the larger.
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn at_least(&mut self, x: ValueId, bound: f64) -> Result<ValueId> {
        self.map(x, Function::AtLeast(bound))
    }

    /// 1 where `x` is larger than `bound`, else 0, without a gradient.
    ///
    /// # Errors
    /// As [`Tape::map`].
    pub fn above(&mut self, x: ValueId, bound: f64) -> Result<ValueId> {
        self.map(x, Function::Above(bound))
    }
}

impl Operation for Map {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let Some(upstream) = upstream[0] else { return Ok(vec![None]) };
        let source = match self.0.source() {
            Source::X => node.inputs[0],
            Source::Y => node.outputs[0],
            Source::Constant => return Ok(vec![Some(tape.scale(upstream, self.0.parameters()[0]))]),
            Source::Nothing => return Ok(vec![None]),
        };
        let (dtype, shape) = (tape.dtype(upstream), tape.shape(upstream));
        let gradient = MapGradient { function: self.0, addend: false };
        Ok(vec![Some(tape.record_one(gradient, &[upstream, source], "dmap", dtype, shape))])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let y = frame.output::<T>(0);
            let x = if frame.is_in_place() { y.as_ptr() } else { frame.input_ptr(0) };
            let count = y.len();
            self.0.values(Values { x: Shared::reading(x), y: Shared::new(y.as_mut_ptr()), count });
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::map(launcher, self.0);
        Ok(())
    }
}

impl Operation for MapGradient {
    fn name(&self) -> &'static str {
        "map gradient"
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }

    fn with_addend(&self) -> Option<Arc<dyn Operation>> {
        (!self.addend).then(|| Arc::new(Self { addend: true, ..*self }) as Arc<dyn Operation>)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let dx = frame.output::<T>(0);
            let upstream = if frame.is_in_place() { dx.as_ptr() } else { frame.input_ptr(0) };
            let addend = self.addend.then(|| Shared::reading(frame.input_ptr::<T>(2)));
            let (upstream, source) = (Shared::reading(upstream), Shared::reading(frame.input_ptr::<T>(1)));
            let count = dx.len();
            self.function.slopes(Slopes { upstream, source, addend, dx: Shared::new(dx.as_mut_ptr()), count });
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::gradient(launcher, self.function, self.addend);
        Ok(())
    }
}

/// `y = f(x)`; `x` may be `y`. Both hold `count` elements.
struct Values<T> {
    x: Shared<T>,
    y: Shared<T>,
    count: usize,
}

impl<T: Element> Visit<T> for Values<T> {
    fn visit(self, function: impl Fn(T) -> T + Copy + Send + Sync) {
        let Self { x, y, count } = self;
        Chunks::flat(count).for_each(|_, range| {
            for index in range {
                // SAFETY: every chunk has elements of its own, each read before it is written.
                unsafe { *y.at(index) = function(*x.at(index)) };
            }
        });
    }
}

/// `dx = upstream f'(source) [+ addend]`; `dx` may be `upstream`. All hold `count` elements.
struct Slopes<T> {
    upstream: Shared<T>,
    source: Shared<T>,
    addend: Option<Shared<T>>,
    dx: Shared<T>,
    count: usize,
}

impl<T: Element> Visit<T> for Slopes<T> {
    fn visit(self, slope: impl Fn(T) -> T + Copy + Send + Sync) {
        let Self { upstream, source, addend, dx, count } = self;
        Chunks::flat(count).for_each(|_, range| {
            for index in range {
                // SAFETY: every chunk has elements of its own, each read before it is written.
                unsafe {
                    let upstream = *upstream.at(index);
                    let flows = if upstream == T::ZERO { T::ZERO } else { upstream * slope(*source.at(index)) };
                    *dx.at(index) = addend.map_or(flows, |addend| flows + *addend.at(index));
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
