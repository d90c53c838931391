//! The GPU's code: `kernels/sgd.cu`.

use super::{GRADIENTS, SgdOptions};
use crate::tape::Launcher;

/// Threads of a block.
const THREADS: u32 = 256;

/// Elements of a block's piece of work: `PIECE` in `kernels/sgd.cu`.
const PIECE: usize = 4096;

pub(super) fn launch(launcher: &mut Launcher<'_>, options: SgdOptions) {
    let dtype = launcher.input_dtype(0);
    let mut parameters = Vec::new();
    let mut pieces: Vec<[u32; 2]> = Vec::new();
    for index in 0..launcher.input_count() - GRADIENTS {
        let count = launcher.input_shape(GRADIENTS + index).count();
        let (weight, velocity) = (launcher.output(1 + 2 * index), launcher.output(2 + 2 * index));
        parameters.extend([weight, velocity, launcher.input(GRADIENTS + index), count.into()]);
        pieces.extend((0..count).step_by(PIECE).map(|start| [index as u32, start as u32]));
    }
    let arguments = vec![
        launcher.table(parameters),
        launcher.constant(bytemuck::cast_slice(&pieces)),
        launcher.input(0),
        launcher.input(1),
        launcher.input(2),
        launcher.output(0),
        (options.weight_decay as f32).into(),
        (options.momentum as f32).into(),
        u32::from(options.nesterov).into(),
    ];
    launcher.launch(format!("sgd_{dtype}"), [pieces.len(), 1, 1], THREADS, arguments);
}
