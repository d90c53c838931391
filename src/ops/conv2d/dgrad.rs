//! The gradient of a convolution with respect to its input.

use rayon::prelude::*;

use super::algorithm::Algorithm;
use super::depthwise::Depthwise;
use super::geometry::Conv2dGeometry;
use super::product::Start;
use crate::simd::{Element, Level};

/// A planned input gradient: the adjoint of the forward convolution in `x`.
#[derive(Debug)]
pub struct DgradPlan {
    geometry: Conv2dGeometry,
    algorithm: Algorithm,
}

impl DgradPlan {
    /// Plans for `geometry` on the instruction set in use.
    pub fn new<T: Element>(geometry: &Conv2dGeometry) -> Self {
        Self::on_level::<T>(geometry, Level::current())
    }

    /// Plans for `geometry` on `level`.
    pub fn on_level<T: Element>(geometry: &Conv2dGeometry, level: Level) -> Self {
        let geometry = geometry.flattened();
        Self { algorithm: Algorithm::backward::<T>(&geometry, level), geometry }
    }

    /// Elements of workspace that [`Self::run`] needs.
    pub fn workspace_len(&self) -> usize {
        self.algorithm.workspace_len(&self.geometry)
    }

    /// `dx` (all of it): the gradient that `dy` and `weights` give, plus `addend` where there is one.
    pub fn run<T: Element>(&self, dy: &[T], weights: &[T], addend: Option<&[T]>, dx: &mut [T], workspace: &mut [T]) {
        let geometry = &self.geometry;
        assert_eq!(dy.len(), geometry.output_count());
        assert_eq!(weights.len(), geometry.weight_count());
        assert_eq!(dx.len(), geometry.input_count());
        assert!(addend.is_none_or(|addend| addend.len() == dx.len()));
        let product = match &self.algorithm {
            Algorithm::Direct(product) => product,
            Algorithm::Winograd(plan) => {
                return plan.run(dy, weights, addend.map_or(Start::Zero, Start::Tensor), dx, workspace);
            }
        };
        let images = product.images_per_chunk;
        let input = images * geometry.input_count() / geometry.batch;
        let start = |chunk: usize, len: usize| match addend {
            Some(addend) => Start::Tensor(&addend[chunk * input..][..len]),
            None => Start::Zero,
        };
        let chunks =
            dx.par_chunks_mut(input).zip(dy.par_chunks(images * geometry.output_count() / geometry.batch)).enumerate();
        if geometry.is_depthwise() {
            let correlation = &product.correlation;
            chunks.for_each(|(chunk, (result, source))| {
                let start = start(chunk, result.len());
                Depthwise { correlation, source, weights, turned: true, start, result }.run(product.level);
            });
            return;
        }
        let packed = &mut workspace[..product.packed_len()];
        let (outputs, channels) = (geometry.outputs_per_group(), geometry.channels_per_group());
        let taps = geometry.kernel[0] * geometry.kernel[1];
        product.pack(packed, |block, packed| {
            // The kernel turned around and transposed: row (turned tap, k), column c. A few rows at a time, so that
            // the lines they are written to stay in the cache.
            const ROWS: usize = 16;
            for (turned, packed) in packed.chunks_mut(outputs * block.width).enumerate() {
                let from = (taps - 1 - turned) * channels + block.first;
                for (piece, packed) in packed.chunks_mut(ROWS * block.width).enumerate() {
                    let first = block.group * outputs + piece * ROWS;
                    let rows = packed.len() / block.width;
                    for c in 0..block.real {
                        let values = &weights[(from + c) * geometry.out_channels + first..][..rows];
                        for (row, value) in values.iter().enumerate() {
                            packed[row * block.width + c] = *value;
                        }
                    }
                }
            }
        });
        let packed = &*packed;
        chunks.for_each(|(chunk, (dx, dy))| product.run_chunk(dy, packed, start(chunk, dx.len()), dx));
    }
}
