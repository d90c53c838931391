//! Sums over the steps of an epoch: `total += x`, in f64, in state. How losses, ranks and temperatures reach the logs
//! without a read per step.

pub(super) mod cases;
mod cuda;

use crate::error::{Error, Result};
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::DType;
use crate::with_float;

#[derive(Debug)]
struct Accumulate;

impl Tape {
    /// Adds `x` to `total` (state, f64, of the same count).
    ///
    /// # Errors
    /// If the counts differ or `total` is not f64.
    pub fn accumulate_into(&mut self, x: ValueId, total: ValueId) -> Result<()> {
        if self.shape(x).count() != self.shape(total).count() || self.dtype(total) != DType::F64 {
            return Err(Error::failed(format!("cannot add shape {} to {}", self.shape(x), self.shape(total))));
        }
        self.record_into(Accumulate, &[x], &[total]);
        Ok(())
    }
}

impl Operation for Accumulate {
    fn name(&self) -> &'static str {
        "accumulate"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.input_dtype(0), T => {
            frame.output::<f64>(0).iter_mut().zip(frame.input::<T>(0)).for_each(|(total, x)| *total += x.to_f64());
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher);
        Ok(())
    }
}
