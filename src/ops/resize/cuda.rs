//! The GPU's code: `kernels/resize.cu`.

use bytemuck::{Pod, Zeroable};

use super::{Mode, Resize};
use crate::ops::packs::{launch as launch_threads, structure};
use crate::tape::Launcher;

/// `Resize` of `kernels/resize.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct KernelResize {
    count: u32,
    packs: u32,
    lanes: u32,
    input: [u32; 2],
    output: [u32; 2],
    channels: u32,
}

pub(super) fn launch(launcher: &mut Launcher<'_>, resize: &Resize, gradient: bool) {
    let small = |extent: usize| u32::try_from(extent).expect("tensors have less than 2^32 elements");
    let (written, channels) = (launcher.output_shape(0).count(), resize.input[3]);
    let lanes = if channels.is_multiple_of(4) { 4 } else { 1 };
    let shape = KernelResize {
        count: small(written / lanes),
        packs: small(channels / lanes),
        lanes: small(lanes),
        input: [small(resize.input[1]), small(resize.input[2])],
        output: [small(resize.output[1]), small(resize.output[2])],
        channels: small(channels),
    };
    let mode = match resize.mode {
        Mode::Nearest => "nearest",
        Mode::Bilinear => "bilinear",
    };
    let kernel = format!("resize_{mode}{}_f32", if gradient { "_gradient" } else { "" });
    let arguments = vec![launcher.input(0), launcher.output(0), structure(shape)];
    launch_threads(launcher, kernel, written / lanes, arguments);
}
