//! Stochastic gradient descent over all parameters of a group in one operation, as PyTorch's `torch.optim.SGD`:
//!
//! ```text
//! g = gradient + weight_decay * w;  v = momentum * v + g;  w = w - lr * (nesterov ? g + momentum * v : v)
//! ```
//!
//! The rate is a value, so that a schedule moves it without a new plan. The step in which a weight or the loss is no longer
//! finite for the first time is kept in state, so that nobody has to look after every step.

pub(super) mod cases;
mod cpu;
mod cuda;

use crate::error::{Error, Result};
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::DType;
use crate::with_float;

/// The options of a parameter group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdOptions {
    /// Share of the velocity that is kept.
    pub momentum: f64,
    /// Share of the weight that is added to its gradient.
    pub weight_decay: f64,
    /// Whether the step looks ahead along the velocity.
    pub nesterov: bool,
}

/// A parameter with its gradient and its velocity.
#[derive(Clone, Copy, Debug)]
pub struct SgdParameter {
    /// The parameter: state, updated in place.
    pub weight: ValueId,
    /// Its gradient.
    pub gradient: ValueId,
    /// Its velocity: state, updated in place.
    pub velocity: ValueId,
}

/// What tells whether a learner still computes with finite numbers.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The loss of the step, a scalar.
    pub loss: ValueId,
    /// u32 `[1]`: the number of the step, from 0.
    pub number: ValueId,
    /// State, u32 `[1]`: the first step, counted from 1, after which a weight or whose loss was not finite; 0: none yet.
    pub broken: ValueId,
}

#[derive(Debug)]
struct Sgd {
    options: SgdOptions,
    /// Fixed pieces of work: (parameter, first element, elements).
    pieces: Vec<(usize, usize, usize)>,
}

/// The first input that is a gradient; rate, loss and number stand before.
const GRADIENTS: usize = 3;

/// Elements of a piece of work: enough to be worth a task, few enough to share out.
const PIECE: usize = 32 * 1024;

impl Tape {
    /// Records one update of `parameters` at `rate` (a scalar), and watches the weights and the loss: one operation for all
    /// of them, or without fusion ([`Tape::set_fusion`]) one for each.
    ///
    /// # Errors
    /// If shapes or types of a parameter's values differ.
    pub fn sgd(&mut self, parameters: &[SgdParameter], rate: ValueId, watch: Watch, options: SgdOptions) -> Result<()> {
        if parameters.len() > 1 && !self.fusion() {
            return parameters.iter().try_for_each(|one| self.sgd(&[*one], rate, watch, options));
        }
        let mut inputs = vec![rate, watch.loss, watch.number];
        let mut outputs = vec![watch.broken];
        let mut pieces = Vec::new();
        for (index, parameter) in parameters.iter().enumerate() {
            let shape = self.shape(parameter.weight);
            if self.shape(parameter.gradient) != shape || self.shape(parameter.velocity) != shape {
                return Err(Error::failed(format!(
                    "parameter {} of shape {shape} has a gradient of shape {}",
                    self.value(parameter.weight).name,
                    self.shape(parameter.gradient)
                )));
            }
            inputs.push(parameter.gradient);
            outputs.extend([parameter.weight, parameter.velocity]);
            let count = shape.count();
            pieces.extend((0..count).step_by(PIECE).map(|start| (index, start, PIECE.min(count - start))));
        }
        debug_assert_eq!([watch.broken, watch.number].map(|id| self.dtype(id)), [DType::U32; 2]);
        self.record_into(Sgd { options, pieces }, &inputs, &outputs);
        Ok(())
    }
}

impl Operation for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.input_dtype(0), T => cpu::run::<T>(self, frame));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, self.options);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
