//! The GPU's code: `kernels/pool.cu`.

use super::cpu::Pooling;
use crate::ops::packs::{NULL, THREADS, launch, structure};
use crate::ops::pooling;
use crate::ops::windows::Windows;
use crate::tape::Launcher;

/// From this many inputs per window on, the threads of a block share one.
const LARGE: usize = 16;
/// Packs of channels that a block makes at most.
const WIDTH: usize = 32;

pub(super) fn avg_pool(launcher: &mut Launcher<'_>, pooling: Pooling) {
    let Pooling { windows, counts_padding, input, output } = pooling;
    let dtype = launcher.output_dtype(0);
    let pooling = pooling::Pooling::new(dtype, windows, counts_padding, [input, output], output);
    let mut arguments = vec![launcher.input(0), launcher.output(0), structure(pooling)];
    let inputs = match windows {
        Windows::Sliding { kernel, .. } => kernel * kernel,
        Windows::Even => input[1].div_ceil(output[1]) * input[2].div_ceil(output[2]),
    };
    if inputs < LARGE {
        launch(launcher, format!("avg_pool_{dtype}"), pooling.count as usize, arguments);
        return;
    }
    let packs = pooling.packs as usize;
    let width = packs.div_ceil(packs.div_ceil(WIDTH));
    arguments.push(width.into());
    let grid = [output.rows(), packs.div_ceil(width), 1];
    launcher.launch(format!("avg_pool_block_{dtype}"), grid, THREADS as u32, arguments);
}

pub(super) fn gradient(launcher: &mut Launcher<'_>, pooling: Pooling, addend: bool) {
    let Pooling { windows, counts_padding, input, output } = pooling;
    let dtype = launcher.output_dtype(0);
    let pooling = pooling::Pooling::new(dtype, windows, counts_padding, [input, output], input);
    let addend = if addend { launcher.input(1) } else { NULL };
    let arguments = vec![launcher.input(0), addend, launcher.output(0), structure(pooling)];
    launch(launcher, format!("avg_pool_gradient_{dtype}"), pooling.count as usize, arguments);
}
