//! The forward convolution.

use rayon::prelude::*;

use super::depthwise::Depthwise;
use super::geometry::Conv2dGeometry;
use super::product::{ProductPlan, Start};
use super::taps::Correlation;
use crate::ops::batch_norm::cpu::chunk_statistics;
use crate::ops::parallel::Chunks;
use crate::simd::{Element, Level};

/// Elements of one chunk of statistics, roughly: two passes over it, the second from the first-level cache.
const STATISTICS_ELEMENTS: usize = 4096;

/// A planned forward convolution: `y[n,oh,ow,k] = bias[k] + Σ x[n, oh·s+kh·d-p, ow·s+kw·d-p, c] · w[kh,kw,c,k]`.
#[derive(Debug)]
pub struct FpropPlan {
    geometry: Conv2dGeometry,
    product: ProductPlan,
}

impl FpropPlan {
    /// Plans for `geometry` on the instruction set in use.
    pub fn new<T: Element>(geometry: &Conv2dGeometry) -> Self {
        Self::on_level::<T>(geometry, Level::current())
    }

    /// Plans for `geometry` on `level`.
    pub fn on_level<T: Element>(geometry: &Conv2dGeometry, level: Level) -> Self {
        let geometry = geometry.flattened();
        Self { product: ProductPlan::new::<T>(&geometry, Correlation::forward, level), geometry }
    }

    /// Elements of workspace that [`Self::run`] needs.
    pub fn workspace_len(&self) -> usize {
        if self.geometry.is_depthwise() { 0 } else { self.product.packed_len() }
    }

    /// How the rows of `y` (`[N * OH * OW, K]`) are cut for [`Self::run_with_statistics`].
    pub fn statistics_chunks(&self) -> Chunks {
        let geometry = &self.geometry;
        let rows = geometry.output_count() / geometry.out_channels;
        let all = rows / geometry.batch * self.product.images_per_chunk;
        // The largest equal pieces that are still in the first-level cache for their second pass.
        let wanted = (STATISTICS_ELEMENTS / geometry.out_channels).max(32);
        let pieces = (all.div_ceil(wanted)..=all).find(|pieces| all.is_multiple_of(*pieces)).unwrap_or(all);
        Chunks { rows, chunk_rows: all / pieces }
    }

    /// As [`Self::run`], and for every chunk of [`Self::statistics_chunks`] and every channel the mean of `y` and the
    /// sum of squared deviations from it (`statistics`, `[chunks][2][K]`), taken while `y` is in the cache: what a
    /// BatchNorm that follows starts from.
    pub fn run_with_statistics<T: Element>(
        &self,
        x: &[T],
        weights: &[T],
        bias: Option<&[T]>,
        y: &mut [T],
        statistics: &mut [T],
        workspace: &mut [T],
    ) {
        assert_eq!(statistics.len(), self.statistics_chunks().count() * 2 * self.geometry.out_channels);
        self.run_all(x, weights, bias, y, Some(statistics), workspace);
    }

    /// `y` (all of it) from `x`, `weights` and `bias`.
    pub fn run<T: Element>(&self, x: &[T], weights: &[T], bias: Option<&[T]>, y: &mut [T], workspace: &mut [T]) {
        self.run_all(x, weights, bias, y, None, workspace);
    }

    fn run_all<T: Element>(
        &self,
        x: &[T],
        weights: &[T],
        bias: Option<&[T]>,
        y: &mut [T],
        statistics: Option<&mut [T]>,
        workspace: &mut [T],
    ) {
        let geometry = &self.geometry;
        assert_eq!(x.len(), geometry.input_count());
        assert_eq!(weights.len(), geometry.weight_count());
        assert_eq!(y.len(), geometry.output_count());
        let images = self.product.images_per_chunk;
        let packed = &mut workspace[..self.workspace_len()];
        if !geometry.is_depthwise() {
            let columns = geometry.outputs_per_group();
            self.product.pack(packed, |group, row, first, out| {
                let from = row * geometry.out_channels + group * columns + first;
                out.copy_from_slice(&weights[from..from + out.len()]);
            });
        }
        let packed = &*packed;
        let work = |x: &[T], y: &mut [T]| {
            let start = bias.map_or(Start::Zero, Start::PerChannel);
            let correlation = &self.product.correlation;
            if geometry.is_depthwise() {
                Depthwise { correlation, source: x, weights, turned: false, start, result: y }.run(self.product.level);
            } else {
                self.product.run_chunk(x, packed, start, y);
            }
        };
        let chunks = y
            .par_chunks_mut(images * geometry.output_count() / geometry.batch)
            .zip(x.par_chunks(images * geometry.input_count() / geometry.batch));
        let Some(statistics) = statistics else {
            chunks.for_each(|(y, x)| work(x, y));
            return;
        };
        let (channels, chunk_rows) = (geometry.out_channels, self.statistics_chunks().chunk_rows);
        let pieces = geometry.output_count() / geometry.batch / channels * images / chunk_rows;
        chunks.zip(statistics.par_chunks_mut(pieces * 2 * channels)).for_each(|((y, x), statistics)| {
            work(x, y);
            for (y, statistics) in y.chunks(chunk_rows * channels).zip(statistics.chunks_mut(2 * channels)) {
                let rows = y.len() / channels;
                let whole = Chunks { rows, chunk_rows: rows };
                // SAFETY: one chunk of `rows` rows, and its own two rows of statistics.
                unsafe {
                    chunk_statistics(self.product.level, whole, channels, y.as_ptr(), statistics.as_mut_ptr());
                }
            }
        });
    }
}
