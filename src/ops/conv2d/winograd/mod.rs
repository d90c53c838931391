//! Winograd's minimal filtering F(2x2, 3x3) for dense 3x3 convolutions of stride 1 (Lavin and Gray, "Fast algorithms
//! for convolutional neural networks", CVPR 2016).
//!
//! A 2x2 tile of the result costs 16 products a channel pair where direct sums need 36:
//! `y = Aᵀ [Σ_c (G g Gᵀ) ⊙ (Bᵀ d B)] A` with 4x4 tiles `d` of the source, which overlap by two pixels, and 3x3
//! kernels `g`. The sum over channels of each of the 16 positions of a transformed tile is a matrix product of its
//! own: `[tiles, C] x [C, K]`.
//!
//! Activations lie channels last, so that transforms are sums of vectors of channels. Tiles go through all steps
//! panel by panel, with intermediate values that stay in the caches. The input gradient is the same filter over `dy`
//! with the kernel turned around and its channels exchanged.

mod filters;
mod kernel;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use super::cut::Machine;
use super::geometry::Conv2dGeometry;
use super::product::Start;
use crate::simd::{Element, Level, dispatch_on};

/// Positions of a transformed tile.
const POSITIONS: usize = 16;
/// Tiles of a panel: rows of the micro-kernel.
const PANEL: usize = 12;
/// Vectors of result channels that are worked on together.
const BLOCK_VECTORS: usize = 2;
/// Chunks that a batch is cut into, at least, usually and at most: enough to balance any usual number of threads. Each
/// has scratch of its own.
const CHUNKS: [usize; 3] = [8, 16, 24];
/// What starting and ending a panel costs, in tiles.
const PANEL_OVERHEAD: usize = 4;
/// What transforming a tile costs for a vector of channels of the source or the result, in multiply-adds of vectors.
const TRANSFORM: usize = 60;
/// Elements that scratch is aligned to: a line of the cache.
const ALIGNMENT: usize = 16;

/// A tensor of images as a pass sees it.
#[derive(Clone, Copy, Debug)]
struct Images {
    height: usize,
    width: usize,
    channels: usize,
}

impl Images {
    /// Elements of one image.
    fn len(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// A planned pass: forward, or the gradient of the input.
#[derive(Debug)]
pub(super) struct WinogradPlan {
    level: Level,
    /// Lanes of a vector.
    lanes: usize,
    /// Whether kernels are turned around and their channels exchanged: the gradient of the input.
    turned: bool,
    source: Images,
    result: Images,
    /// Zero rows and columns above and left of the source.
    padding: [usize; 2],
    batch: usize,
    images_per_chunk: usize,
}

impl WinogradPlan {
    /// The forward pass of `geometry`, where this algorithm exists for it.
    pub fn forward<T: Element>(geometry: &Conv2dGeometry, level: Level) -> Option<Self> {
        Self::new::<T>(geometry, level, false)
    }

    /// The input gradient of `geometry`, where this algorithm exists for it.
    pub fn backward<T: Element>(geometry: &Conv2dGeometry, level: Level) -> Option<Self> {
        Self::new::<T>(geometry, level, true)
    }

    fn new<T: Element>(geometry: &Conv2dGeometry, level: Level, turned: bool) -> Option<Self> {
        let dense = geometry.kernel == [3, 3]
            && geometry.stride == [1, 1]
            && geometry.dilation == [1, 1]
            && geometry.groups == 1
            && geometry.padding.iter().all(|padding| *padding <= 2);
        if !dense {
            return None;
        }
        let lanes = Machine::of::<T>(level).lanes;
        let [rows, columns] = geometry.output();
        let x = Images { height: geometry.height, width: geometry.width, channels: geometry.in_channels };
        let y = Images { height: rows, width: columns, channels: geometry.out_channels };
        let (source, result) = if turned { (y, x) } else { (x, y) };
        let padding = geometry.padding.map(|padding| if turned { 2 - padding } else { padding });
        let batch = geometry.batch;
        let mut plan = Self { level, lanes, turned, source, result, padding, batch, images_per_chunk: 1 };
        plan.images_per_chunk = plan.best_images_per_chunk();
        Some(plan)
    }

    /// Whether this is faster than direct sums, by a count of vector operations. Direct sums skip what lies outside of
    /// the image, and have no transforms.
    pub fn pays(&self) -> bool {
        let vectors = |channels: usize| channels.div_ceil(self.lanes);
        let products = self.source.channels * vectors(self.result.channels);
        let axis = |result: usize, source: usize, padding: usize| -> usize {
            let inside =
                |tap: usize| (0..result).filter(|at| (padding..padding + source).contains(&(at + tap))).count();
            (0..3).map(inside).sum()
        };
        let taps = axis(self.result.height, self.source.height, self.padding[0])
            * axis(self.result.width, self.source.width, self.padding[1]);
        let transforms = TRANSFORM * (vectors(self.source.channels) + vectors(self.result.channels));
        10 * self.tiles_per_image() * (POSITIONS * products + transforms) < 9 * taps * products
    }

    /// Images of a chunk: the usual number, unless another leaves much fewer panels half empty.
    fn best_images_per_chunk(&self) -> usize {
        let cost = |images: usize| {
            let chunk = |images: usize| {
                let tiles = images * self.tiles_per_image();
                tiles.next_multiple_of(4) + tiles.div_ceil(PANEL) * PANEL_OVERHEAD
            };
            self.batch / images * chunk(images) + chunk(self.batch % images)
        };
        let [most, usual, least] = CHUNKS.map(|chunks| self.batch.div_ceil(chunks));
        let best = (least..=most).min_by_key(|images| cost(*images)).unwrap_or(usual);
        if 10 * cost(best) < 9 * cost(usual) { best } else { usual }
    }

    /// Rows and columns of tiles over one image of the result; the last ones may hang over.
    fn tiles(&self) -> [usize; 2] {
        [self.result.height.div_ceil(2), self.result.width.div_ceil(2)]
    }

    fn tiles_per_image(&self) -> usize {
        let [rows, columns] = self.tiles();
        rows * columns
    }

    /// From one position of a panel of transformed input `[position][vector of channels][tile][lane]` to the next: an
    /// odd number of vectors, so that a tile's positions do not fall on the same few sets of the cache.
    fn position_len(&self) -> usize {
        (self.source.channels.div_ceil(self.lanes) | 1) * PANEL * self.lanes
    }

    /// Elements of one panel of transformed input.
    fn panel_len(&self) -> usize {
        POSITIONS * self.position_len()
    }

    /// Elements of one panel of products of one block `[position][tile][column]`.
    fn products_len(&self) -> usize {
        POSITIONS * PANEL * BLOCK_VECTORS * self.lanes
    }

    /// Elements of zeros that stand for pixels outside of an image.
    fn zeros_len(&self) -> usize {
        self.source.channels.next_multiple_of(ALIGNMENT)
    }

    /// Elements of scratch of one chunk.
    fn scratch_len(&self) -> usize {
        (self.panel_len() + self.products_len() + self.zeros_len()).next_multiple_of(ALIGNMENT)
    }

    /// Columns of transformed kernels: result channels in whole vectors.
    fn padded_columns(&self) -> usize {
        self.result.channels.next_multiple_of(self.lanes)
    }

    /// Elements of the transformed kernels `[block][position][source channel][column]`.
    fn filters_len(&self) -> usize {
        (POSITIONS * self.source.channels * self.padded_columns()).next_multiple_of(ALIGNMENT)
    }

    /// Elements of workspace that [`Self::run`] needs.
    pub fn workspace_len(&self) -> usize {
        ALIGNMENT + self.filters_len() + self.batch.div_ceil(self.images_per_chunk) * self.scratch_len()
    }

    /// `result` (all of it) from `source`, `weights` `[3, 3, C, K]` and what it starts from.
    pub fn run<T: Element>(
        &self,
        source: &[T],
        weights: &[T],
        start: Start<'_, T>,
        result: &mut [T],
        workspace: &mut [T],
    ) {
        assert_eq!(source.len(), self.batch * self.source.len());
        assert_eq!(result.len(), self.batch * self.result.len());
        assert_eq!(weights.len(), 9 * self.source.channels * self.result.channels);
        match start {
            Start::PerChannel(values) => assert_eq!(values.len(), self.result.channels),
            Start::Tensor(values) => assert_eq!(values.len(), result.len()),
            Start::Zero => {}
        }
        let aligned = workspace.as_ptr().align_offset(ALIGNMENT * size_of::<T>()).min(ALIGNMENT);
        let (filters, scratch) = workspace[aligned..].split_at_mut(self.filters_len());
        filters::transform(self, weights, filters);
        let filters = &*filters;
        let images = self.images_per_chunk;
        result
            .par_chunks_mut(images * self.result.len())
            .zip(source.par_chunks(images * self.source.len()))
            .zip(scratch.par_chunks_mut(self.scratch_len()))
            .enumerate()
            .for_each(|(chunk, ((result, source), scratch))| {
                let start = match start {
                    Start::Tensor(values) => {
                        Start::Tensor(&values[chunk * images * self.result.len()..][..result.len()])
                    }
                    other => other,
                };
                dispatch_on(self.level, kernel::Chunk { plan: self, source, filters, start, result, scratch });
            });
    }
}

/// A bound on the error of one element where sources, weights and starts are at most 1 in magnitude and `unit` is the
/// unit roundoff.
///
/// Every elementary product `d g` reaches the result through at most 2 roundings in `Bᵀ d B`, 4 in `G g Gᵀ`, one in each of
/// `channels` multiply-adds (one more where they are not fused), 4 in `Aᵀ m A` and one where the start is added: n in
/// all, so that the error is at most γₙ = n u / (1 - n u) times the sum of all magnitudes that meet (Higham, "Accuracy
/// and stability", lemma 3.1). The rows of |Aᵀ| (|G| |g|) ⊙ (|Bᵀ| |d|) sum to 1·2 + 3/2·2 + 3/2·2 = 8 along an axis: to
/// 64 a channel in both.
#[cfg(test)]
pub(super) fn error_bound(channels: usize, unit: f64) -> f64 {
    let roundings = (channels + 1 + 2 + 4 + 4 + 1) as f64 * unit;
    roundings / (1.0 - roundings) * (64 * channels + 1) as f64
}
