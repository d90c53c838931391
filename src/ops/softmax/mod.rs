//! Softmax and log-softmax with temperature, over the last dimension.
//!
//! `softmax: p = exp(z / T) / sum exp(z / T)`, gradient `dz = p * (dp - sum dp * p) / T`;
//! `log_softmax: l = z / T - ln sum exp(z / T)`, gradient `dz = (dl - p * sum dl) / T` (Hinton, Vinyals, Dean,
//! "Distilling the knowledge in a neural network", 2015, equation 1).

pub(super) mod cases;
mod cuda;

use crate::error::{Error, Result};
use crate::ops::distribution;
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::with_float;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Probability,
    Logarithm,
}

#[derive(Debug)]
struct Softmax {
    form: Form,
    temperature: f64,
}

#[derive(Debug)]
struct SoftmaxBackward {
    form: Form,
    temperature: f64,
}

impl Tape {
    /// `softmax(logits / temperature)` over the last dimension.
    ///
    /// # Errors
    /// If the temperature is not positive.
    pub fn softmax(&mut self, logits: ValueId, temperature: f64) -> Result<ValueId> {
        self.record_softmax(logits, temperature, Form::Probability)
    }

    /// `log softmax(logits / temperature)` over the last dimension.
    ///
    /// # Errors
    /// If the temperature is not positive.
    pub fn log_softmax(&mut self, logits: ValueId, temperature: f64) -> Result<ValueId> {
        self.record_softmax(logits, temperature, Form::Logarithm)
    }

    fn record_softmax(&mut self, logits: ValueId, temperature: f64, form: Form) -> Result<ValueId> {
        check_temperature(temperature)?;
        let (dtype, shape) = (self.dtype(logits), self.shape(logits));
        Ok(self.record_one(Softmax { form, temperature }, &[logits], "softmax", dtype, shape))
    }
}

/// Refuses temperatures that are not positive and finite.
pub(crate) fn check_temperature(temperature: f64) -> Result<()> {
    if temperature > 0.0 && temperature.is_finite() {
        Ok(())
    } else {
        Err(Error::request(format!("a temperature is positive, not {temperature}")))
    }
}

impl Operation for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let backward = SoftmaxBackward { form: self.form, temperature: self.temperature };
        Ok(vec![upstream[0].map(|upstream| {
            let (dtype, shape) = (tape.dtype(upstream), tape.shape(upstream));
            tape.record_one(backward, &[node.outputs[0], upstream], "d_logits", dtype, shape)
        })])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let classes = frame.output_shape(0).channels();
            let temperature = T::from_f64(self.temperature);
            let rows_in = frame.input::<T>(0).chunks_exact(classes);
            for (row, out) in rows_in.zip(frame.output::<T>(0).chunks_exact_mut(classes)) {
                match self.form {
                    Form::Probability => {
                        distribution::softmax(row, temperature, out);
                    }
                    Form::Logarithm => {
                        let total = distribution::log_sum_exp(row, temperature);
                        out.iter_mut().zip(row).for_each(|(out, z)| *out = *z / temperature - total);
                    }
                }
            }
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::forward(launcher, self);
        Ok(())
    }
}

impl SoftmaxBackward {
    /// One row: `result` is the forward's output.
    fn row<T: Element>(&self, result: &[T], upstream: &[T], out: &mut [T]) {
        let scale = T::from_f64(1.0 / self.temperature);
        let mut sum = T::ZERO;
        for (y, g) in result.iter().zip(upstream) {
            sum += if self.form == Form::Probability { *y * *g } else { *g };
        }
        for ((out, y), g) in out.iter_mut().zip(result).zip(upstream) {
            *out = match self.form {
                Form::Probability => *y * (*g - sum) * scale,
                Form::Logarithm => (*g - y.exp() * sum) * scale,
            };
        }
    }
}

impl Operation for SoftmaxBackward {
    fn name(&self) -> &'static str {
        "softmax_backward"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let classes = frame.output_shape(0).channels();
            let results = frame.input::<T>(0).chunks_exact(classes);
            let upstream = frame.input::<T>(1).chunks_exact(classes);
            for ((result, upstream), out) in results.zip(upstream).zip(frame.output::<T>(0).chunks_exact_mut(classes)) {
                self.row(result, upstream, out);
            }
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::backward(launcher, self);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::check_gradients;
    use crate::tensor::Shape;

    #[test]
    fn gradients_match_differences() {
        for temperature in [1.0, 4.0, 0.7] {
            check_gradients(5, &[Shape::from([3, 7])], |tape, _, x| tape.softmax(x[0], temperature));
            check_gradients(6, &[Shape::from([5, 3])], |tape, _, x| tape.log_softmax(x[0], temperature));
        }
    }
}
