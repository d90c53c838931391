//! Multiplication by a number: `y = factor * x`, where the factor is a constant or a scalar value of the tape.

pub(super) mod cases;
mod cuda;

use crate::error::{Error, Result};
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

#[derive(Debug)]
struct Scale {
    factor: f64,
}

#[derive(Debug)]
struct ScaleBy;

impl Tape {
    /// `factor * x` for a constant factor.
    pub fn scale(&mut self, x: ValueId, factor: f64) -> ValueId {
        let (dtype, shape) = (self.dtype(x), self.shape(x));
        self.record_one(Scale { factor }, &[x], "scaled", dtype, shape)
    }

    /// `factor * x` where `factor` is a scalar value (float32 beside bf16): how a loss passes on the gradient it saved. It has no gradient
    /// of its own (that would be a second derivative).
    ///
    /// # Errors
    /// If `factor` is not a scalar, or of another type than sums of `x` are.
    pub fn scale_by(&mut self, x: ValueId, factor: ValueId) -> Result<ValueId> {
        if self.shape(factor).count() != 1 {
            return Err(Error::request(format!("a factor is a scalar, not of shape {}", self.shape(factor))));
        }
        let (dtype, shape) = (self.dtype(x), self.shape(x));
        if self.dtype(factor) != dtype.accumulator() {
            let (wanted, got) = (dtype.accumulator(), self.dtype(factor));
            return Err(Error::request(format!("a factor of {shape} ({dtype}) is {wanted}, not {got}")));
        }
        Ok(self.record_one(ScaleBy, &[x, factor], "scaled", dtype, shape))
    }

    /// `sum_i weight_i * x_i` of scalars: how a method adds up its losses.
    ///
    /// # Errors
    /// If there is nothing to add, or something is not a scalar.
    pub fn weighted_sum(&mut self, terms: &[(f64, ValueId)]) -> Result<ValueId> {
        let mut sum = None;
        for (weight, term) in terms {
            if self.shape(*term) != Shape::from([]) {
                return Err(Error::request(format!("a loss is a scalar, not of shape {}", self.shape(*term))));
            }
            let term = if *weight == 1.0 { *term } else { self.scale(*term, *weight) };
            sum = Some(match sum {
                None => term,
                Some(before) => self.add(before, term)?,
            });
        }
        sum.ok_or_else(|| Error::request("a sum needs at least one term"))
    }
}

fn run<T: Element>(frame: &Frame<'_>, factor: T) {
    let out = frame.output::<T>(0);
    if !frame.is_in_place() {
        out.copy_from_slice(frame.input::<T>(0));
    }
    out.iter_mut().for_each(|x| *x *= factor);
}

impl Operation for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }

    fn gradient(&self, tape: &mut Tape, _: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        Ok(vec![upstream[0].map(|upstream| tape.scale(upstream, self.factor))])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => run(frame, T::from_f64(self.factor)));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::scale(launcher, self.factor);
        Ok(())
    }
}

impl Operation for ScaleBy {
    fn name(&self) -> &'static str {
        "scale_by"
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => run(frame, frame.input::<T>(1)[0]));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::scale_by(launcher);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::check_gradients;
    use crate::tensor::Shape;

    #[test]
    fn gradients_match_differences() {
        let scalar = Shape::from([]);
        check_gradients(3, &[scalar, scalar], |tape, _, x| tape.weighted_sum(&[(0.3, x[0]), (1.0, x[1]), (2.5, x[0])]));
    }
}
