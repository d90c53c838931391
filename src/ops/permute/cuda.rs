//! The GPU's code: `kernels/permute.cu`.

use bytemuck::{Pod, Zeroable};

use super::Walk;
use crate::ops::packs::{THREADS, launch as launch_threads, structure};
use crate::tape::Launcher;

/// `Walk` of `kernels/permute.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct KernelWalk {
    count: u32,
    extents: [u32; 4],
    from: [u32; 4],
    to: [u32; 4],
    tiles: u32,
    apart: u32,
    whole: [u32; 2],
    line: u32,
    step: u32,
    lanes: u32,
}

/// Elements of a tile along each of its axes.
const SIDE: usize = 32;

pub(super) fn launch(launcher: &mut Launcher<'_>, walk: &Walk) {
    let small = |extent: usize| u32::try_from(extent).expect("tensors have less than 2^32 elements");
    let (x, y, inner) = (launcher.input(0), launcher.output(0), walk.inner());
    let (mut extents, mut from) = (walk.extents, walk.strides);
    let mut to = [0, 1, 2, 3].map(|axis| walk.step(axis));
    let (step, line) = (to[inner], from[3]);
    let lanes = if inner == 3 && from[..3].iter().chain([&extents[3]]).all(|stride| stride % 4 == 0) { 4 } else { 1 };
    // Items are packs of the last axis, or tiles of it and `inner`.
    let items = if inner == 3 { vec![(3, lanes)] } else { vec![(3, SIDE), (inner, SIDE)] };
    for (axis, length) in items {
        extents[axis] = extents[axis].div_ceil(length);
        from[axis] *= length;
        to[axis] *= length;
    }
    let count: usize = extents.iter().product();
    let walk = KernelWalk {
        count: small(count),
        extents: extents.map(small),
        from: from.map(small),
        to: to.map(small),
        tiles: small(extents[inner]),
        apart: small(extents[(inner + 1).min(3)..3].iter().product()),
        whole: [small(walk.extents[inner]), small(walk.extents[3])],
        line: small(line),
        step: small(step),
        lanes: small(lanes),
    };
    if inner == 3 {
        launch_threads(launcher, "permute_rows_f32".to_string(), count, vec![x, y, structure(walk)]);
    } else {
        launcher.launch("permute_f32", [count, 1, 1], THREADS as u32, vec![x, y, structure(walk)]);
    }
}
