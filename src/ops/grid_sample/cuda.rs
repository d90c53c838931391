//! The GPU's code: `kernels/grid_sample.cu`.

use bytemuck::{Pod, Zeroable};

use crate::ops::packs::{THREADS, launch, structure};
use crate::tape::{Argument, Launcher};
use crate::tensor::Shape;

/// The structure of the same name in `kernels/grid_sample.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Sampling {
    height: u32,
    width: u32,
    channels: u32,
    images: u32,
    pixels: u32,
    points: u32,
}

/// Of a map and a grid.
fn sampling(map: Shape, grid: Shape) -> Argument {
    let small = |extent: usize| u32::try_from(extent).expect("tensors have less than 2^32 elements");
    structure(Sampling {
        height: small(map[1]),
        width: small(map[2]),
        channels: small(map[3]),
        images: small(map[0]),
        pixels: small(grid[1] * grid[2]),
        points: small(grid.count() / 2),
    })
}

/// Launches `kernel` with a warp for each of `rows`.
fn launch_warps(launcher: &mut Launcher<'_>, kernel: String, rows: usize, arguments: Vec<Argument>) {
    let warps = THREADS / 32;
    launcher.launch(kernel, [rows.div_ceil(warps), 1, 1], THREADS as u32, arguments);
}

pub(super) fn forward(launcher: &mut Launcher<'_>) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let of = sampling(launcher.input_shape(0), launcher.input_shape(1));
    let arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0), count.into(), of];
    launch(launcher, format!("grid_sample_{dtype}"), count, arguments);
}

pub(super) fn map_gradient(launcher: &mut Launcher<'_>) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let (rows, of) = (shape.rows(), sampling(shape, launcher.input_shape(0)));
    let arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0), rows.into(), of];
    launch_warps(launcher, format!("grid_sample_map_{dtype}"), rows, arguments);
}

pub(super) fn points_gradient(launcher: &mut Launcher<'_>) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let of = sampling(launcher.input_shape(0), shape);
    let mut arguments: Vec<Argument> = (0..3).map(|index| launcher.input(index)).collect();
    arguments.extend([launcher.output(0), of]);
    launch_warps(launcher, format!("grid_sample_points_{dtype}"), shape.rows(), arguments);
}
