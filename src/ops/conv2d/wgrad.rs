//! The gradient of a convolution with respect to its weights and bias.

use rayon::prelude::*;

use super::cut::{Machine, TileShape};
use super::depthwise::DepthwiseWgrad;
use super::geometry::Conv2dGeometry;
use super::taps::{Correlation, Pixel, Segment};
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// Elements of partial gradients, all chunks of the batch together, that are still cheap to add up.
const PARTIAL_BUDGET: usize = 1 << 19;
/// Tasks that a pass is cut into: enough to balance any usual number of threads.
const TASKS: usize = 16;
/// Elements of both activations that should stay in the second-level cache while a group of images is worked on.
const GROUP_ELEMENTS: usize = 1 << 17;

/// A planned weight gradient: the adjoint of the forward convolution in its weights and bias.
///
/// The batch is cut into chunks with partial gradients of their own, added up in order; where the weights are too
/// large for many copies, their rows are cut too. Both depend on the shape alone.
#[derive(Debug)]
pub struct WgradPlan {
    geometry: Conv2dGeometry,
    correlation: Correlation,
    level: Level,
    chunks: usize,
    images_per_chunk: usize,
    images_per_group: usize,
    rows_per_range: usize,
    block_vectors: usize,
}

/// Tiles of `shape` that `rows` need, those with half the rows counted as halves, times two.
fn row_tiles(rows: usize, shape: TileShape) -> usize {
    let rest = match rows % shape.rows {
        0 => 0,
        rest if rest > shape.rows / 2 => 2,
        _ => 1,
    };
    2 * (rows / shape.rows) + rest
}

impl WgradPlan {
    /// Plans for `geometry` on the instruction set in use.
    pub fn new<T: Element>(geometry: &Conv2dGeometry) -> Self {
        Self::on_level::<T>(geometry, Level::current())
    }

    /// Plans for `geometry` on `level`.
    pub fn on_level<T: Element>(geometry: &Conv2dGeometry, level: Level) -> Self {
        let geometry = geometry.flattened();
        let machine = Machine::of::<T>(level);
        let wanted = (PARTIAL_BUDGET / geometry.weight_count()).clamp(1, TASKS).min(geometry.batch);
        let images_per_chunk = geometry.batch.div_ceil(wanted);
        let chunks = geometry.batch.div_ceil(images_per_chunk);
        let rows = geometry.kernel[0] * geometry.kernel[1] * geometry.channels_per_group();
        let rows_per_range = rows.div_ceil(TASKS.div_ceil(chunks)).max(8);
        let image = (geometry.input_count() + geometry.output_count()) / geometry.batch;
        let images_per_group = if geometry.is_depthwise() {
            images_per_chunk
        } else {
            (GROUP_ELEMENTS / image).clamp(1, images_per_chunk)
        };
        let correlation = Correlation::forward(&geometry, images_per_group);
        let (block_vectors, _) = machine.best_block(geometry.outputs_per_group(), |shape| {
            let segments = correlation.classes.iter().flat_map(|class| {
                class.segments.iter().map(|segment| class.pixels_per_image * row_tiles(segment.len, shape))
            });
            segments.sum()
        });
        Self { correlation, level, chunks, images_per_chunk, images_per_group, rows_per_range, block_vectors, geometry }
    }

    /// Elements of workspace that [`Self::run`] needs.
    pub fn workspace_len(&self) -> usize {
        let partial = if self.chunks > 1 { self.chunks * self.geometry.weight_count() } else { 0 };
        partial.max(self.chunks * self.geometry.out_channels)
    }

    /// `dw` and, where wanted, `dbias` (all of them) from `x` and `dy`.
    pub fn run<T: Element>(&self, x: &[T], dy: &[T], dw: &mut [T], dbias: Option<&mut [T]>, workspace: &mut [T]) {
        let geometry = &self.geometry;
        assert_eq!(x.len(), geometry.input_count());
        assert_eq!(dy.len(), geometry.output_count());
        assert_eq!(dw.len(), geometry.weight_count());
        if self.chunks == 1 {
            self.chunk(x, dy, dw);
        } else {
            let partials = &mut workspace[..self.chunks * dw.len()];
            let images = self.images_per_chunk;
            partials
                .par_chunks_mut(dw.len())
                .zip(x.par_chunks(images * geometry.input_count() / geometry.batch))
                .zip(dy.par_chunks(images * geometry.output_count() / geometry.batch))
                .for_each(|((partial, x), dy)| self.chunk(x, dy, partial));
            add_up(self.level, partials, dw);
        }
        if let Some(dbias) = dbias {
            assert_eq!(dbias.len(), geometry.out_channels);
            let partials = &mut workspace[..self.chunks * dbias.len()];
            partials
                .par_chunks_mut(dbias.len())
                .zip(dy.par_chunks(self.images_per_chunk * geometry.output_count() / geometry.batch))
                .for_each(|(partial, dy)| dispatch_on(self.level, AddRows { rows: dy, sum: partial }));
            add_up(self.level, partials, dbias);
        }
    }

    /// The partial gradient of one chunk of the batch, by ranges of its rows.
    fn chunk<T: Element>(&self, x: &[T], dy: &[T], partial: &mut [T]) {
        if self.geometry.is_depthwise() {
            // The chunk is one group of images.
            DepthwiseWgrad { correlation: &self.correlation, x, dy, partial }.run(self.level);
            return;
        }
        let columns = self.geometry.out_channels;
        partial.par_chunks_mut(self.rows_per_range * columns).enumerate().for_each(|(range, partial)| {
            let first_row = range * self.rows_per_range;
            dispatch_on(self.level, Range { plan: self, x, dy, first_row, partial });
        });
    }
}

/// `sum = Σ partials`, in order.
fn add_up<T: Element>(level: Level, partials: &[T], sum: &mut [T]) {
    const PIECE: usize = 2048;
    let len = sum.len();
    sum.par_chunks_mut(PIECE).enumerate().for_each(|(piece, sum)| {
        dispatch_on(level, AddPartials { partials, len, first: piece * PIECE, sum });
    });
}

struct AddPartials<'a, T> {
    partials: &'a [T],
    len: usize,
    first: usize,
    sum: &'a mut [T],
}

impl<T: Element> Kernel<T> for AddPartials<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        self.sum.copy_from_slice(&self.partials[self.first..][..self.sum.len()]);
        for partial in self.partials.chunks_exact(self.len).skip(1) {
            for (sum, value) in self.sum.iter_mut().zip(&partial[self.first..]) {
                *sum += *value;
            }
        }
    }
}

/// `sum[k] = Σ rows[.., k]`
struct AddRows<'a, T> {
    rows: &'a [T],
    sum: &'a mut [T],
}

impl<T: Element> Kernel<T> for AddRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        self.sum.fill(T::ZERO);
        for row in self.rows.chunks_exact(self.sum.len()) {
            for (sum, value) in self.sum.iter_mut().zip(row) {
                *sum += *value;
            }
        }
    }
}

/// Some rows of the partial gradient of one chunk of the batch.
struct Range<'a, T> {
    plan: &'a WgradPlan,
    x: &'a [T],
    dy: &'a [T],
    first_row: usize,
    partial: &'a mut [T],
}

/// One tile's place: the elements of `x` from each pixel's own, the columns of `dy`, and where its sums live.
struct Place {
    source: usize,
    column: usize,
    sums: usize,
    /// Rows that are real.
    rows: usize,
    /// Columns of the last vector that are real.
    last: usize,
}

impl<T: Element> Kernel<T> for Range<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(mut self) {
        let plan = self.plan;
        self.partial.fill(T::ZERO);
        let input = plan.images_per_group * plan.geometry.input_count() / plan.geometry.batch;
        let output = plan.images_per_group * plan.geometry.output_count() / plan.geometry.batch;
        let (x, dy) = (self.x, self.dy);
        for (x, dy) in x.chunks(input).zip(dy.chunks(output)) {
            self.images::<S>(x, dy);
        }
    }
}

impl<T: Element> Range<'_, T> {
    /// Adds what a group of images gives.
    #[inline(always)]
    fn images<S: Simd<Element = T>>(&mut self, x: &[T], dy: &[T]) {
        let plan = self.plan;
        let correlation = &plan.correlation;
        let images = x.len() / (correlation.source_pixels * correlation.source_channels);
        let end_row = self.first_row + self.partial.len() / correlation.result_channels;
        // Pixels that are worked on together: their part of both activations stays in the first-level cache.
        let together = (6144 / (correlation.source_channels + correlation.result_channels)).max(128);
        for class in &correlation.classes {
            for pixels in class.pixels[..class.pixels_per_image * images].chunks(together) {
                for segment in &class.segments {
                    let first = segment.row.max(self.first_row);
                    let end = (segment.row + segment.len).min(end_row);
                    if first < end {
                        let source = segment.source + first - segment.row;
                        self.rows::<S>(x, dy, pixels, Segment { source, row: first, len: end - first });
                    }
                }
            }
        }
    }

    /// Adds what `pixels` give to the rows of `segment`.
    #[inline(always)]
    fn rows<S: Simd<Element = T>>(&mut self, x: &[T], dy: &[T], pixels: &[Pixel], segment: Segment) {
        let correlation = &self.plan.correlation;
        let columns = correlation.result_channels / correlation.groups;
        let channels = correlation.source_channels / correlation.groups;
        for group in 0..correlation.groups {
            for first in (0..columns).step_by(self.plan.block_vectors * S::LANES) {
                let vectors = (columns - first).div_ceil(S::LANES).min(self.plan.block_vectors);
                let place = Place {
                    source: segment.source + group * channels,
                    column: group * columns + first,
                    sums: (segment.row - self.first_row) * correlation.result_channels + group * columns + first,
                    rows: segment.len,
                    last: (columns - first).min(vectors * S::LANES) - (vectors - 1) * S::LANES,
                };
                // SAFETY: `dispatch_on` saw to the instruction set; `run` checked lengths, and offsets in the
                // tables stay inside of them by construction.
                unsafe {
                    match (S::REGISTERS >= 32, vectors) {
                        (true, 1) => self.column::<S, 12, 6, 1>(x, dy, pixels, place),
                        (true, 2) => self.column::<S, 12, 6, 2>(x, dy, pixels, place),
                        (true, 3) => self.column::<S, 8, 4, 3>(x, dy, pixels, place),
                        (true, _) => self.column::<S, 6, 3, 4>(x, dy, pixels, place),
                        (false, 1) => self.column::<S, 8, 4, 1>(x, dy, pixels, place),
                        (false, 2) => self.column::<S, 6, 3, 2>(x, dy, pixels, place),
                        (false, 3) => self.column::<S, 4, 2, 3>(x, dy, pixels, place),
                        (false, _) => self.column::<S, 3, 1, 4>(x, dy, pixels, place),
                    }
                }
            }
        }
    }

    /// One block of columns: its rows in tiles of `ROWS`, the rest in tiles of `FEWER` where that is enough.
    #[inline(always)]
    unsafe fn column<S: Simd<Element = T>, const ROWS: usize, const FEWER: usize, const VECTORS: usize>(
        &mut self,
        x: &[T],
        dy: &[T],
        pixels: &[Pixel],
        mut place: Place,
    ) {
        let mut left = place.rows;
        while left > 0 {
            let rows = left.min(if left > FEWER { ROWS } else { FEWER });
            place.rows = rows;
            // SAFETY: as this function's own contract.
            unsafe {
                if left > FEWER {
                    self.tile::<S, ROWS, VECTORS>(x, dy, pixels, &place);
                } else {
                    self.tile::<S, FEWER, VECTORS>(x, dy, pixels, &place);
                }
            }
            place.source += rows;
            place.sums += rows * self.plan.correlation.result_channels;
            left -= rows;
        }
    }

    /// `sums[r][v] += Σ over pixels of x[r] * dy[v]`; rows that are not real repeat the last one and are dropped.
    #[inline(always)]
    unsafe fn tile<S: Simd<Element = T>, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        x: &[T],
        dy: &[T],
        pixels: &[Pixel],
        place: &Place,
    ) {
        let pitch = self.plan.correlation.result_channels;
        let last = place.last;
        // SAFETY: as this function's own contract.
        unsafe {
            let to = self.partial.as_mut_ptr().add(place.sums);
            let mut sums = [[S::zero(); VECTORS]; ROWS];
            for r in 0..ROWS {
                if r < place.rows {
                    for v in 0..VECTORS - 1 {
                        sums[r][v] = S::load(to.add(r * pitch + v * S::LANES));
                    }
                    sums[r][VECTORS - 1] = S::load_up_to(to.add(r * pitch + (VECTORS - 1) * S::LANES), last);
                }
            }
            let (x, dy) = (x.as_ptr().add(place.source), dy.as_ptr().add(place.column));
            if place.rows == ROWS && last == S::LANES {
                for pixel in pixels {
                    let (x, dy) = (x.add(pixel.source as usize), dy.add(pixel.result as usize));
                    let mut columns = [S::zero(); VECTORS];
                    for v in 0..VECTORS {
                        columns[v] = S::load(dy.add(v * S::LANES));
                    }
                    for r in 0..ROWS {
                        let value = S::splat(*x.add(r));
                        for v in 0..VECTORS {
                            sums[r][v] = S::fma(value, columns[v], sums[r][v]);
                        }
                    }
                }
            } else {
                for pixel in pixels {
                    let (x, dy) = (x.add(pixel.source as usize), dy.add(pixel.result as usize));
                    let mut columns = [S::zero(); VECTORS];
                    for v in 0..VECTORS - 1 {
                        columns[v] = S::load(dy.add(v * S::LANES));
                    }
                    columns[VECTORS - 1] = S::load_up_to(dy.add((VECTORS - 1) * S::LANES), last);
                    for r in 0..ROWS {
                        let value = S::splat(*x.add(r.min(place.rows - 1)));
                        for v in 0..VECTORS {
                            sums[r][v] = S::fma(value, columns[v], sums[r][v]);
                        }
                    }
                }
            }
            for r in 0..ROWS {
                if r < place.rows {
                    for v in 0..VECTORS - 1 {
                        S::store(to.add(r * pitch + v * S::LANES), sums[r][v]);
                    }
                    S::store_up_to(to.add(r * pitch + (VECTORS - 1) * S::LANES), sums[r][VECTORS - 1], last);
                }
            }
        }
    }
}
