//! The GPU's code: `kernels/batch.cu`.

use super::Batch;
use crate::tape::{Argument, Launcher};

/// Threads of a block.
const THREADS: u32 = 256;

/// Elements of an image that a block takes: `ELEMENTS` in `kernels/batch.cu`.
const ELEMENTS: usize = 1024;

/// `Augmented` in `kernels/batch.cu`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Augmented {
    height: u32,
    width: u32,
    channels: u32,
    padding: u32,
    flip: u32,
    key: [u32; 2],
}

pub(super) fn launch(launcher: &mut Launcher<'_>, op: &Batch) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    // Scale and shift of every channel.
    let affine = launcher.constant(bytemuck::cast_slice(&op.normalisation.affine()));
    let augmented = Augmented {
        height: shape[1] as u32,
        width: shape[2] as u32,
        channels: shape[3] as u32,
        padding: op.augmentation.crop_padding as u32,
        flip: u32::from(op.augmentation.flip),
        key: op.generator.key(),
    };
    let mut arguments: Vec<Argument> = (0..4).map(|index| launcher.input(index)).collect();
    arguments.extend([affine, launcher.output(0), launcher.output(1)]);
    arguments.push(Argument::Structure(bytemuck::bytes_of(&augmented).into()));
    let stretches = (shape[1] * shape[2] * shape[3]).div_ceil(ELEMENTS);
    launcher.launch(format!("batch_{dtype}"), [shape[0], stretches, 1], THREADS, arguments);
}
