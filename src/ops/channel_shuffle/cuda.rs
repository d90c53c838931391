//! The GPU's code: `kernels/channels.cu`.

use bytemuck::{Pod, Zeroable};

use crate::ops::packs::{common_lanes, launch, structure};
use crate::tape::Launcher;

/// The structure of the same name in `kernels/channels.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Shuffle {
    count: u32,
    packs: u32,
    lanes: u32,
    channels: u32,
    groups: u32,
}

pub(super) fn launch_shuffle(launcher: &mut Launcher<'_>, groups: usize) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let channels = shape.channels();
    let lanes = common_lanes(dtype, &[channels]);
    let threads = shape.count() / lanes;
    let small = |extent: usize| u32::try_from(extent).expect("tensors have less than 2^32 elements");
    let shuffle = Shuffle {
        count: small(threads),
        packs: small(channels / lanes),
        lanes: small(lanes),
        channels: small(channels),
        groups: small(groups),
    };
    let arguments = vec![launcher.input(0), launcher.output(0), structure(shuffle)];
    launch(launcher, format!("channel_shuffle_{dtype}"), threads, arguments);
}
