//! Batch normalisation with what usually follows it, in one pass: `y = act(gamma * xhat + beta [+ residual])` with
//! `xhat = (x - mean) / sqrt(var + epsilon)` per channel, and `act` ReLU or nothing (Ioffe and Szegedy: "Batch
//! normalization: accelerating deep network training by reducing internal covariate shift", 2015).
//!
//! In training `mean` and `var` (biased) are those of the batch, and `running = (1 - momentum) * running + momentum *
//! new`, with the unbiased variance; otherwise they are the running ones. This is PyTorch's `BatchNorm2d`.
//!
//! On a GPU the batch's statistics come from partial ones ([`partials`]), which a convolution leaves while it writes `x`
//! where its kernels can, and a pass over `x` otherwise.
//!
//! Beside activations in bf16, parameters and statistics are float32.

pub(super) mod cases;
pub mod cpu;
pub mod cpu_gradient;
mod cuda;
mod gradient;
mod matrix;
mod partials;

pub(in crate::ops) use partials::partials;

use crate::error::{Error, Result};
use crate::ops::parallel::Chunks;
use crate::simd::{Element, Level};
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::tensor::{DType, Shape};
use crate::with_float;

/// How a [`Tape::batch_norm`] works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormOptions {
    /// Statistics of the batch (and the running ones updated), else the running statistics as constants.
    pub training: bool,
    /// Apply ReLU to the result.
    pub relu: bool,
    /// Added to the variance.
    pub epsilon: f64,
    /// The share of the batch's statistics in the new running statistics.
    pub momentum: f64,
}

impl Default for BatchNormOptions {
    /// Training without ReLU, and PyTorch's constants.
    fn default() -> Self {
        Self { training: true, relu: false, epsilon: 1e-5, momentum: 0.1 }
    }
}

/// A layer's parameters and running statistics, `[C]` each.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormState {
    /// The factor, `weight` in PyTorch.
    pub gamma: ValueId,
    /// The shift, `bias` in PyTorch.
    pub beta: ValueId,
    /// `running_mean`, a piece of state.
    pub running_mean: ValueId,
    /// `running_var`, a piece of state.
    pub running_var: ValueId,
}

#[derive(Clone, Copy, Debug)]
struct BatchNorm {
    options: BatchNormOptions,
    residual: bool,
    /// On a GPU, what makes the input leaves its partial statistics, which are input 3.
    statistics: bool,
}

/// Whether parameters, statistics and residual fit the BatchNorm of something of that type and shape.
///
/// # Errors
/// If they do not.
pub(in crate::ops) fn check_operands(
    tape: &Tape,
    dtype: DType,
    shape: Shape,
    state: BatchNormState,
    residual: Option<ValueId>,
) -> Result<()> {
    let (float, per_channel) = (dtype.accumulator(), Shape::from([shape.channels()]));
    let BatchNormState { gamma, beta, running_mean, running_var } = state;
    for (id, what) in [(gamma, "weight"), (beta, "bias"), (running_mean, "mean"), (running_var, "variance")] {
        if tape.shape(id) != per_channel || tape.dtype(id) != float {
            return Err(Error::request(format!(
                "batch_norm of {shape} ({dtype}) needs a {what} of {per_channel} ({float}), got {} ({})",
                tape.shape(id),
                tape.dtype(id)
            )));
        }
    }
    match residual {
        Some(residual) if tape.shape(residual) != shape || tape.dtype(residual) != dtype => {
            let other = format!("{} ({})", tape.shape(residual), tape.dtype(residual));
            Err(Error::request(format!("batch_norm of {shape} ({dtype}) cannot add a residual of {other}")))
        }
        _ => Ok(()),
    }
}

impl Tape {
    /// `act(bn(x) [+ residual])` over the last dimension of `x` (`[..., C]`); see [the module](crate::ops::batch_norm).
    ///
    /// # Errors
    /// If a parameter is not `[C]`, `residual` is not shaped as `x`, or there is one row only and so no variance.
    pub fn batch_norm(
        &mut self,
        x: ValueId,
        state: BatchNormState,
        residual: Option<ValueId>,
        options: BatchNormOptions,
    ) -> Result<ValueId> {
        let (dtype, shape) = (self.dtype(x), self.shape(x));
        let float = dtype.accumulator();
        let per_channel = Shape::from([shape.channels()]);
        let BatchNormState { gamma, beta, running_mean, running_var } = state;
        check_operands(self, dtype, shape, state, residual)?;
        if options.training && shape.rows() < 2 {
            return Err(Error::request(format!("batch_norm of {shape}: one value per channel has no variance"))
                .help("use a larger batch or larger images"));
        }
        let statistics = if options.training { self.statistics_of(x) } else { None };
        let op = BatchNorm { options, residual: residual.is_some(), statistics: statistics.is_some() };
        let y = self.declare("batch_norm", dtype, shape);
        let mean = self.declare("batch_mean", float, per_channel);
        let inv_std = self.declare("batch_inv_std", float, per_channel);
        let rest = self.declare("batch_mean_rest", float, per_channel);
        let mut inputs = vec![x, gamma, beta];
        if options.training {
            inputs.extend(statistics);
            inputs.extend(residual);
            self.record_into(op, &inputs, &[y, mean, inv_std, rest, running_mean, running_var]);
        } else {
            inputs.extend([running_mean, running_var]);
            inputs.extend(residual);
            self.record_into(op, &inputs, &[y, mean, inv_std, rest]);
        }
        Ok(y)
    }
}

impl BatchNorm {
    fn run_on<T: Element>(&self, frame: &Frame<'_>) {
        let shape = frame.output_shape(0);
        let channels = shape.channels();
        let chunks = Chunks::of(shape.rows(), channels);
        let y = frame.output::<T>(0).as_mut_ptr();
        let x = if frame.is_in_place() { y.cast_const() } else { frame.input_ptr::<T>(0) };
        let (mean, inv_std) = (frame.output::<T>(1), frame.output::<T>(2));
        let rest = frame.output::<T>(3);
        let (tables, statistics) = frame.workspace::<T>().split_at_mut(2 * channels);
        let (scale, shift) = tables.split_at_mut(channels);
        let level = Level::current();
        let BatchNormOptions { training, relu, epsilon, momentum } = self.options;
        if training {
            let running = (frame.output::<T>(4).as_mut_ptr(), frame.output::<T>(5).as_mut_ptr());
            let (statistics, mean, inv_std) = (statistics.as_mut_ptr(), mean.as_mut_ptr(), inv_std.as_mut_ptr());
            let rest = rest.as_mut_ptr();
            // SAFETY: shapes were checked while recording; `workspace` asked for the chunks' statistics.
            unsafe {
                cpu::chunk_statistics(level, chunks, channels, x, statistics);
                cpu::combine(chunks, channels, statistics, epsilon, momentum, mean, rest, inv_std, Some(running));
            }
        } else {
            mean.copy_from_slice(frame.input::<T>(3));
            rest.fill(T::ZERO);
            cpu::inverse_deviation(frame.input::<T>(4), epsilon, inv_std);
        }
        cpu::scale_and_shift(rest, inv_std, frame.input(1), frame.input(2), scale, shift);
        let residual = self.residual.then(|| frame.input_ptr::<T>(frame.input_count() - 1));
        // SAFETY: shapes were checked while recording.
        unsafe { cpu::normalise(level, chunks, channels, x, residual, relu, mean, scale, shift, y) };
    }
}

impl Operation for BatchNorm {
    fn name(&self) -> &'static str {
        match (self.residual, self.options.relu) {
            (false, false) => "batch_norm",
            (false, true) => "batch_norm+relu",
            (true, false) => "batch_norm+add",
            (true, true) => "batch_norm+add+relu",
        }
    }

    fn workspace(&self, signature: &Signature) -> usize {
        let (dtype, shape) = signature.outputs[0];
        let chunks = if self.options.training { Chunks::of(shape.rows(), shape.channels()).count() } else { 0 };
        (2 + cpu::STATISTICS * chunks) * shape.channels() * dtype.size()
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        Ok(gradient::record(*self, tape, node, upstream[0], wanted))
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => self.run_on::<T>(frame));
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        cuda::workspace(self, signature)
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::batch_norm(launcher, self);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
