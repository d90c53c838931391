//! The number of the step, and what follows from it: the rate over `1 - beta1^t`, and `1 / sqrt(1 - beta2^t)`, made in f64
//! because `1 - beta^t` is small at first.

use super::cuda;
use crate::error::Result;
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

#[derive(Debug)]
pub(super) struct AdamStep {
    pub(super) betas: [f64; 2],
}

impl Tape {
    /// Counts a step in the state `steps`, and gives the corrections `[2]` of that step.
    pub(super) fn adam_step(&mut self, rate: ValueId, steps: ValueId, betas: [f64; 2]) -> ValueId {
        let dtype = self.float();
        let corrections = self.declare("corrections", dtype, Shape::from([2]));
        self.record_into(AdamStep { betas }, &[rate], &[corrections, steps]);
        corrections
    }
}

impl AdamStep {
    fn corrections(&self, rate: f64, step: u32) -> [f64; 2] {
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powf(f64::from(step)));
        [rate / first, 1.0 / second.sqrt()]
    }
}

impl Operation for AdamStep {
    fn name(&self) -> &'static str {
        "adam_step"
    }

    fn run(&self, frame: &Frame<'_>) {
        let step = &mut frame.output::<u32>(1)[0];
        *step = step.saturating_add(1);
        with_float!(frame.output_dtype(0), T => {
            let corrections = self.corrections(frame.input::<T>(0)[0].to_f64(), *step);
            frame.output::<T>(0).copy_from_slice(&corrections.map(T::from_f64));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::step(launcher, self.betas);
        Ok(())
    }
}
