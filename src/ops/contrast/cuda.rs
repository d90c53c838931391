//! The GPU's code: `kernels/contrast.cu`.

use bytemuck::{Pod, Zeroable};

use super::{BankProductsGradient, CHUNK, ContrastIndices, Positive};
use crate::ops::packs::{launch, structure};
use crate::tape::{Launcher, Signature};

/// The structure of the same name in `kernels/contrast.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Draw {
    key: [u32; 2],
    draw: u32,
    relaxed: u32,
    batch: u32,
    width: u32,
    images: u32,
}

/// Warps of a block of products, one product each.
const WARPS: usize = 8;

/// Threads of a block of the gradient, one for each component.
const THREADS: usize = 128;

pub(super) fn indices(launcher: &mut Launcher<'_>, op: &ContrastIndices) {
    let (shape, images) = (launcher.output_shape(0), launcher.input_shape(2).count());
    let draw = Draw {
        key: op.generator.key(),
        draw: op.draw,
        relaxed: u32::from(op.positive == Positive::Relaxed),
        batch: shape[0] as u32,
        width: shape[1] as u32,
        images: images as u32,
    };
    let mut arguments: Vec<_> = (0..5).map(|input| launcher.input(input)).collect();
    arguments.extend([launcher.output(0), structure(draw)]);
    launch(launcher, "contrast_indices_u32".to_string(), shape.count(), arguments);
}

pub(super) fn products(launcher: &mut Launcher<'_>) {
    let (shape, depth) = (launcher.output_shape(0), launcher.input_shape(0)[1]);
    let mut arguments: Vec<_> = (0..3).map(|input| launcher.input(input)).collect();
    arguments.extend([launcher.output(0), shape.count().into(), shape[1].into(), depth.into()]);
    let kernel = format!("bank_products_{}", launcher.output_dtype(0));
    launcher.launch(kernel, [shape.count().div_ceil(WARPS), 1, 1], 32 * WARPS as u32, arguments);
}

pub(super) fn gradient(launcher: &mut Launcher<'_>) {
    let (shape, width) = (launcher.output_shape(0), launcher.input_shape(2)[1]);
    let (dtype, depth) = (launcher.output_dtype(0), shape[1]);
    let signature = Signature {
        inputs: (0..3).map(|input| (launcher.input_dtype(input), launcher.input_shape(input))).collect(),
        outputs: vec![(dtype, shape)],
        variant: 0,
    };
    let (tasks, bytes) = BankProductsGradient::tasks(&signature);
    let sums = launcher.workspace(0, bytes);
    let mut arguments: Vec<_> = (0..3).map(|input| launcher.input(input)).collect();
    arguments.extend([sums.clone(), width.into(), depth.into(), CHUNK.into()]);
    let kernel = format!("bank_products_gradient_{dtype}");
    launcher.launch(kernel, [tasks, shape[0], depth.div_ceil(THREADS)], THREADS as u32, arguments);
    let arguments = vec![sums, launcher.output(0), shape.count().into(), tasks.into()];
    launch(launcher, format!("bank_products_total_{dtype}"), shape.count(), arguments);
}
