//! Kullback-Leibler divergence of the student from a mentor at a temperature, scaled as Hinton, Vinyals and Dean
//! (2015, section 2) do: `L = T^2 (1/B) sum_i KL(softmax(z_m,i / T) || softmax(z_S,i / T))`.
//!
//! The gradient of the student's logits, `(T/B) (softmax(z_S / T) - softmax(z_m / T))`, is saved by the forward pass.
//! The mentor is a constant: no gradient flows to it.

pub(super) mod cases;
mod cuda;

use crate::error::{Error, Result};
use crate::ops::cross_entropy::saved_gradient;
use crate::ops::distribution;
use crate::ops::row_kernels;
use crate::ops::softmax::check_temperature;
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

#[derive(Debug)]
struct KlDivergence {
    temperature: f64,
}

impl Tape {
    /// `T^2` times the mean divergence of `student` `[B, C]` from `mentor` `[B, C]` at temperature `T`; a scalar.
    ///
    /// # Errors
    /// If the shapes differ or the temperature is not positive.
    pub fn kl_divergence(&mut self, student: ValueId, mentor: ValueId, temperature: f64) -> Result<ValueId> {
        check_temperature(temperature)?;
        let (dtype, shape) = (self.dtype(student), self.shape(student));
        if shape.rank() != 2 || self.shape(mentor) != shape {
            return Err(Error::request(format!(
                "a mentor's logits of shape {} do not match the student's of shape {shape}",
                self.shape(mentor)
            )));
        }
        let outputs = [("kl_divergence", dtype, Shape::from([])), ("d_logits", dtype, shape)];
        Ok(self.record(KlDivergence { temperature }, &[student, mentor], &outputs)[0])
    }
}

/// One image: writes `softmax(z_S / T_S) - softmax(z_m / T_m)` to `difference` and returns the divergence of the two.
/// `scratch` has one element per class.
#[inline]
pub(crate) fn divergence_row<T: Element>(
    student: &[T],
    student_temperature: T,
    mentor: &[T],
    mentor_temperature: T,
    difference: &mut [T],
    scratch: &mut [T],
) -> f64 {
    let student_total = distribution::softmax(student, student_temperature, difference);
    let mentor_total = distribution::softmax(mentor, mentor_temperature, scratch);
    let (by_student, by_mentor) = (T::ONE / student_temperature, T::ONE / mentor_temperature);
    let mut sum = 0.0;
    for (((d, p), z_student), z_mentor) in difference.iter_mut().zip(scratch.iter()).zip(student).zip(mentor) {
        // ln p_m - ln p_S, finite also where p_m is zero.
        let logarithms = (*z_mentor * by_mentor - mentor_total) - (*z_student * by_student - student_total);
        sum += (*p * logarithms).to_f64();
        *d -= *p;
    }
    sum
}

impl Operation for KlDivergence {
    fn name(&self) -> &'static str {
        "kl_divergence"
    }

    fn workspace(&self, signature: &Signature) -> usize {
        let (dtype, shape) = signature.inputs[0];
        shape.channels() * dtype.size()
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        if wanted[1] {
            return Err(Error::failed("a mentor of kl_divergence is a constant: it has no gradient"));
        }
        saved_gradient(tape, node, upstream, 0)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let (student, mentor) = (frame.input::<T>(0), frame.input::<T>(1));
            let classes = frame.input_shape(0).channels();
            let images = frame.input_shape(0).rows() as f64;
            let temperature = T::from_f64(self.temperature);
            let scratch = &mut frame.workspace::<T>()[..classes];
            let gradient_scale = T::from_f64(self.temperature / images);
            let mut sum = 0.0;
            let pairs = student.chunks_exact(classes).zip(mentor.chunks_exact(classes));
            for ((student, mentor), gradient) in pairs.zip(frame.output::<T>(1).chunks_exact_mut(classes)) {
                sum += divergence_row(student, temperature, mentor, temperature, gradient, scratch);
                gradient.iter_mut().for_each(|g| *g *= gradient_scale);
            }
            frame.output::<T>(0)[0] = T::from_f64(self.temperature * self.temperature * sum / images);
        });
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        row_kernels::loss_workspace(signature.inputs[0].1.rows())
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, self);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::check::{check_gradients, random};
    use crate::tape::{Arena, Plan, StateLayout, Tape};
    use crate::tensor::{DType, Shape};

    #[test]
    fn gradients_match_differences() {
        for temperature in [1.0, 4.0] {
            check_gradients(8, &[Shape::from([5, 7])], |tape, layout, x| {
                let mentor = layout.declare("mentor", DType::F64, [5, 7]);
                let mentor = tape.state(layout, mentor);
                tape.kl_divergence(x[0], mentor, temperature)
            });
        }
    }

    /// Against the definition, with both sides random.
    #[test]
    fn value_is_the_definition() {
        let temperature = 3.0;
        let mut layout = StateLayout::new();
        let ids = ["student", "mentor"].map(|name| layout.declare(name, DType::F64, [4, 6]));
        let mut tape = Tape::new(DType::F64);
        let values = ids.map(|id| tape.state(&layout, id));
        let loss = tape.kl_divergence(values[0], values[1], temperature).unwrap();
        tape.keep(loss);
        let plan = Plan::new(&tape, &layout);
        let mut state = layout.allocate();
        let logits = [0, 1].map(|tensor| (0..24).map(|index| random(9, tensor, index)).collect::<Vec<f64>>());
        ids.iter().zip(&logits).for_each(|(id, values)| state.set_f64(*id, values));
        let mut arena = Arena::new(plan.bytes());
        plan.run(&mut arena, &mut state).unwrap();
        let mut expected = 0.0;
        for image in 0..4 {
            let p = |logits: &[f64], class: usize| {
                let row = &logits[image * 6..image * 6 + 6];
                (row[class] / temperature).exp() / row.iter().map(|z| (z / temperature).exp()).sum::<f64>()
            };
            for class in 0..6 {
                let (student, mentor) = (p(&logits[0], class), p(&logits[1], class));
                expected += temperature * temperature / 4.0 * mentor * (mentor / student).ln();
            }
        }
        let found = plan.read_f64(&arena, &state, loss).unwrap()[0];
        assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{found} is not {expected}");
    }
}
