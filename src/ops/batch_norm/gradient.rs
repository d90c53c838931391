//! The gradient of [`Tape::batch_norm`] as an operation.

use std::sync::Arc;

use super::cpu;
use super::cpu_gradient::{self, Inputs, Mask, Outputs};
use super::cuda;
use super::{BatchNorm, BatchNormOptions};
use crate::error::Result;
use crate::ops::parallel::Chunks;
use crate::simd::{Element, Level};
use crate::tape::{Frame, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::with_float;

/// Inputs: x, upstream, gamma, beta, mean, inv_std, the mean's rest, then the forward's output where the ReLU's mask needs
/// it, then the addend. Outputs: dx, dgamma, dbeta, then the residual's gradient where it is not the upstream one itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchNormGradient {
    pub(super) options: BatchNormOptions,
    /// The ReLU's mask is read from the output, which a residual is part of.
    pub(super) mask_from_output: bool,
    /// Sums per channel are needed: for the parameters, or for the statistics' own gradient.
    pub(super) sums: bool,
    pub(super) residual: bool,
    pub(super) addend: bool,
}

pub(super) fn record(
    forward: BatchNorm,
    tape: &mut Tape,
    node: &Node,
    upstream: Option<ValueId>,
    wanted: &[bool],
) -> Vec<Option<ValueId>> {
    let mut gradients = vec![None; node.inputs.len()];
    let Some(upstream) = upstream else { return gradients };
    let options = forward.options;
    let last = node.inputs.len() - 1;
    let wants_residual = forward.residual && wanted[last];
    let op = BatchNormGradient {
        options,
        mask_from_output: options.relu && forward.residual,
        sums: options.training || wanted[1] || wanted[2],
        residual: options.relu && wants_residual,
        addend: false,
    };
    let [x, gamma, beta] = [node.inputs[0], node.inputs[1], node.inputs[2]];
    let [y, mean, inv_std, rest] = [node.outputs[0], node.outputs[1], node.outputs[2], node.outputs[3]];
    let mut inputs = vec![x, upstream, gamma, beta, mean, inv_std, rest];
    if op.mask_from_output {
        inputs.push(y);
    }
    let (dtype, shape) = (tape.dtype(x), tape.shape(x));
    let (float, per_channel) = (dtype.accumulator(), tape.shape(gamma));
    let mut outputs = vec![("dx", dtype, shape), ("dgamma", float, per_channel), ("dbeta", float, per_channel)];
    if op.residual {
        outputs.push(("dresidual", dtype, shape));
    }
    let outputs = tape.record(op, &inputs, &outputs);
    for (gradient, output) in gradients.iter_mut().zip(&outputs[..3]) {
        *gradient = Some(*output);
    }
    if wants_residual {
        gradients[last] = Some(if op.residual { outputs[3] } else { upstream });
    }
    gradients
}

impl BatchNormGradient {
    fn run_on<T: Element>(&self, frame: &Frame<'_>) {
        let shape = frame.output_shape(0);
        let (rows, channels) = (shape.rows(), shape.channels());
        let chunks = Chunks::of(rows, channels);
        let level = Level::current();

        let (tables, sums) = frame.workspace::<T>().split_at_mut(4 * channels);
        let (tables, terms) = tables.split_at_mut(2 * channels);
        let (scale, shift) = tables.split_at_mut(channels);
        let (slope, offset) = terms.split_at_mut(channels);
        let (mean, inv_std) = (frame.input::<T>(4), frame.input::<T>(5));
        cpu::scale_and_shift(frame.input(6), inv_std, frame.input(2), frame.input(3), scale, shift);

        let dx = frame.output::<T>(0).as_mut_ptr();
        let (dgamma, dbeta) = (frame.output::<T>(1), frame.output::<T>(2));
        let mask = match (self.options.relu, self.mask_from_output) {
            (false, _) => Mask::None,
            (true, false) => Mask::Input,
            (true, true) => Mask::Output(frame.input_ptr(7)),
        };
        let inputs = Inputs {
            x: frame.input_ptr(0),
            upstream: if frame.is_in_place() { dx.cast_const() } else { frame.input_ptr(1) },
            mask,
            mean,
            scale,
            shift,
        };
        if self.sums {
            let (dgamma, dbeta, sums) = (dgamma.as_mut_ptr(), dbeta.as_mut_ptr(), sums.as_mut_ptr());
            // SAFETY: shapes were checked while recording; `workspace` asked for the chunks' sums.
            unsafe {
                cpu_gradient::chunk_sums(level, chunks, channels, inputs, sums);
                cpu_gradient::combine_sums(chunks, channels, sums, inv_std.as_ptr(), dgamma, dbeta);
            }
        } else {
            dgamma.fill(T::ZERO);
            dbeta.fill(T::ZERO);
        }
        let terms = self.options.training.then(|| {
            cpu_gradient::slope_and_offset(rows, inv_std, scale, dgamma, dbeta, slope, offset);
            (&*slope, &*offset)
        });
        let outputs = Outputs {
            dx,
            residual: self.residual.then(|| frame.output::<T>(3).as_mut_ptr()),
            addend: self.addend.then(|| frame.input_ptr(frame.input_count() - 1)),
        };
        // SAFETY: shapes were checked while recording.
        unsafe { cpu_gradient::input_gradient(level, chunks, channels, inputs, terms, outputs) };
    }
}

impl Operation for BatchNormGradient {
    fn name(&self) -> &'static str {
        if self.options.relu { "batch_norm+relu gradient" } else { "batch_norm gradient" }
    }

    fn workspace(&self, signature: &Signature) -> usize {
        let (dtype, shape) = signature.outputs[0];
        let chunks = if self.sums { Chunks::of(shape.rows(), shape.channels()).count() } else { 0 };
        (4 + 2 * chunks) * shape.channels() * dtype.size()
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 1))
    }

    fn with_addend(&self) -> Option<Arc<dyn Operation>> {
        (!self.addend).then(|| Arc::new(Self { addend: true, ..*self }) as Arc<dyn Operation>)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => self.run_on::<T>(frame));
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        cuda::gradient_workspace(self, signature)
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::gradient(launcher, self);
        Ok(())
    }
}
