//! The GPU's code: `kernels/areas.cu`.

use bytemuck::{Pod, Zeroable};

use super::Overlap;
use crate::ops::packs::{launch, structure};
use crate::tape::Launcher;

/// Threads of a block that has an image to itself: `IMAGE_THREADS` in `kernels/areas.cu`.
const IMAGE_THREADS: u32 = 512;

/// The structure of the same name in `kernels/areas.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Map {
    height: u32,
    width: u32,
    classes: u32,
}

pub(super) fn peak_areas(launcher: &mut Launcher<'_>) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.input_shape(0));
    let (cells, areas) = (shape.count(), launcher.output_shape(0)[1]);
    let [height, width, classes] = [shape[1] as u32, shape[2] as u32, shape[3] as u32];
    let map = structure(Map { height, width, classes });
    let heights = launcher.workspace(0, 4 * cells);
    let arguments = vec![launcher.input(0), heights.clone(), cells.into(), map.clone()];
    launch(launcher, format!("peak_heights_{dtype}"), cells, arguments);
    let arguments = vec![heights, launcher.input(1), launcher.input(2), launcher.output(0), areas.into(), map];
    launcher.launch(format!("peak_areas_{dtype}"), [shape[0], 1, 1], IMAGE_THREADS, arguments);
}

pub(super) fn box_mask(launcher: &mut Launcher<'_>, overlap: Overlap) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let (count, areas) = (shape.count(), launcher.input_shape(0)[1]);
    let most = match overlap {
        Overlap::Count => f32::INFINITY,
        Overlap::Union => 1.0,
    };
    let mut arguments = vec![launcher.input(0), launcher.output(0), count.into(), areas.into()];
    arguments.extend([shape[1].into(), shape[2].into(), most.into()]);
    launch(launcher, format!("box_mask_{dtype}"), count, arguments);
}
