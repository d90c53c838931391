//! The GPU's code: `kernels/channels.cu`.

use bytemuck::{Pod, Zeroable};

use super::cpu::Geometry;
use crate::ops::packs::{common_lanes, launch, structure};
use crate::tape::Launcher;

/// The structure of the same name in `kernels/channels.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Shortcut {
    count: u32,
    packs: u32,
    lanes: u32,
    height: u32,
    width: u32,
    channels: u32,
    out_height: u32,
    out_width: u32,
    out_channels: u32,
    stride: u32,
    pad: u32,
}

/// The shortcut, or its gradient: one reads `[N, H, W, C]` and writes `[N, OH, OW, C + 2 pad]`, the other the reverse.
fn launch_on(launcher: &mut Launcher<'_>, kernel: &str, geometry: Geometry) {
    let Geometry { stride, pad, input, output } = geometry;
    let (dtype, written) = (launcher.output_dtype(0), launcher.output_shape(0));
    let lanes = common_lanes(dtype, &[input[3], pad]);
    let threads = written.count() / lanes;
    let small = |extent: usize| u32::try_from(extent).expect("tensors have less than 2^32 elements");
    let shortcut = Shortcut {
        count: small(threads),
        packs: small(written.channels() / lanes),
        lanes: small(lanes),
        height: small(input[1]),
        width: small(input[2]),
        channels: small(input[3]),
        out_height: small(output[1]),
        out_width: small(output[2]),
        out_channels: small(output[3]),
        stride: small(stride),
        pad: small(pad),
    };
    let arguments = vec![launcher.input(0), launcher.output(0), structure(shortcut)];
    launch(launcher, format!("{kernel}_{dtype}"), threads, arguments);
}

pub(super) fn shortcut(launcher: &mut Launcher<'_>, geometry: Geometry) {
    launch_on(launcher, "option_a_shortcut", geometry);
}

pub(super) fn gradient(launcher: &mut Launcher<'_>, geometry: Geometry) {
    launch_on(launcher, "option_a_shortcut_gradient", geometry);
}
