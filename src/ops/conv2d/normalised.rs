//! A convolution and the BatchNorm with running statistics behind it, with the addition of a residual and ReLU, as one
//! operation: `y = act((x * w + b - mean) * gamma / sqrt(variance + epsilon) + beta [+ residual])`.
//!
//! For frozen networks: it has no gradient. A GPU does it while it stores the results, so that a map is written once and
//! never read in between; the CPU does the same as [`Tape::conv2d`] and [`Tape::batch_norm`] do one after the other.

use super::operation::flops;
use super::{Conv2dGeometry, Conv2dOptions, FpropPlan, cuda};
use crate::error::Result;
use crate::ops::batch_norm::{BatchNormOptions, BatchNormState, check_operands, cpu};
use crate::ops::parallel::Chunks;
use crate::simd::{Element, Level};
use crate::tape::{Frame, Launcher, Operation, Signature, Tape, ValueId, Variants};
use crate::tensor::Shape;
use crate::with_float;

/// Inputs: x, weight, gamma, beta, mean, variance, then the bias, then the residual, where there are such.
#[derive(Debug)]
struct Normalised {
    geometry: Conv2dGeometry,
    tf32: bool,
    plan: FpropPlan,
    bias: bool,
    residual: bool,
    norm: BatchNormOptions,
}

impl Tape {
    /// [`Tape::conv2d`] of `x` followed by [`Tape::batch_norm`] with running statistics, whose `training` is not looked at.
    ///
    /// # Errors
    /// As those.
    #[allow(clippy::too_many_arguments)] // All that two operations take.
    pub fn conv2d_batch_norm(
        &mut self,
        x: ValueId,
        weight: ValueId,
        bias: Option<ValueId>,
        options: Conv2dOptions,
        state: BatchNormState,
        residual: Option<ValueId>,
        norm: BatchNormOptions,
    ) -> Result<ValueId> {
        let geometry = self.convolution(x, weight, bias, options)?;
        let [rows, columns] = geometry.output();
        let shape = Shape::from([geometry.batch, rows, columns, geometry.out_channels]);
        let dtype = self.dtype(x);
        check_operands(self, dtype, shape, state, residual)?;
        let tables = [state.gamma, state.beta, state.running_mean, state.running_var];
        let plan = with_float!(dtype.accumulator(), T => FpropPlan::new::<T>(&geometry));
        let (tf32, bias_too, residual_too) = (self.tf32(), bias.is_some(), residual.is_some());
        let op = Normalised { geometry, tf32, plan, bias: bias_too, residual: residual_too, norm };
        let inputs: Vec<ValueId> = [x, weight].into_iter().chain(tables).chain(bias).chain(residual).collect();
        Ok(self.record_one(op, &inputs, "batch_norm", dtype, shape))
    }
}

impl Normalised {
    fn run_on<T: Element>(&self, frame: &Frame<'_>) {
        let y = frame.output::<T>(0);
        let (workspace, tables) = frame.workspace::<T>().split_at_mut(self.plan.workspace_len());
        let bias = self.bias.then(|| frame.input::<T>(6));
        self.plan.run(frame.input(0), frame.input(1), bias, y, workspace);

        let channels = self.geometry.out_channels;
        let chunks = Chunks::of(frame.output_shape(0).rows(), channels);
        let (inv_std, tables) = tables.split_at_mut(channels);
        let (rest, tables) = tables.split_at_mut(channels);
        let (scale, shift) = tables.split_at_mut(channels);
        let shift = &mut shift[..channels];
        rest.fill(T::ZERO);
        cpu::inverse_deviation(frame.input::<T>(5), self.norm.epsilon, inv_std);
        cpu::scale_and_shift(rest, inv_std, frame.input(2), frame.input(3), scale, shift);
        let residual = self.residual.then(|| frame.input_ptr::<T>(6 + usize::from(self.bias)));
        let (level, mean, relu, y) = (Level::current(), frame.input(4), self.norm.relu, y.as_mut_ptr());
        // SAFETY: shapes were checked while recording; every element is read before it is written.
        unsafe { cpu::normalise(level, chunks, channels, y.cast_const(), residual, relu, mean, scale, shift, y) };
    }
}

impl Operation for Normalised {
    fn name(&self) -> &'static str {
        match (self.residual, self.norm.relu) {
            (false, false) => "conv2d+batch_norm",
            (false, true) => "conv2d+batch_norm+relu",
            (true, false) => "conv2d+batch_norm+add",
            (true, true) => "conv2d+batch_norm+add+relu",
        }
    }

    fn flops(&self, signature: &Signature) -> u64 {
        flops(signature.outputs[0], signature.inputs[1])
    }

    fn workspace(&self, signature: &Signature) -> usize {
        (self.plan.workspace_len() + 4 * self.geometry.out_channels) * signature.outputs[0].0.size()
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => self.run_on::<T>(frame));
    }

    fn variants(&self, signature: &Signature) -> Option<Variants> {
        Some(cuda::variants(cuda::Pass::Fprop, self.name(), &self.geometry, self.tf32, signature))
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        let BatchNormOptions { relu, epsilon, .. } = self.norm;
        let besides = cuda::Besides::of_normalised(launcher, self.bias, self.residual, relu, epsilon);
        cuda::fprop(launcher, &self.geometry, self.tf32, besides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{normal, run_tape};
    use crate::tape::check::check_gradients;

    /// The same bits as one operation after the other.
    #[test]
    fn it_is_the_convolution_and_then_the_batch_norm() {
        let table = Shape::from([5]);
        let shapes = [
            Shape::from([2, 6, 5, 3]),
            Shape::from([3, 3, 3, 5]),
            table,
            table,
            table,
            table,
            table,
            Shape::from([2, 6, 5, 5]),
        ];
        let inputs: Vec<(Shape, Vec<f64>)> = shapes
            .iter()
            .zip(0..)
            .map(|(shape, seed)| (*shape, normal(7, seed, shape.count(), 0.0).into_iter().map(f64::abs).collect()))
            .collect();
        let options = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
        for (relu, residual, bias) in [(true, true, true), (false, true, false), (true, false, false)] {
            let made = run_tape(&inputs, |tape, v| {
                let state = BatchNormState { gamma: v[2], beta: v[3], running_mean: v[4], running_var: v[5] };
                let norm = BatchNormOptions { training: false, relu, ..BatchNormOptions::default() };
                let (bias, residual) = (bias.then_some(v[6]), residual.then_some(v[7]));
                let joined = tape.conv2d_batch_norm(v[0], v[1], bias, options, state, residual, norm)?;
                let convolved = tape.conv2d(v[0], v[1], bias, options)?;
                Ok(vec![joined, tape.batch_norm(convolved, state, residual, norm)?])
            });
            let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&made[0]), bits(&made[1]), "relu {relu}, residual {residual}, bias {bias}");
            assert!(made[0].iter().any(|x| *x > 0.0));
        }
    }

    /// A BatchNorm that gets its statistics from the convolution: its gradients are those of finite differences.
    #[test]
    fn statistics_of_a_convolution_leave_gradients_as_they_are() {
        let table = Shape::from([4]);
        let shapes = [Shape::from([2, 4, 3, 2]), Shape::from([3, 3, 2, 4]), table, table, Shape::from([2, 4, 3, 4])];
        for residual in [false, true] {
            check_gradients(51, &shapes[..if residual { 5 } else { 4 }], |tape, layout, x| {
                let options = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
                let y = tape.conv2d(x[0], x[1], None, options)?;
                let mut declare = |name: &str| {
                    let id = layout.declare(name, tape.float(), table);
                    tape.state(layout, id)
                };
                let (running_mean, running_var) = (declare("mean"), declare("variance"));
                let state = BatchNormState { gamma: x[2], beta: x[3], running_mean, running_var };
                let norm = BatchNormOptions { relu: true, epsilon: 0.3, ..BatchNormOptions::default() };
                let z = tape.batch_norm(y, state, residual.then(|| x[4]), norm)?;
                let second = tape.batch_norm(y, state, None, norm)?;
                assert_eq!(tape.nodes()[0].outputs.len(), 2, "statistics are left once for both");
                tape.add(z, second)
            });
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut layout = crate::tape::StateLayout::new();
        let mut tape = Tape::new(crate::tensor::DType::F32);
        let mut value = |shape: Shape| {
            let id = layout.declare("value", crate::tensor::DType::F32, shape);
            tape.state(&layout, id)
        };
        let (x, w) = (value([1, 4, 4, 3].into()), value([1, 1, 3, 5].into()));
        let (table, other) = (value([5].into()), value([4].into()));
        let state = BatchNormState { gamma: table, beta: table, running_mean: table, running_var: table };
        let mut message = |state, residual| {
            let (options, norm) = (Conv2dOptions::default(), BatchNormOptions::default());
            tape.conv2d_batch_norm(x, w, None, options, state, residual, norm).unwrap_err().to_string()
        };
        assert!(message(BatchNormState { beta: other, ..state }, None).contains("[4]"));
        assert!(message(state, Some(x)).contains("residual"));
    }
}
