//! The GPU's code: `kernels/batch_norm.cu` and `kernels/batch_norm_gradient.cu`.

use super::gradient::BatchNormGradient;
use super::matrix::{Matrix, Pass};
use super::{BatchNorm, BatchNormOptions, partials};
use crate::ops::packs::{NULL, THREADS, launch, structure};
use crate::tape::{Launcher, Signature};
use crate::tensor::Shape;

/// Channels that a block of a combining kernel has.
const CHANNELS: usize = 8;
/// Threads that share a channel's partial statistics: `MERGERS` in `kernels/batch_norm.cu`.
const MERGERS: usize = 128;
/// Numbers per chunk and column that the gradient's sums are.
const SUMS: usize = 2;

pub(super) fn workspace(batch_norm: &BatchNorm, signature: &Signature) -> usize {
    let (dtype, shape) = signature.outputs[0];
    let own = batch_norm.options.training && !batch_norm.statistics;
    if own { statistics_bytes(&Matrix::new(dtype, shape, Pass::Sum), shape) } else { 0 }
}

/// Bytes of the partial statistics that BatchNorm's own pass leaves.
fn statistics_bytes(sum: &Matrix, shape: Shape) -> usize {
    partials(sum.chunks() * sum.copies(), shape.channels()).count() * size_of::<f32>()
}

pub(super) fn gradient_workspace(gradient: &BatchNormGradient, signature: &Signature) -> usize {
    let (dtype, shape) = signature.outputs[0];
    if gradient.sums { Matrix::new(dtype, shape, Pass::Sum).partials(SUMS) } else { 0 }
}

pub(super) fn batch_norm(launcher: &mut Launcher<'_>, batch_norm: &BatchNorm) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let map = Matrix::new(dtype, shape, Pass::Map);
    let BatchNormOptions { training, relu, epsilon, momentum } = batch_norm.options;
    let (epsilon, relu) = (epsilon as f32, u32::from(relu));
    let residual = if batch_norm.residual { launcher.input(launcher.input_count() - 1) } else { NULL };
    let [x, gamma, beta] = [0, 1, 2].map(|index| launcher.input(index));
    let [y, mean, inv_std, rest] = [0, 1, 2, 3].map(|index| launcher.output(index));
    if !training {
        let (running_mean, running_var) = (launcher.input(3), launcher.input(4));
        let arguments = vec![x, residual, gamma, beta, running_mean, running_var, y, mean, inv_std, rest];
        let arguments = [arguments, vec![structure(map), relu.into(), epsilon.into()]].concat();
        launcher.launch(format!("batch_norm_running_{dtype}"), map.grid(dtype), THREADS as u32, arguments);
        return;
    }
    let statistics = if batch_norm.statistics {
        launcher.input(3)
    } else {
        let sum = Matrix::new(dtype, shape, Pass::Sum);
        let statistics = launcher.workspace(0, statistics_bytes(&sum, shape));
        let arguments = vec![x.clone(), statistics.clone(), structure(sum)];
        launcher.launch(format!("batch_norm_statistics_{dtype}"), sum.grid(dtype), THREADS as u32, arguments);
        statistics
    };

    let outputs = vec![mean.clone(), inv_std.clone(), rest.clone(), launcher.output(4), launcher.output(5)];
    let constants = vec![shape.channels().into(), shape.rows().into(), epsilon.into(), (momentum as f32).into()];
    let arguments = [vec![statistics], outputs, constants].concat();
    let grid = [shape.channels().div_ceil(CHANNELS), 1, 1];
    launcher.launch("batch_norm_combine", grid, (MERGERS * CHANNELS) as u32, arguments);

    let arguments = vec![x, residual, gamma, beta, mean, inv_std, rest, y, structure(map), relu.into()];
    launcher.launch(format!("batch_norm_normalise_{dtype}"), map.grid(dtype), THREADS as u32, arguments);
}

pub(super) fn gradient(launcher: &mut Launcher<'_>, gradient: &BatchNormGradient) {
    let BatchNormGradient { options, mask_from_output, sums, residual, addend } = *gradient;
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let masked_by_input = options.relu && !mask_from_output;
    let [x, upstream, gamma, beta, mean] = [0, 1, 2, 3, 4].map(|index| launcher.input(index));
    let (inv_std, rest) = (launcher.input(5), launcher.input(6));
    let output = if mask_from_output { launcher.input(7) } else { NULL };
    let [dx, dgamma, dbeta] = [0, 1, 2].map(|index| launcher.output(index));
    let residual = if residual { launcher.output(3) } else { NULL };
    let addend = if addend { launcher.input(launcher.input_count() - 1) } else { NULL };
    let tables = vec![gamma, beta, mean, inv_std.clone(), rest.clone()];
    let relu = u32::from(masked_by_input).into();

    if sums {
        let sum = Matrix::new(dtype, shape, Pass::Sum);
        let partials = launcher.workspace(0, sum.partials(SUMS));
        let inputs = vec![x.clone(), upstream.clone(), output.clone()];
        let outputs = vec![partials.clone(), structure(sum), relu];
        let arguments = [inputs, tables.clone(), outputs].concat();
        launcher.launch(format!("batch_norm_gradient_sums_{dtype}"), sum.grid(dtype), THREADS as u32, arguments);
        let gradients = vec![dgamma.clone(), dbeta.clone(), structure(sum), sum.chunks().into()];
        let arguments = [vec![partials, inv_std, rest], gradients].concat();
        let grid = [shape.channels().div_ceil(CHANNELS), 1, 1];
        launcher.launch("batch_norm_gradient_combine", grid, THREADS as u32, arguments);
    } else {
        for gradient in [&dgamma, &dbeta] {
            let arguments = vec![gradient.clone(), 0.0_f32.into(), shape.channels().into()];
            launch(launcher, "fill_f32".into(), shape.channels().div_ceil(4), arguments);
        }
    }
    let map = Matrix::new(dtype, shape, Pass::Map);
    let (dgamma, dbeta) = if options.training { (dgamma, dbeta) } else { (NULL, NULL) };
    let x = if options.training || masked_by_input { x } else { NULL };
    let relu = u32::from(masked_by_input).into();
    let outputs = vec![dgamma, dbeta, addend, dx, residual, structure(map), relu];
    let arguments = [vec![x, upstream, output], tables, outputs].concat();
    launcher.launch(format!("batch_norm_gradient_{dtype}"), map.grid(dtype), THREADS as u32, arguments);
}
