//! The GPU's code: `kernels/adam.cu`.

use bytemuck::{Pod, Zeroable};

use super::{AdamOptions, GRADIENTS};
use crate::ops::packs::structure;
use crate::tape::Launcher;

/// Threads of a block.
const THREADS: u32 = 256;

/// Elements of a block's piece of work: `PIECE` in `kernels/adam.cu`.
const PIECE: usize = 4096;

/// `Options` in `kernels/adam.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Options {
    weight_decay: f32,
    take_first: f32,
    keep_second: f32,
    take_second: f32,
    epsilon: f32,
}

pub(super) fn step(launcher: &mut Launcher<'_>, betas: [f64; 2]) {
    let dtype = launcher.output_dtype(0);
    let arguments = vec![launcher.input(0), launcher.output(0), launcher.output(1), betas[0].into(), betas[1].into()];
    launcher.launch(format!("adam_step_{dtype}"), [1, 1, 1], 1, arguments);
}

pub(super) fn update(launcher: &mut Launcher<'_>, options: AdamOptions) {
    let dtype = launcher.input_dtype(0);
    let mut parameters = Vec::new();
    let mut pieces: Vec<[u32; 2]> = Vec::new();
    for index in 0..launcher.input_count() - GRADIENTS {
        let count = launcher.input_shape(GRADIENTS + index).count();
        parameters.extend((0..3).map(|output| launcher.output(1 + 3 * index + output)));
        parameters.extend([launcher.input(GRADIENTS + index), count.into()]);
        pieces.extend((0..count).step_by(PIECE).map(|start| [index as u32, start as u32]));
    }
    let options = Options {
        weight_decay: options.weight_decay as f32,
        take_first: (1.0 - options.betas[0]) as f32,
        keep_second: options.betas[1] as f32,
        take_second: (1.0 - options.betas[1]) as f32,
        epsilon: options.epsilon as f32,
    };
    let mut arguments = vec![launcher.table(parameters), launcher.constant(bytemuck::cast_slice(&pieces))];
    arguments.extend((0..GRADIENTS).map(|index| launcher.input(index)));
    arguments.extend([launcher.output(0), structure(options)]);
    launcher.launch(format!("adam_{dtype}"), [pieces.len(), 1, 1], THREADS, arguments);
}
