//! Addition of two values of one shape: `y = a + b`. The gradient of both is that of `y`. Other shapes are
//! [`crate::ops::broadcast`]'s.

pub(super) mod cases;
mod cpu;
mod cuda;

use crate::error::Result;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::with_float;

#[derive(Debug)]
struct Add;

impl Tape {
    /// `a + b`, element by element; values of the tape's floating-point type are broadcast where their shapes differ.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        if self.shape(a) != self.shape(b) {
            return self.add_broadcast(a, b);
        }
        let (dtype, shape) = (self.dtype(a), self.shape(a));
        Ok(self.record_one(Add, &[a, b], "sum", dtype, shape))
    }
}

impl Operation for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }

    fn gradient(&self, _tape: &mut Tape, _: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        Ok(vec![upstream[0], upstream[0]])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let first = frame.input_ptr::<T>(0);
            cpu::add(first, frame.input::<T>(1), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher);
        Ok(())
    }
}
