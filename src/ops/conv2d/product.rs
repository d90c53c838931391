//! The product that forward and input gradient both are: pixels of a source times a packed weight matrix.

use rayon::prelude::*;

use super::cut::Machine;
use super::geometry::Conv2dGeometry;
use super::taps::{Class, Correlation, Pixel};
use super::tile::accumulate;
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// Elements of both activations that one chunk has at most, unless one image has more.
const CHUNK_ELEMENTS: usize = 1 << 17;
/// What starting and ending a tile costs, in rows of weights.
const TILE_OVERHEAD: usize = 3;

/// What a result starts from.
#[derive(Clone, Copy)]
pub(super) enum Start<'a, T> {
    /// Zero.
    Zero,
    /// The same value for every pixel of a channel.
    PerChannel(&'a [T]),
    /// A tensor shaped as the result.
    Tensor(&'a [T]),
}

/// A block of columns of the weight matrix of one group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub group: usize,
    /// Its first column.
    pub first: usize,
    /// Columns as packed: whole vectors.
    pub width: usize,
    /// Columns that are real.
    pub real: usize,
}

/// A planned product: tables, how columns are blocked, how images are cut into chunks.
#[derive(Debug)]
pub(super) struct ProductPlan {
    pub correlation: Correlation,
    pub level: Level,
    /// Images of a chunk (the last may have fewer).
    pub images_per_chunk: usize,
    /// Columns of the weight matrix of one group.
    pub columns: usize,
    /// Elements of one packed block but the last of a group.
    pub block_columns: usize,
    /// Columns of a group with those that only pad it to whole vectors.
    pub padded_columns: usize,
}

impl ProductPlan {
    /// Plans `direction` of `geometry` on `level`.
    pub fn new<T: Element>(
        geometry: &Conv2dGeometry,
        direction: fn(&Conv2dGeometry, usize) -> Correlation,
        level: Level,
    ) -> Self {
        let machine = Machine::of::<T>(level);
        // A chunk's activations stay in the second-level cache; and few large chunks where many would leave tiles half
        // empty, as on the smallest maps.
        let many = (geometry.input_count() + geometry.output_count()).div_ceil(CHUNK_ELEMENTS).max(16);
        let candidates = [many, if many > 16 { many } else { 8 }].map(|chunks| {
            let images_per_chunk = geometry.batch.div_ceil(chunks);
            let correlation = direction(geometry, images_per_chunk);
            let columns = correlation.result_channels / correlation.groups;
            let (block, cost) = machine.best_block(columns, |shape| {
                let tiles = |class: &Class| {
                    let work: usize = class.segments.iter().map(|segment| segment.len).sum();
                    class.pixels.len().div_ceil(shape.rows) * (work + TILE_OVERHEAD)
                };
                correlation.classes.iter().map(tiles).sum()
            });
            (correlation, images_per_chunk, block, cost as f64 / images_per_chunk as f64)
        });
        let [many, few] = candidates;
        let (correlation, images_per_chunk, block, _) = if few.3 < 0.97 * many.3 { few } else { many };
        let columns = correlation.result_channels / correlation.groups;
        Self {
            level,
            images_per_chunk,
            columns,
            block_columns: block * machine.lanes,
            padded_columns: columns.next_multiple_of(machine.lanes),
            correlation,
        }
    }

    /// Elements of the packed weights of all groups.
    pub fn packed_len(&self) -> usize {
        self.correlation.groups * self.group_len()
    }

    fn group_len(&self) -> usize {
        self.correlation.rows * self.padded_columns
    }

    /// Packs the weight matrix of every group into blocks of columns `[block][row][column]`; `fill` writes the real
    /// columns of one block, the others are zeros.
    pub fn pack<T: Element>(&self, packed: &mut [T], fill: impl Fn(Block, &mut [T]) + Sync) {
        let rows = self.correlation.rows;
        packed.par_chunks_mut(self.group_len()).enumerate().for_each(|(group, packed)| {
            packed.par_chunks_mut(rows * self.block_columns).enumerate().for_each(|(index, packed)| {
                let (first, width) = (index * self.block_columns, packed.len() / rows);
                let real = width.min(self.columns - first);
                fill(Block { group, first, width, real }, packed);
                if real < width {
                    packed.chunks_mut(width).for_each(|row| row[real..].fill(T::ZERO));
                }
            });
        });
    }

    /// Result of one chunk: `result` from `source`, both cut to the chunk's images.
    pub fn run_chunk<T: Element>(&self, source: &[T], packed: &[T], start: Start<'_, T>, result: &mut [T]) {
        let images = result.len() / (self.correlation.result_pixels * self.correlation.result_channels);
        assert!(images <= self.images_per_chunk);
        assert_eq!(source.len(), images * self.correlation.source_pixels * self.correlation.source_channels);
        assert_eq!(packed.len(), self.packed_len());
        match start {
            Start::PerChannel(values) => assert_eq!(values.len(), self.correlation.result_channels),
            Start::Tensor(values) => assert_eq!(values.len(), result.len()),
            Start::Zero => {}
        }
        dispatch_on(self.level, Chunk { plan: self, images, source, packed, start, result });
    }
}

struct Chunk<'a, T> {
    plan: &'a ProductPlan,
    images: usize,
    source: &'a [T],
    packed: &'a [T],
    start: Start<'a, T>,
    result: &'a mut [T],
}

impl<T: Element> Kernel<T> for Chunk<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(mut self) {
        let plan = self.plan;
        for group in 0..plan.correlation.groups {
            for first in (0..plan.padded_columns).step_by(plan.block_columns) {
                let width = plan.block_columns.min(plan.padded_columns - first);
                // Tiles of pixels by vectors: as many sums as registers hold beside one row of weights and a value.
                // SAFETY: `dispatch_on` saw to the instruction set; `run_chunk` checked lengths, and offsets in the
                // tables stay inside of them by construction.
                unsafe {
                    match (S::REGISTERS >= 32, width / S::LANES) {
                        (true, 1) => self.block::<S, 12, 1>(group, first),
                        (true, 2) => self.block::<S, 12, 2>(group, first),
                        (true, 3) => self.block::<S, 8, 3>(group, first),
                        (true, _) => self.block::<S, 6, 4>(group, first),
                        (false, 1) => self.block::<S, 8, 1>(group, first),
                        (false, 2) => self.block::<S, 6, 2>(group, first),
                        (false, 3) => self.block::<S, 4, 3>(group, first),
                        (false, _) => self.block::<S, 3, 4>(group, first),
                    }
                }
            }
        }
    }
}

impl<T: Element> Chunk<'_, T> {
    /// All pixels of the chunk for one block of columns.
    #[inline(always)]
    unsafe fn block<S: Simd<Element = T>, const PIXELS: usize, const VECTORS: usize>(
        &mut self,
        group: usize,
        first: usize,
    ) {
        let plan = self.plan;
        let correlation = &plan.correlation;
        let packed = group * plan.group_len() + first * correlation.rows;
        let source = group * (correlation.source_channels / correlation.groups);
        let result = group * plan.columns + first;
        let last = (plan.columns - first).min(VECTORS * S::LANES) - (VECTORS - 1) * S::LANES;
        for class in &correlation.classes {
            let pixels = &class.pixels[..class.pixels_per_image * self.images];
            for tile in pixels.chunks(PIXELS) {
                // SAFETY: as this function's own contract.
                unsafe { self.tile::<S, PIXELS, VECTORS>(class, tile, packed, source, result, last) }
            }
        }
    }

    /// One tile; `last` real columns in its last vector.
    #[inline(always)]
    unsafe fn tile<S: Simd<Element = T>, const PIXELS: usize, const VECTORS: usize>(
        &mut self,
        class: &Class,
        tile: &[Pixel],
        packed: usize,
        source: usize,
        result: usize,
        last: usize,
    ) {
        // SAFETY: as this function's own contract. A short tile repeats its last pixel and stores it once.
        unsafe {
            let mut sums = [[S::zero(); VECTORS]; PIXELS];
            let mut sources = [self.source.as_ptr(); PIXELS];
            for p in 0..PIXELS {
                let pixel = tile[p.min(tile.len() - 1)];
                sources[p] = sources[p].add(pixel.source as usize + source);
            }
            match self.start {
                Start::Zero => {}
                Start::PerChannel(values) => {
                    for v in 0..VECTORS {
                        let lanes = if v + 1 == VECTORS { last } else { S::LANES };
                        let value = S::load_up_to(values.as_ptr().add(result + v * S::LANES), lanes);
                        for p in 0..PIXELS {
                            sums[p][v] = value;
                        }
                    }
                }
                Start::Tensor(values) => {
                    for p in 0..PIXELS {
                        let pixel = tile[p.min(tile.len() - 1)];
                        let values = values.as_ptr().add(pixel.result as usize + result);
                        for v in 0..VECTORS {
                            let lanes = if v + 1 == VECTORS { last } else { S::LANES };
                            sums[p][v] = S::load_up_to(values.add(v * S::LANES), lanes);
                        }
                    }
                }
            }
            accumulate::<S, PIXELS, VECTORS>(&mut sums, &sources, &class.segments, self.packed.as_ptr().add(packed));
            for p in 0..PIXELS {
                if p < tile.len() {
                    let to = self.result.as_mut_ptr().add(tile[p].result as usize + result);
                    for v in 0..VECTORS - 1 {
                        S::store(to.add(v * S::LANES), sums[p][v]);
                    }
                    S::store_up_to(to.add((VECTORS - 1) * S::LANES), sums[p][VECTORS - 1], last);
                }
            }
        }
    }
}
