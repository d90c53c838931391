//! Cross-entropy of logits against labels, mean over the batch, with label smoothing.
//!
//! `L = -(1/B) sum_i sum_c t_ic log softmax(z_i)_c`, `t_ic = (1 - e) [c = y_i] + e / C` (Szegedy et al., "Rethinking the
//! Inception architecture", 2016, section 7). The gradient, `(softmax(z) - t) / B`, falls out of the forward pass and
//! is saved there.

pub(super) mod cases;
mod cuda;

use crate::error::{Error, Result};
use crate::ops::{distribution, row_kernels};
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::tensor::{DType, Shape};
use crate::with_float;

#[derive(Debug)]
struct CrossEntropy {
    smoothing: f64,
}

impl Tape {
    /// Mean cross-entropy of `logits` `[B, C]` against `labels` `[B]` (u32); a scalar.
    ///
    /// # Errors
    /// If the shapes do not fit, or `smoothing` is not in [0, 1).
    pub fn cross_entropy(&mut self, logits: ValueId, labels: ValueId, smoothing: f64) -> Result<ValueId> {
        check_labels(self, logits, labels)?;
        if !(0.0..1.0).contains(&smoothing) {
            return Err(Error::request(format!("label smoothing is in [0, 1), not {smoothing}")));
        }
        let (dtype, shape) = (self.dtype(logits), self.shape(logits));
        let outputs = [("cross_entropy", dtype, Shape::from([])), ("d_logits", dtype, shape)];
        Ok(self.record(CrossEntropy { smoothing }, &[logits, labels], &outputs)[0])
    }
}

/// Refuses labels that are not one u32 per row of logits.
pub(crate) fn check_labels(tape: &Tape, logits: ValueId, labels: ValueId) -> Result<()> {
    let (shape, count) = (tape.shape(logits), tape.shape(labels));
    if shape.rank() != 2 || count != Shape::from([shape[0]]) || tape.dtype(labels) != DType::U32 {
        return Err(Error::request(format!("labels of shape {count} do not belong to logits of shape {shape}")));
    }
    Ok(())
}

/// The gradient of a loss that saved its own as output 1, for its input `logits`.
pub(crate) fn saved_gradient(
    tape: &mut Tape,
    node: &Node,
    upstream: &[Option<ValueId>],
    logits: usize,
) -> Result<Vec<Option<ValueId>>> {
    let mut gradients = vec![None; node.inputs.len()];
    if let Some(upstream) = upstream[0] {
        gradients[logits] = Some(tape.scale_by(node.outputs[1], upstream)?);
    }
    Ok(gradients)
}

impl Operation for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        saved_gradient(tape, node, upstream, 0)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => self.compute(
            frame.input::<T>(0), frame.input::<u32>(1), frame.output::<T>(0), frame.output::<T>(1)));
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        row_kernels::loss_workspace(signature.inputs[0].1.rows())
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, self);
        Ok(())
    }
}

impl CrossEntropy {
    fn compute<T: Element>(&self, logits: &[T], labels: &[u32], loss: &mut [T], d_logits: &mut [T]) {
        let classes = logits.len() / labels.len();
        let images = T::from_f64(1.0 / labels.len() as f64);
        let (on, off) = (1.0 - self.smoothing, self.smoothing / classes as f64);
        let mut sum = 0.0;
        let rows_of = logits.chunks_exact(classes).zip(d_logits.chunks_exact_mut(classes));
        for ((row, gradient), label) in rows_of.zip(labels) {
            let total = distribution::softmax(row, T::ONE, gradient);
            let target = row[*label as usize];
            sum += on * (total - target).to_f64();
            if self.smoothing > 0.0 {
                sum += off * row.iter().map(|z| (total - *z).to_f64()).sum::<f64>();
            }
            for p in gradient.iter_mut() {
                *p = (*p - T::from_f64(off)) * images;
            }
            gradient[*label as usize] -= T::from_f64(on) * images;
        }
        loss[0] = T::from_f64(sum / labels.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::check_gradients;
    use crate::tensor::{DType, Shape};

    #[test]
    fn gradients_match_differences() {
        for smoothing in [0.0, 0.1] {
            check_gradients(7, &[Shape::from([5, 7])], |tape, layout, x| {
                // Labels are state, zero where nothing is written: class 0 for every image.
                let labels = layout.declare("labels", DType::U32, [5]);
                let labels = tape.state(layout, labels);
                tape.cross_entropy(x[0], labels, smoothing)
            });
        }
    }
}
