//! Counters for a classifier: images seen, sum of cross-entropies, hits among the first and the first five, and hits and
//! images per class. They are state in f64, so nothing is read back while a run goes on.

pub(super) mod cases;
mod cuda;

use crate::error::Result;
use crate::ops::cross_entropy::check_labels;
use crate::ops::distribution;
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Signature, StateId, StateLayout, Tape, ValueId};
use crate::tensor::DType;
use crate::with_float;

/// What [`Tape::evaluate`] has counted, read from its state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Images seen.
    pub images: f64,
    /// Sum of cross-entropies.
    pub loss: f64,
    /// Images whose label has the largest logit.
    pub top1: f64,
    /// Images whose label is among the five largest logits.
    pub top5: f64,
    /// Per class: images whose label it is and has the largest logit.
    pub class_top1: Vec<f64>,
    /// Per class: images whose label it is.
    pub class_images: Vec<f64>,
}

impl Counts {
    /// Declares the counters' state.
    pub fn declare(layout: &mut StateLayout, name: &str, classes: usize) -> StateId {
        layout.declare(name, DType::F64, [4 + 2 * classes])
    }

    /// Takes the state's numbers apart.
    pub fn from_state(numbers: &[f64]) -> Self {
        let classes = (numbers.len() - 4) / 2;
        Self {
            images: numbers[0],
            loss: numbers[1],
            top1: numbers[2],
            top5: numbers[3],
            class_top1: numbers[4..4 + classes].to_vec(),
            class_images: numbers[4 + classes..].to_vec(),
        }
    }
}

#[derive(Debug)]
struct Evaluate;

impl Tape {
    /// Adds the first `valid` (u32 `[1]`, state) images of a batch to `counters` (of [`Counts::declare`]).
    ///
    /// # Errors
    /// If the labels do not belong to the logits.
    pub fn evaluate(&mut self, logits: ValueId, labels: ValueId, valid: ValueId, counters: ValueId) -> Result<()> {
        check_labels(self, logits, labels)?;
        self.record_into(Evaluate, &[logits, labels, valid], &[counters]);
        Ok(())
    }
}

fn count<T: Element>(logits: &[T], classes: usize, labels: &[u32], valid: usize, counters: &mut [f64]) {
    for (row, label) in logits.chunks_exact(classes).zip(labels).take(valid) {
        let label = *label as usize;
        let own = row[label];
        // How many classes come before the label's; equal logits rank by class, and what is not a number never wins.
        let before = |(class, z): (usize, &T)| class != label && !(own > *z || (own == *z && label < class));
        let rank = row.iter().enumerate().filter(|(class, z)| before((*class, z))).count();
        counters[0] += 1.0;
        counters[1] += (distribution::log_sum_exp(row, T::ONE) - own).to_f64();
        counters[2] += f64::from(u8::from(rank == 0));
        counters[3] += f64::from(u8::from(rank < 5));
        counters[4 + label] += f64::from(u8::from(rank == 0));
        counters[4 + classes + label] += 1.0;
    }
}

impl Operation for Evaluate {
    fn name(&self) -> &'static str {
        "evaluate"
    }

    fn run(&self, frame: &Frame<'_>) {
        let (labels, valid) = (frame.input::<u32>(1), frame.input::<u32>(2)[0] as usize);
        let classes = frame.input_shape(0).channels();
        let counters = frame.output::<f64>(0);
        with_float!(frame.input_dtype(0), T => count(frame.input::<T>(0), classes, labels, valid, counters));
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        cuda::workspace(signature.inputs[0].1.rows())
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_counted_and_padding_is_not() {
        let mut counters = vec![0.0; 4 + 2 * 6];
        let logits = [
            [0.1f32, 3.0, 0.2, 0.3, 0.4, 0.5],   // label 1: first
            [5.0, 4.0, 3.0, 2.0, 1.0, 0.0],      // label 5: sixth
            [5.0, 4.0, 3.0, 2.0, 1.0, 0.0],      // label 4: fifth
            [1.0, 1.0, 0.0, 0.0, 0.0, 0.0],      // label 1: behind an equal one
            [f32::NAN, 1.0, 0.0, 0.0, 0.0, 0.0], // label 0: not a number is no hit
            [9.0, 0.0, 0.0, 0.0, 0.0, 0.0],      // padding
        ];
        count(logits.as_flattened(), 6, &[1, 5, 4, 1, 0, 0], 5, &mut counters);
        let counts = Counts::from_state(&counters);
        assert_eq!((counts.images, counts.top1, counts.top5), (5.0, 1.0, 3.0));
        assert_eq!(counts.class_top1, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(counts.class_images, [1.0, 2.0, 0.0, 0.0, 1.0, 1.0]);
        assert!(counts.loss.is_nan(), "a broken logit shows in the loss");
    }
}
