//! Blocks of columns copied on a GPU (`copy_columns` in `kernels/channels.cu`): what concatenation and splitting are.

use bytemuck::{Pod, Zeroable};

use super::packs::{NULL, common_lanes, launch, structure};
use crate::tape::{Argument, Launcher};
use crate::tensor::DType;

/// A block of columns: the matrix, how many columns that has, and the first of the block.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Block {
    pub matrix: Argument,
    pub stride: usize,
    pub start: usize,
}

/// The structure of the same name in `kernels/channels.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Columns {
    count: u32,
    packs: u32,
    lanes: u32,
    from_stride: u32,
    from_start: u32,
    to_stride: u32,
    to_start: u32,
}

/// Copies `width` columns of `rows` rows, zeros if there is no `from`, plus the same columns of `addend`, a matrix like
/// that of `to`, or the same.
pub(in crate::ops) fn copy_columns(
    launcher: &mut Launcher<'_>,
    dtype: DType,
    [rows, width]: [usize; 2],
    from: Option<Block>,
    addend: Option<Argument>,
    to: Block,
) {
    let from = from.unwrap_or(Block { matrix: NULL, stride: 0, start: 0 });
    let extents = [width, from.stride, from.start, to.stride, to.start];
    let lanes = common_lanes(dtype, &extents);
    let threads = rows * width / lanes;
    let small = |extent: usize| u32::try_from(extent).expect("tensors have less than 2^32 elements");
    let columns = Columns {
        count: small(threads),
        packs: small(width / lanes),
        lanes: small(lanes),
        from_stride: small(from.stride),
        from_start: small(from.start),
        to_stride: small(to.stride),
        to_start: small(to.start),
    };
    let arguments = vec![from.matrix, addend.unwrap_or(NULL), to.matrix, structure(columns)];
    launch(launcher, format!("copy_columns_{dtype}"), threads, arguments);
}
