//! What the pooling kernels (`kernels/pool.cu`) are told.

use bytemuck::{Pod, Zeroable};

use super::packs::lanes;
use super::windows::Windows;
use crate::tensor::{DType, Shape};

/// The structure of the same name in `kernels/pool.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(in crate::ops) struct Pooling {
    pub count: u32,
    pub packs: u32,
    pub lanes: u32,
    channels: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    kernel: u32,
    stride: u32,
    padding: u32,
    counts_padding: u32,
}

impl Pooling {
    /// Pooling of `input` to `output` (`[N, H, W, C]`), with one thread for each pack of `written`, one of the two.
    pub fn new(dtype: DType, windows: Windows, counts_padding: bool, shapes: [Shape; 2], written: Shape) -> Self {
        let [input, output] = shapes;
        let channels = input[3];
        let lanes = if channels.is_multiple_of(lanes(dtype)) { lanes(dtype) } else { 1 };
        let [kernel, stride, padding] = match windows {
            Windows::Sliding { kernel, stride, padding } => [kernel, stride, padding],
            Windows::Even => [0; 3],
        };
        let small = |extent: usize| u32::try_from(extent).expect("tensors have less than 2^32 elements");
        Self {
            count: small(written.count() / lanes),
            packs: small(channels / lanes),
            lanes: small(lanes),
            channels: small(channels),
            height: small(input[1]),
            width: small(input[2]),
            out_height: small(output[1]),
            out_width: small(output[2]),
            kernel: small(kernel),
            stride: small(stride),
            padding: small(padding),
            counts_padding: u32::from(counts_padding),
        }
    }
}
