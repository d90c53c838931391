//! The lower median along an axis: of `n` elements the one that `(n - 1) / 2` others come before, as `torch.median` has it.
//! Not-a-number where one of them is. It has no gradient.

pub(super) mod cases;
mod cuda;
pub(super) mod workloads;

use std::cmp::Ordering;

use crate::error::Result;
use crate::ops::operands;
use crate::ops::parallel::{Chunks, Shared};
use crate::ops::reduce::view::{View, check_axis, without};
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::with_float;

#[derive(Debug)]
struct Median(View);

impl Tape {
    /// The lower median of `x` along `axis`, which stays with extent 1; without a gradient.
    ///
    /// # Errors
    /// If there is no such axis, or `x` is not of the tape's floating-point type.
    pub fn median(&mut self, x: ValueId, axis: usize) -> Result<ValueId> {
        let (dtype, shape) = operands::float(self, "median", x)?;
        check_axis("median", shape, axis)?;
        let left = without(shape, axis..=axis);
        Ok(self.record_one(Median(View::new(shape, axis..=axis)), &[x], "median", dtype, left))
    }
}

/// `y [outer, inner]` of `x [outer, axis, inner]`; `room` holds as much as `x`.
fn median<T: Element>(view: View, x: &[T], room: &mut [T], y: &mut [T]) {
    let View { axis, inner, .. } = view;
    let (room, y) = (Shared::new(room.as_mut_ptr()), Shared::new(y.as_mut_ptr()));
    Chunks::of(view.columns(), axis).for_each(|_, range| {
        for column in range {
            let first = column / inner * axis * inner + column % inner;
            // SAFETY: every column has a room and an element of its own.
            let (own, y) =
                unsafe { (std::slice::from_raw_parts_mut(room.at(column * axis), axis), &mut *y.at(column)) };
            own.iter_mut().zip(x[first..].iter().step_by(inner)).for_each(|(own, x)| *own = *x);
            // What is not a number compares with nothing, not even with itself.
            let lost = own.iter().copied().find(|x| x.partial_cmp(x).is_none());
            let order = |a: &T, b: &T| a.partial_cmp(b).unwrap_or(Ordering::Equal);
            *y = lost.unwrap_or_else(|| *own.select_nth_unstable_by((axis - 1) / 2, order).1);
        }
    });
}

impl Operation for Median {
    fn name(&self) -> &'static str {
        "median"
    }

    fn workspace(&self, signature: &Signature) -> usize {
        let (dtype, shape) = signature.inputs[0];
        shape.count() * dtype.size()
    }

    fn gradient(&self, _tape: &mut Tape, _: &Node, _upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        Ok(vec![None])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            median(self.0, frame.input::<T>(0), frame.workspace::<T>(), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{normal, run_tape};
    use crate::tensor::Shape;

    #[test]
    fn it_is_the_lower_one_of_the_sorted_elements() {
        for (shape, axis) in
            [([1, 1, 1], 1), ([1, 8, 1], 1), ([3, 101, 1], 1), ([4, 6, 5], 1), ([4, 6, 5], 0), ([4, 6, 5], 2)]
        {
            let shape = Shape::from(shape);
            // Of few different values, and both zeros.
            let x: Vec<f64> = normal::<f64>(4, axis as u64, shape.count(), 0.0).iter().map(|x| x.round()).collect();
            let found = run_tape(&[(shape, x.clone())], |tape, x| Ok(vec![tape.median(x[0], axis)?]));
            let view = View::new(shape, axis..=axis);
            for (column, found) in found[0].iter().enumerate() {
                let at = |k: usize| (column / view.inner * view.axis + k) * view.inner + column % view.inner;
                let mut own: Vec<f64> = (0..view.axis).map(|k| x[at(k)]).collect();
                own.sort_by(f64::total_cmp);
                assert_eq!(*found, own[(view.axis - 1) / 2], "{shape} axis {axis} column {column}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays() {
        let x = (Shape::from([2, 3]), vec![1.0f32, f32::NAN, 2.0, f32::INFINITY, 2.0, f32::NEG_INFINITY]);
        let found = run_tape(&[x], |tape, x| Ok(vec![tape.median(x[0], 1)?]));
        assert!(found[0][0].is_nan() && found[0][1] == 2.0, "{:?}", found[0]);
    }

    #[test]
    fn no_gradient_flows() {
        run_tape(&[(Shape::from([3]), vec![1.0f32, 2.0, 3.0]), (Shape::from([1]), vec![1.0])], |tape, x| {
            let y = tape.median(x[0], 0)?;
            assert_eq!(tape.backward(&[(y, x[1])], &[x[0]])?, [None]);
            assert!(tape.median(x[0], 1).is_err());
            Ok(vec![y])
        });
    }
}
