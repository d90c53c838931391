//! The GPU's code: `kernels/strong_view.cu`.

use super::StrongView;
use crate::ops::packs::structure;
use crate::tape::Launcher;

/// Threads of a block.
const THREADS: u32 = 256;

/// `StrongView` in `kernels/strong_view.cu`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Settings {
    height: u32,
    width: u32,
    channels: u32,
    padding: u32,
    flip: u32,
    operations: u32,
    key: [u32; 2],
}

pub(super) fn launch(launcher: &mut Launcher<'_>, op: &StrongView) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let affine = launcher.constant(bytemuck::cast_slice(&op.normalisation.affine()));
    let rotations = launcher.constant(bytemuck::cast_slice(&op.rotations));
    let settings = Settings {
        height: shape[1] as u32,
        width: shape[2] as u32,
        channels: shape[3] as u32,
        padding: op.augmentation.crop_padding as u32,
        flip: u32::from(op.augmentation.flip),
        operations: op.operations as u32,
        key: op.generator.key(),
    };
    let mut arguments: Vec<_> = (0..3).map(|index| launcher.input(index)).collect();
    arguments.extend([affine, rotations, launcher.workspace(0, 2 * shape.count()), launcher.output(0)]);
    arguments.push(structure(settings));
    launcher.launch(format!("strong_view_{dtype}"), [shape[0], 1, 1], THREADS, arguments);
}
