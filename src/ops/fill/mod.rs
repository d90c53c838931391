//! A constant: every element has one value. Where a backward pass starts (the gradient of a loss by itself is one).

pub(super) mod cases;

use crate::error::Result;
use crate::ops::packs::{lanes, launch};
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

#[derive(Debug)]
struct Fill {
    value: f64,
}

impl Tape {
    /// A floating-point value whose elements are all `value`.
    pub fn fill(&mut self, shape: impl Into<Shape>, value: f64) -> ValueId {
        let float = self.float();
        self.record_one(Fill { value }, &[], "constant", float, shape.into())
    }
}

impl Operation for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => frame.output::<T>(0).fill(T::from_f64(self.value)));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
        let arguments = vec![launcher.output(0), (self.value as f32).into(), count.into()];
        launch(launcher, format!("fill_{dtype}"), count.div_ceil(lanes(dtype)), arguments);
        Ok(())
    }
}
