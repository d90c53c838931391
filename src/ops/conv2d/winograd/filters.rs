//! The transform of kernels, `G g Gᵀ`.

use rayon::prelude::*;

use super::{BLOCK_VECTORS, POSITIONS, WinogradPlan};
use crate::simd::{Element, Kernel, Simd, dispatch_on};

/// Rows of turned kernels that are gathered together.
const ROWS: usize = 16;
/// The most columns of a block, of any instruction set.
const COLUMNS: usize = 16 * BLOCK_VECTORS;

/// Transforms `weights` `[3, 3, C, K]` to blocks of columns `[block][position][source channel][column]`; columns that
/// only fill up a vector are zeros.
pub(super) fn transform<T: Element>(plan: &WinogradPlan, weights: &[T], filters: &mut [T]) {
    let block_columns = BLOCK_VECTORS * plan.lanes;
    let channels = plan.source.channels;
    let filters = &mut filters[..POSITIONS * channels * plan.padded_columns()];
    filters.par_chunks_mut(POSITIONS * channels * block_columns).enumerate().for_each(|(block, filters)| {
        let first = block * block_columns;
        let real = block_columns.min(plan.result.channels - first);
        if !plan.turned {
            let taps =
                Taps { values: &weights[first..], tap: channels * plan.result.channels, row: plan.result.channels };
            dispatch_on(plan.level, Block { taps, rows: channels, real, first_row: 0, channels, filters });
            return;
        }
        // The kernel turned around and transposed: tap (2-kh, 2-kw), row k, column c.
        let mut gathered = [T::ZERO; 9 * ROWS * COLUMNS];
        for first_row in (0..channels).step_by(ROWS) {
            let rows = ROWS.min(channels - first_row);
            for tap in 0..9 {
                for column in 0..real {
                    let from = ((8 - tap) * plan.result.channels + first + column) * channels + first_row;
                    for (row, value) in weights[from..from + rows].iter().enumerate() {
                        gathered[(tap * ROWS + row) * COLUMNS + column] = *value;
                    }
                }
            }
            let taps = Taps { values: &gathered, tap: ROWS * COLUMNS, row: COLUMNS };
            dispatch_on(plan.level, Block { taps, rows, real, first_row, channels, filters });
        }
    });
}

/// G = [1 0 0; ½ ½ ½; ½ -½ ½; 0 0 1] times three taps.
#[inline(always)]
unsafe fn widen<S: Simd>(half: S::Vector, g: [S::Vector; 3]) -> [S::Vector; 4] {
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let (ends, middle) = (S::mul(half, S::add(g[0], g[2])), S::mul(half, g[1]));
        [g[0], S::add(ends, middle), S::sub(ends, middle), g[2]]
    }
}

/// Kernels as they lie: elements from one tap, and from one row, to the next.
struct Taps<'a, T> {
    values: &'a [T],
    tap: usize,
    row: usize,
}

/// Some rows (source channels) of one block of columns.
struct Block<'a, T> {
    taps: Taps<'a, T>,
    rows: usize,
    /// Columns that are real.
    real: usize,
    first_row: usize,
    /// Rows of the whole block.
    channels: usize,
    filters: &'a mut [T],
}

impl<T: Element> Kernel<T> for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Self { taps, rows, real, first_row, channels, filters } = self;
        let width = filters.len() / (POSITIONS * channels);
        assert!(first_row + rows <= channels && real <= width);
        assert!(8 * taps.tap + (rows - 1) * taps.row + real <= taps.values.len());
        for row in 0..rows {
            for column in (0..width).step_by(S::LANES) {
                // SAFETY: `dispatch_on` saw to the instruction set; the farthest tap read and, as widths are whole
                // vectors, the farthest position written lie inside of their slices.
                unsafe {
                    let lanes = real.saturating_sub(column).min(S::LANES);
                    let from = taps.values.as_ptr().add(row * taps.row + column.min(real));
                    let half = S::splat(T::from_f64(0.5));
                    let mut columns = [[S::zero(); 4]; 3];
                    for kw in 0..3 {
                        let mut column = [S::zero(); 3];
                        for kh in 0..3 {
                            column[kh] = S::load_up_to(from.add((3 * kh + kw) * taps.tap), lanes);
                        }
                        columns[kw] = widen::<S>(half, column);
                    }
                    let to = filters.as_mut_ptr().add((first_row + row) * width + column);
                    for i in 0..4 {
                        let line = widen::<S>(half, [columns[0][i], columns[1][i], columns[2][i]]);
                        for j in 0..4 {
                            S::store(to.add((4 * i + j) * channels * width), line[j]);
                        }
                    }
                }
            }
        }
    }
}
