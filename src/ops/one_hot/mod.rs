//! Labels as vectors: row `i` is 1 at `labels[i]` and 0 elsewhere. There is no gradient.

pub(super) mod cases;
mod cuda;
pub(super) mod workloads;

use crate::error::{Error, Result};
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::{DType, Shape};
use crate::with_float;

#[derive(Debug)]
struct OneHot;

impl Tape {
    /// `labels` (u32 `[B]`) as `[B, classes]` in the tape's float. A label that is no class is a row of zeros.
    ///
    /// # Errors
    /// If `labels` is not u32 `[B]`, or there are no classes.
    pub fn one_hot(&mut self, labels: ValueId, classes: usize) -> Result<ValueId> {
        let (dtype, shape) = (self.dtype(labels), self.shape(labels));
        if dtype != DType::U32 || shape.rank() != 1 || classes == 0 {
            return Err(Error::request(format!(
                "one_hot takes labels u32 [B], not {dtype} {shape}, and {classes} classes"
            )));
        }
        let float = self.float();
        Ok(self.record_one(OneHot, &[labels], "one_hot", float, Shape::from([shape[0], classes])))
    }
}

impl Operation for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let classes = frame.output_shape(0).channels();
            let rows = frame.output::<T>(0).chunks_mut(classes);
            rows.zip(frame.input::<u32>(0)).for_each(|(row, label)| {
                row.fill(T::ZERO);
                if let Some(hit) = row.get_mut(*label as usize) {
                    *hit = T::ONE;
                }
            });
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Arena, Plan, StateLayout};

    #[test]
    fn rows_are_one_at_the_label() {
        let mut layout = StateLayout::new();
        let mut tape = Tape::new(DType::F64);
        let id = layout.declare("labels", DType::U32, [4]);
        let labels = tape.state(&layout, id);
        let rows = tape.one_hot(labels, 3).unwrap();
        tape.keep(rows);
        assert!(tape.one_hot(rows, 3).unwrap_err().to_string().contains("f64 [4, 3]"));
        assert!(tape.one_hot(labels, 0).is_err());
        let plan = Plan::new(&tape, &layout);
        let (mut arena, mut state) = (Arena::new(plan.bytes()), layout.allocate());
        state.get_mut::<u32>(id).copy_from_slice(&[2, 0, 7, 1]);
        plan.run(&mut arena, &mut state).unwrap();
        let expected = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        assert_eq!(plan.read::<f64>(&arena, &state, rows).unwrap(), expected);
    }
}
