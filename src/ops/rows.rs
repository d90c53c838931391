//! Vector loops over activations seen as a matrix `[rows, channels]`, for any number of channels.
//!
//! Few channels leave most lanes of a vector empty (3 of 16), so several rows in a row are taken as one wide row, a
//! [`Bundle`], under tables (scales, means) repeated as often. Rows wider than a few vectors stay alone; the lanes past
//! their end are masked.

use crate::simd::{Element, Simd};

/// Vectors a bundle may fill in a pass that maps elements: long enough to make the loop around it free.
pub const MAP_VECTORS: usize = 8;

/// Vectors a bundle may fill in a pass that sums rows: the accumulators and tables of so many stay in registers.
pub const SUM_VECTORS: usize = 4;

/// Elements of the widest bundle of more than one row: what an [`Expanded`] table has room for.
const WIDEST: usize = MAP_VECTORS * 16;

/// Rows taken together as one wide row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Rows in the bundle.
    pub rows: usize,
    /// Channels of one row.
    pub channels: usize,
}

impl Bundle {
    /// As many rows as fit into `vectors` of `lanes`, at least one; of those the most that leave no lane empty, if any.
    #[inline(always)]
    pub fn new(channels: usize, lanes: usize, vectors: usize) -> Self {
        let most = (vectors * lanes / channels).max(1);
        let whole = (1..=most).rev().find(|rows| (rows * channels).is_multiple_of(lanes));
        Self { rows: whole.unwrap_or(most), channels }
    }

    /// Elements of the bundle.
    #[inline(always)]
    pub fn width(self) -> usize {
        self.rows * self.channels
    }
}

/// Room for a table `[channels]` repeated for every row of a bundle.
pub struct Expanded<T>([T; WIDEST]);

impl<T: Element> Expanded<T> {
    /// Room that holds nothing yet.
    #[inline(always)]
    pub fn empty() -> Self {
        Self([T::ZERO; WIDEST])
    }

    /// The table as wide as the bundle: itself where a bundle is one row, else repeated into this room.
    ///
    /// # Safety
    /// `table` holds `bundle.channels` elements. The result is valid as long as both `table` and this room.
    #[inline(always)]
    pub unsafe fn fill(&mut self, table: *const T, bundle: Bundle) -> *const T {
        if bundle.rows == 1 {
            return table;
        }
        for row in self.0[..bundle.width()].chunks_exact_mut(bundle.channels) {
            for (channel, slot) in row.iter_mut().enumerate() {
                // SAFETY: the table holds `channels` elements.
                *slot = unsafe { *table.add(channel) };
            }
        }
        self.0.as_ptr()
    }
}

/// One pass that maps elements: from what is at `offset` of the inputs and at `column` of the tables to the outputs.
pub trait Map<S: Simd>: Copy {
    /// Handles `lanes` elements from `offset` on.
    ///
    /// # Safety
    /// The instruction set of `S`; `offset + lanes` inside of all inputs and outputs; `column + lanes` inside of the
    /// tables.
    unsafe fn apply(self, offset: usize, column: usize, lanes: usize);
}

/// Runs `map` over `rows` rows, in order.
///
/// # Safety
/// As for [`Map::apply`], for all elements of the rows and tables as wide as the bundle.
#[inline(always)]
pub unsafe fn map_rows<S: Simd>(map: impl Map<S>, bundle: Bundle, rows: usize) {
    let (width, end) = (bundle.width(), rows * bundle.channels);
    let mut start = 0;
    while start < end {
        let here = width.min(end - start);
        // SAFETY: `start + here` is at most `end`, and `here` at most the width of the tables.
        unsafe { map_flat::<S>(map, start, here) };
        start += here;
    }
}

/// Runs `map` over `count` elements from `start` on, columns counted from 0.
///
/// # Safety
/// As for [`Map::apply`].
#[inline(always)]
pub unsafe fn map_flat<S: Simd>(map: impl Map<S>, start: usize, count: usize) {
    let whole = count - count % S::LANES;
    let mut column = 0;
    // SAFETY: all of `start..start + count` is the caller's to vouch for.
    unsafe {
        while column < whole {
            map.apply(start + column, column, S::LANES);
            column += S::LANES;
        }
        if whole < count {
            map.apply(start + whole, whole, count - whole);
        }
    }
}

/// Sums over rows, `SUMS` of them for every channel.
pub trait Sum<S: Simd, const SUMS: usize>: Copy {
    /// What of the tables a vector of columns needs, held in registers over all rows.
    type Columns: Copy;

    /// Loads `lanes` columns of the tables.
    ///
    /// # Safety
    /// The instruction set of `S`; `column + lanes` inside of the tables.
    unsafe fn columns(self, column: usize, lanes: usize) -> Self::Columns;

    /// Adds the terms of `lanes` elements from `offset` on to the sums.
    ///
    /// # Safety
    /// The instruction set of `S`; `offset + lanes` inside of the inputs.
    unsafe fn add(self, offset: usize, lanes: usize, columns: Self::Columns, sums: &mut [S::Vector; SUMS]);
}

/// Writes the sums over `rows` rows to `sums` (`[SUMS][channels]`).
///
/// # Safety
/// As for [`Sum`], for all elements of the rows and tables as wide as the bundle.
#[inline(always)]
pub unsafe fn sum_rows<S: Simd, const SUMS: usize>(
    sum: impl Sum<S, SUMS>,
    bundle: Bundle,
    rows: usize,
    sums: *mut S::Element,
) {
    let bundles = rows / bundle.rows;
    let rest = rows % bundle.rows;
    // SAFETY: whole bundles, then the rows left over as one narrower bundle: all inside of the rows.
    unsafe {
        for index in 0..SUMS * bundle.channels {
            *sums.add(index) = S::Element::ZERO;
        }
        if bundle.channels > SUM_VECTORS * S::LANES {
            return sum_wide::<S, SUMS>(sum, bundle.channels, rows, sums);
        }
        sum_columns(sum, bundle, 0, bundles, bundle.width(), sums);
        if rest > 0 {
            sum_columns::<S, SUMS>(sum, bundle, bundles * bundle.width(), 1, rest * bundle.channels, sums);
        }
    }
}

/// Rows that [`sum_wide`] walks at once: memory is read as so many streams, and totals are touched that seldom.
const STREAMS: usize = 8;

/// Sums of rows too wide for registers: the accumulators stay in `sums`.
///
/// # Safety
/// As for [`sum_rows`].
#[inline(always)]
unsafe fn sum_wide<S: Simd, const SUMS: usize>(
    sum: impl Sum<S, SUMS>,
    channels: usize,
    rows: usize,
    sums: *mut S::Element,
) {
    let streams = rows - rows % STREAMS;
    // SAFETY: first the rows in blocks of streams, then those left over.
    unsafe {
        for row in (0..streams).step_by(STREAMS) {
            sum_streams::<S, SUMS, STREAMS>(sum, channels, row, sums);
        }
        for row in streams..rows {
            sum_streams::<S, SUMS, 1>(sum, channels, row, sums);
        }
    }
}

/// Adds rows `row..row + ROWS` to `sums`.
///
/// # Safety
/// As for [`sum_rows`].
#[inline(always)]
unsafe fn sum_streams<S: Simd, const SUMS: usize, const ROWS: usize>(
    sum: impl Sum<S, SUMS>,
    channels: usize,
    row: usize,
    sums: *mut S::Element,
) {
    let mut column = 0;
    while column < channels {
        let lanes = S::LANES.min(channels - column);
        // SAFETY: `column + lanes` is at most `channels`.
        unsafe {
            let columns = sum.columns(column, lanes);
            let mut accumulators = [S::zero(); SUMS];
            for stream in 0..ROWS {
                sum.add((row + stream) * channels + column, lanes, columns, &mut accumulators);
            }
            for (index, accumulator) in accumulators.into_iter().enumerate() {
                let total = sums.add(index * channels + column);
                S::store_up_to(total, S::add(S::load_up_to(total, lanes), accumulator), lanes);
            }
        }
        column += S::LANES;
    }
}

/// `repeat` wide rows from `start` on, of which `width` columns count, added to `sums`.
///
/// # Safety
/// As for [`sum_rows`].
#[inline(always)]
unsafe fn sum_columns<S: Simd, const SUMS: usize>(
    sum: impl Sum<S, SUMS>,
    bundle: Bundle,
    start: usize,
    repeat: usize,
    width: usize,
    sums: *mut S::Element,
) {
    let mut column = 0;
    while column < width {
        let vectors = (width - column).div_ceil(S::LANES).min(SUM_VECTORS);
        let end = width.min(column + vectors * S::LANES);
        // SAFETY: columns `column..end` of the wide rows, `vectors` vectors of them.
        unsafe {
            match vectors {
                1 => sum_group::<S, SUMS, 1>(sum, bundle, start, repeat, column, end, sums),
                2 => sum_group::<S, SUMS, 2>(sum, bundle, start, repeat, column, end, sums),
                3 => sum_group::<S, SUMS, 3>(sum, bundle, start, repeat, column, end, sums),
                _ => sum_group::<S, SUMS, SUM_VECTORS>(sum, bundle, start, repeat, column, end, sums),
            }
        }
        column = end;
    }
}

/// Wide rows that are summed before they are added to the total: rounding grows with the longest chain of additions.
const BLOCK: usize = 16;

/// `VECTORS` vectors of columns, their accumulators in registers over all wide rows.
///
/// # Safety
/// As for [`sum_rows`]; `column..end` are `VECTORS` vectors, the last perhaps partly filled.
#[inline(always)]
unsafe fn sum_group<S: Simd, const SUMS: usize, const VECTORS: usize>(
    sum: impl Sum<S, SUMS>,
    bundle: Bundle,
    start: usize,
    repeat: usize,
    column: usize,
    end: usize,
    sums: *mut S::Element,
) {
    let last = end - column - (VECTORS - 1) * S::LANES;
    let lanes = |vector: usize| if vector + 1 == VECTORS { last } else { S::LANES };
    // SAFETY: vector `vector` covers `lanes(vector)` columns inside of `column..end`.
    unsafe {
        let mut totals = [[S::zero(); SUMS]; VECTORS];
        let mut columns = [sum.columns(column, lanes(0)); VECTORS];
        for (vector, slot) in columns.iter_mut().enumerate().skip(1) {
            *slot = sum.columns(column + vector * S::LANES, lanes(vector));
        }
        for first in (0..repeat).step_by(BLOCK) {
            let block = first..repeat.min(first + BLOCK);
            let mut accumulators = [[S::zero(); SUMS]; VECTORS];
            // Two loops, so that the one over full vectors has no masks in it.
            if last == S::LANES {
                for row in block {
                    let offset = start + row * bundle.width() + column;
                    for vector in 0..VECTORS {
                        sum.add(offset + vector * S::LANES, S::LANES, columns[vector], &mut accumulators[vector]);
                    }
                }
            } else {
                for row in block {
                    let offset = start + row * bundle.width() + column;
                    for vector in 0..VECTORS - 1 {
                        sum.add(offset + vector * S::LANES, S::LANES, columns[vector], &mut accumulators[vector]);
                    }
                    let vector = VECTORS - 1;
                    sum.add(offset + vector * S::LANES, last, columns[vector], &mut accumulators[vector]);
                }
            }
            for (total, accumulator) in totals.iter_mut().flatten().zip(accumulators.iter().flatten()) {
                *total = S::add(*total, *accumulator);
            }
        }
        // The rows of a bundle fold onto its channels, in order.
        let mut folded = [S::Element::ZERO; 16];
        for (vector, totals) in totals.into_iter().enumerate() {
            for (index, total) in totals.into_iter().enumerate() {
                S::store(folded.as_mut_ptr(), total);
                for (lane, &value) in folded[..lanes(vector)].iter().enumerate() {
                    let channel = (column + vector * S::LANES + lane) % bundle.channels;
                    *sums.add(index * bundle.channels + channel) += value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_fill_vectors() {
        for (channels, rows) in [(3, 32), (8, 16), (12, 8), (16, 8), (24, 4), (58, 2), (64, 2), (100, 1), (2048, 1)] {
            assert_eq!(Bundle::new(channels, 16, MAP_VECTORS).rows, rows, "{channels} channels");
        }
        for channels in 1..300 {
            for lanes in [4, 8, 16] {
                let bundle = Bundle::new(channels, lanes, MAP_VECTORS);
                assert!(bundle.rows == 1 || bundle.width() <= WIDEST);
            }
        }
    }
}
