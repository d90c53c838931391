//! The forward convolution.

use rayon::prelude::*;

use super::algorithm::Algorithm;
use super::depthwise::Depthwise;
use super::geometry::Conv2dGeometry;
use super::product::Start;
use crate::simd::{Element, Level};

/// A planned forward convolution: `y[n,oh,ow,k] = bias[k] + Σ x[n, oh·s+kh·d-p, ow·s+kw·d-p, c] · w[kh,kw,c,k]`.
#[derive(Debug)]
pub struct FpropPlan {
    geometry: Conv2dGeometry,
    algorithm: Algorithm,
}

impl FpropPlan {
    /// Plans for `geometry` on the instruction set in use.
    pub fn new<T: Element>(geometry: &Conv2dGeometry) -> Self {
        Self::on_level::<T>(geometry, Level::current())
    }

    /// Plans for `geometry` on `level`.
    pub fn on_level<T: Element>(geometry: &Conv2dGeometry, level: Level) -> Self {
        let geometry = geometry.flattened();
        Self { algorithm: Algorithm::forward::<T>(&geometry, level), geometry }
    }

    /// Elements of workspace that [`Self::run`] needs.
    pub fn workspace_len(&self) -> usize {
        self.algorithm.workspace_len(&self.geometry)
    }

    /// `y` (all of it) from `x`, `weights` and `bias`.
    pub fn run<T: Element>(&self, x: &[T], weights: &[T], bias: Option<&[T]>, y: &mut [T], workspace: &mut [T]) {
        let geometry = &self.geometry;
        assert_eq!(x.len(), geometry.input_count());
        assert_eq!(weights.len(), geometry.weight_count());
        assert_eq!(y.len(), geometry.output_count());
        let start = bias.map_or(Start::Zero, Start::PerChannel);
        let product = match &self.algorithm {
            Algorithm::Direct(product) => product,
            Algorithm::Winograd(plan) => return plan.run(x, weights, start, y, workspace),
        };
        let images = product.images_per_chunk;
        let chunks = y
            .par_chunks_mut(images * geometry.output_count() / geometry.batch)
            .zip(x.par_chunks(images * geometry.input_count() / geometry.batch));
        if geometry.is_depthwise() {
            let correlation = &product.correlation;
            chunks.for_each(|(result, source)| {
                Depthwise { correlation, source, weights, turned: false, start, result }.run(product.level);
            });
            return;
        }
        let packed = &mut workspace[..product.packed_len()];
        product.pack(packed, |block, packed| {
            let first = block.group * geometry.outputs_per_group() + block.first;
            for (row, out) in packed.chunks_mut(block.width).enumerate() {
                let from = row * geometry.out_channels + first;
                out[..block.real].copy_from_slice(&weights[from..from + block.real]);
            }
        });
        let packed = &*packed;
        chunks.for_each(|(y, x)| product.run_chunk(x, packed, start, y));
    }
}
