//! One chunk of images: input transform, products, output transform.

use super::{BLOCK_VECTORS, PANEL, POSITIONS, WinogradPlan};
use crate::ops::conv2d::product::Start;
use crate::simd::{Element, Kernel, Simd};

/// Some images, and scratch to work on them.
pub(super) struct Chunk<'a, T> {
    pub plan: &'a WinogradPlan,
    pub source: &'a [T],
    pub filters: &'a [T],
    pub start: Start<'a, T>,
    pub result: &'a mut [T],
    pub scratch: &'a mut [T],
}

/// A tile's place.
#[derive(Clone, Copy)]
struct Tile {
    image: usize,
    /// Of its first pixel in the result.
    row: usize,
    column: usize,
}

impl Tile {
    /// The tile after this one.
    #[inline(always)]
    fn next(mut self, plan: &WinogradPlan) -> Self {
        self.column += 2;
        if self.column >= plan.result.width {
            self.column = 0;
            self.row += 2;
            if self.row >= plan.result.height {
                self.row = 0;
                self.image += 1;
            }
        }
        self
    }
}

/// The input transform along one axis: Bᵀ = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1].
#[inline(always)]
unsafe fn spread<S: Simd>(d: [S::Vector; 4]) -> [S::Vector; 4] {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { [S::sub(d[0], d[2]), S::add(d[1], d[2]), S::sub(d[2], d[1]), S::sub(d[1], d[3])] }
}

/// `Bᵀ d B` for the columns `d`, written at steps of `position`.
#[inline(always)]
unsafe fn spread_tile<S: Simd>(mut d: [[S::Vector; 4]; 4], to: *mut S::Element, position: usize) {
    // SAFETY: the caller vouches for the instruction set and all positions.
    unsafe {
        for j in 0..4 {
            d[j] = spread::<S>(d[j]);
        }
        for i in 0..4 {
            let line = spread::<S>([d[0][i], d[1][i], d[2][i], d[3][i]]);
            for j in 0..4 {
                S::store(to.add((4 * i + j) * position), line[j]);
            }
        }
    }
}

/// The output transform along one axis: Aᵀ = [1 1 1 0; 0 1 -1 -1].
#[inline(always)]
unsafe fn gather<S: Simd>(m: [S::Vector; 4]) -> [S::Vector; 2] {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { [S::add(S::add(m[0], m[1]), m[2]), S::sub(S::sub(m[1], m[2]), m[3])] }
}

impl<T: Element> Kernel<T> for Chunk<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(mut self) {
        let plan = self.plan;
        assert_eq!(S::LANES, plan.lanes);
        assert_eq!(self.scratch.len(), plan.scratch_len());
        assert_eq!(self.filters.len(), plan.filters_len());
        let images = self.result.len() / plan.result.len();
        assert_eq!(self.result.len(), images * plan.result.len());
        assert_eq!(self.source.len(), images * plan.source.len());
        let scratch = std::mem::take(&mut self.scratch);
        let (values, rest) = scratch.split_at_mut(plan.panel_len());
        let (products, zeros) = rest.split_at_mut(plan.products_len());
        zeros.fill(T::ZERO);
        let tiles = images * plan.tiles_per_image();
        let mut next = Tile { image: 0, row: 0, column: 0 };
        for done in (0..tiles).step_by(PANEL) {
            let (first, count) = (next, PANEL.min(tiles - done));
            // SAFETY: `dispatch_on` saw to the instruction set; all lengths were checked above and by `run` of the
            // plan, and every offset below comes from the plan's own extents.
            unsafe {
                for tile in 0..count {
                    self.input::<S>(next, zeros.as_ptr(), values.as_mut_ptr().add(tile * S::LANES));
                    next = next.next(plan);
                }
                for column in (0..plan.padded_columns()).step_by(BLOCK_VECTORS * S::LANES) {
                    if plan.padded_columns() - column > S::LANES {
                        self.block::<S, 2>(column, first, count, values.as_ptr(), products.as_mut_ptr());
                    } else {
                        self.block::<S, 1>(column, first, count, values.as_ptr(), products.as_mut_ptr());
                    }
                }
            }
        }
    }
}

impl<T: Element> Chunk<'_, T> {
    /// The transformed input `Bᵀ d B` of one tile, `zeros` standing for pixels outside of the image.
    #[inline(always)]
    unsafe fn input<S: Simd<Element = T>>(&self, tile: Tile, zeros: *const T, to: *mut T) {
        let plan = self.plan;
        let source = plan.source;
        // SAFETY: as this function's own contract; pixels outside of the image are never pointed to.
        unsafe {
            let mut pixels = [zeros; 16];
            let image = self.source.as_ptr().add(tile.image * source.len());
            // Wraps around above and left of the image: larger than any extent.
            let (top, left) = (tile.row.wrapping_sub(plan.padding[0]), tile.column.wrapping_sub(plan.padding[1]));
            let pitch = source.width * source.channels;
            if top < source.height && top + 3 < source.height && left < source.width && left + 3 < source.width {
                let corner = image.add(top * pitch + left * source.channels);
                for i in 0..4 {
                    for j in 0..4 {
                        pixels[4 * i + j] = corner.add(i * pitch + j * source.channels);
                    }
                }
            } else {
                for i in 0..4 {
                    for j in 0..4 {
                        let (row, column) = (top.wrapping_add(i), left.wrapping_add(j));
                        if row < source.height && column < source.width {
                            pixels[4 * i + j] = image.add(row * pitch + column * source.channels);
                        }
                    }
                }
            }
            let position = plan.position_len();
            let full = source.channels / S::LANES;
            for vector in 0..full {
                let mut d = [[S::zero(); 4]; 4];
                for j in 0..4 {
                    for i in 0..4 {
                        d[j][i] = S::load(pixels[4 * i + j].add(vector * S::LANES));
                    }
                }
                spread_tile::<S>(d, to.add(vector * PANEL * S::LANES), position);
            }
            let rest = source.channels - full * S::LANES;
            if rest > 0 {
                let mut d = [[S::zero(); 4]; 4];
                for j in 0..4 {
                    for i in 0..4 {
                        d[j][i] = S::load_partial(pixels[4 * i + j].add(full * S::LANES), rest);
                    }
                }
                spread_tile::<S>(d, to.add(full * PANEL * S::LANES), position);
            }
        }
    }

    /// The products of a panel of `count` tiles with one block of result channels, and the result they give.
    #[inline(always)]
    unsafe fn block<S: Simd<Element = T>, const VECTORS: usize>(
        &mut self,
        column: usize,
        first: Tile,
        count: usize,
        values: *const T,
        products: *mut T,
    ) {
        let plan = self.plan;
        let channels = plan.source.channels;
        let width = VECTORS * S::LANES;
        // SAFETY: as this function's own contract.
        unsafe {
            let filters = self.filters.as_ptr().add(POSITIONS * channels * column);
            for position in 0..POSITIONS {
                multiply_panel::<S, VECTORS>(
                    count,
                    channels,
                    values.add(position * plan.position_len()),
                    filters.add(position * channels * width),
                    products.add(position * PANEL * width),
                );
            }
            let mut tile = first;
            for row in 0..count {
                self.output::<S, VECTORS>(tile, column, products.add(row * width));
                tile = tile.next(plan);
            }
        }
    }

    /// The result `Aᵀ m A` of one tile.
    #[inline(always)]
    unsafe fn output<S: Simd<Element = T>, const VECTORS: usize>(
        &mut self,
        tile: Tile,
        column: usize,
        products: *const T,
    ) {
        let result = self.plan.result;
        // SAFETY: as this function's own contract; pixels outside of the image are skipped.
        unsafe {
            for v in 0..VECTORS {
                let first = column + v * S::LANES;
                let lanes = result.channels - first;
                let mut columns = [[S::zero(); 2]; 4];
                for j in 0..4 {
                    let mut column = [S::zero(); 4];
                    for i in 0..4 {
                        column[i] = S::load(products.add(((4 * i + j) * PANEL * VECTORS + v) * S::LANES));
                    }
                    columns[j] = gather::<S>(column);
                }
                for i in 0..2 {
                    let line = gather::<S>([columns[0][i], columns[1][i], columns[2][i], columns[3][i]]);
                    for j in 0..2 {
                        let (row, place) = (tile.row + i, tile.column + j);
                        if row < result.height && place < result.width {
                            let pixel = (tile.image * result.height + row) * result.width + place;
                            let at = pixel * result.channels + first;
                            let value = match self.start {
                                Start::Zero => line[j],
                                Start::PerChannel(values) => {
                                    S::add(line[j], S::load_up_to(values.as_ptr().add(first), lanes))
                                }
                                Start::Tensor(values) => S::add(line[j], S::load_up_to(values.as_ptr().add(at), lanes)),
                            };
                            S::store_up_to(self.result.as_mut_ptr().add(at), value, lanes);
                        }
                    }
                }
            }
        }
    }
}

/// The products of one position of a panel of which `tiles` are real: in as few rows as the register
/// tiles allow.
#[inline(always)]
unsafe fn multiply_panel<S: Simd, const VECTORS: usize>(
    tiles: usize,
    channels: usize,
    values: *const S::Element,
    filters: *const S::Element,
    products: *mut S::Element,
) {
    // SAFETY: as this function's own contract: rows stay inside of the panel.
    unsafe {
        if S::REGISTERS >= 32 {
            match tiles {
                0..=4 => multiply::<S, 4, VECTORS>(channels, values, filters, products),
                5..=8 => multiply::<S, 8, VECTORS>(channels, values, filters, products),
                _ => multiply::<S, 12, VECTORS>(channels, values, filters, products),
            }
        } else {
            multiply::<S, 6, VECTORS>(channels, values, filters, products);
            if tiles > 6 {
                let products = products.add(6 * VECTORS * S::LANES);
                multiply::<S, 6, VECTORS>(channels, values.add(6 * S::LANES), filters, products);
            }
        }
    }
}

/// The micro-kernel: `products[r][v] = Σ_k values[r][k] * filters[k][v]`, all sums in registers. Values lie as panels
/// do, `[vector of channels][tile][lane]`: at fixed distances from one pointer.
#[inline(always)]
unsafe fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize>(
    channels: usize,
    mut values: *const S::Element,
    mut filters: *const S::Element,
    products: *mut S::Element,
) {
    // SAFETY: as this function's own contract.
    unsafe {
        let mut sums = [[S::zero(); VECTORS]; ROWS];
        let mut left = channels;
        while left > 0 {
            let lanes = left.min(S::LANES);
            for k in 0..lanes {
                let mut columns = [S::zero(); VECTORS];
                for v in 0..VECTORS {
                    columns[v] = S::load(filters.add(v * S::LANES));
                }
                filters = filters.add(VECTORS * S::LANES);
                for r in 0..ROWS {
                    let value = S::splat(*values.add(r * S::LANES + k));
                    for v in 0..VECTORS {
                        sums[r][v] = S::fma(value, columns[v], sums[r][v]);
                    }
                }
            }
            left -= lanes;
            values = values.add(PANEL * S::LANES);
        }
        for r in 0..ROWS {
            for v in 0..VECTORS {
                S::store(products.add((r * VECTORS + v) * S::LANES), sums[r][v]);
            }
        }
    }
}
