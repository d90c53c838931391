//! Adam over all parameters of a group, as PyTorch's `torch.optim.Adam` (Kingma, Ba: "Adam: a method for stochastic
//! optimization", 2015, algorithm 1), at the group's step t = 1, 2, ...:
//!
//! ```text
//! g = gradient + weight_decay * w;  m = m + (1 - beta1) (g - m);  v = beta2 * v + (1 - beta2) * g * g
//! w = w - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
//! ```
//!
//! Two nodes: the step's number is counted in state and the two corrections are made from it, in f64; then all
//! parameters are updated. As with [`Tape::sgd`] the rate is a value, and the step in which a weight or the loss is no
//! longer finite for the first time is kept.

pub(super) mod cases;
mod cpu;
mod cuda;
mod step;
pub(super) mod workloads;

use super::operands;
use super::sgd::Watch;
use crate::error::{Error, Result};
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::DType;
use crate::with_float;

/// The options of a parameter group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// Shares of the moments that are kept, of the first and of the second.
    pub betas: [f64; 2],
    /// What is added to the root of the second moment.
    pub epsilon: f64,
    /// Share of the weight that is added to its gradient.
    pub weight_decay: f64,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// A parameter with its gradient and its moments.
#[derive(Clone, Copy, Debug)]
pub struct AdamParameter {
    /// The parameter: state, updated in place.
    pub weight: ValueId,
    /// Its gradient.
    pub gradient: ValueId,
    /// The gradient's running mean: state, updated in place, zeros at the start.
    pub first: ValueId,
    /// The running mean of the gradient's square: state, updated in place, zeros at the start.
    pub second: ValueId,
}

#[derive(Debug)]
struct Adam {
    options: AdamOptions,
    /// Fixed pieces of work: (parameter, first element, elements).
    pieces: Vec<(usize, usize, usize)>,
}

/// The first input that is a gradient; corrections, loss and number stand before.
const GRADIENTS: usize = 3;

/// Elements of a piece of work: enough to be worth a task, few enough to share out.
const PIECE: usize = 32 * 1024;

impl Tape {
    /// Records one update of `parameters` at `rate` (a scalar), and watches the weights and the loss. `steps` is state, u32
    /// `[1]`: how many updates there were, one more after each. One operation for all parameters, or without fusion
    /// ([`Tape::set_fusion`]) one for each.
    ///
    /// # Errors
    /// If shapes or types of a parameter's values differ, or options are outside of their ranges: betas in [0, 1), a
    /// positive epsilon.
    pub fn adam(
        &mut self,
        parameters: &[AdamParameter],
        rate: ValueId,
        steps: ValueId,
        watch: Watch,
        options: AdamOptions,
    ) -> Result<()> {
        let AdamOptions { betas, epsilon, weight_decay } = options;
        if !betas.iter().all(|beta| (0.0..1.0).contains(beta)) || !(epsilon > 0.0) || !weight_decay.is_finite() {
            return Err(Error::request(format!("Adam cannot work with {options:?}"))
                .help("expected betas from 0 to below 1 and an epsilon above 0"));
        }
        operands::floats(self, "Adam", &[rate, watch.loss])?;
        for counter in [steps, watch.number, watch.broken] {
            operands::of_type(self, "Adam", counter, DType::U32)?;
        }
        for parameter in parameters {
            let shape = self.shape(parameter.weight);
            for other in [parameter.gradient, parameter.first, parameter.second] {
                operands::floats(self, "Adam", &[parameter.weight, other])?;
                if self.shape(other) != shape {
                    return Err(Error::failed(format!(
                        "parameter {} of shape {shape} comes with {} of shape {}",
                        self.value(parameter.weight).name,
                        self.value(other).name,
                        self.shape(other)
                    )));
                }
            }
        }
        let corrections = self.adam_step(rate, steps, betas);
        let groups = if self.fusion() { parameters.chunks(parameters.len().max(1)) } else { parameters.chunks(1) };
        for group in groups {
            self.record_adam(group, corrections, watch, options);
        }
        Ok(())
    }

    fn record_adam(&mut self, parameters: &[AdamParameter], corrections: ValueId, watch: Watch, options: AdamOptions) {
        let mut inputs = vec![corrections, watch.loss, watch.number];
        let mut outputs = vec![watch.broken];
        let mut pieces = Vec::new();
        for (index, parameter) in parameters.iter().enumerate() {
            inputs.push(parameter.gradient);
            outputs.extend([parameter.weight, parameter.first, parameter.second]);
            let count = self.shape(parameter.weight).count();
            pieces.extend((0..count).step_by(PIECE).map(|start| (index, start, PIECE.min(count - start))));
        }
        self.record_into(Adam { options, pieces }, &inputs, &outputs);
    }
}

impl Operation for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.input_dtype(0), T => cpu::run::<T>(self, frame));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::update(launcher, self.options);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
