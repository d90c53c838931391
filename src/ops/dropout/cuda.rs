//! The GPU's code: `kernels/dropout.cu`.

use super::Dropout;
use crate::ops::packs::{lanes, launch, structure};
use crate::tape::Launcher;

/// `Dropped` in `kernels/dropout.cu`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Dropped {
    key: [u32; 2],
    draw: u32,
    threshold: u32,
    factor: f32,
    count: u32,
}

pub(super) fn launch_dropout(launcher: &mut Launcher<'_>, op: &Dropout) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let dropped = Dropped {
        key: op.generator.key(),
        draw: op.draw,
        threshold: op.threshold,
        factor: op.factor as f32,
        count: count as u32,
    };
    let arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0), structure(dropped)];
    launch(launcher, format!("dropout_{dtype}"), count.div_ceil(lanes(dtype)), arguments);
}
