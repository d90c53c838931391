//! Rows are copied; a gradient is added up by ranges of the table's rows, each of which looks at all indices in order.

use rayon::prelude::*;

use crate::ops::parallel::Chunks;
use crate::simd::Element;

/// Ranges that a table's gradient is cut into.
const RANGES: usize = 16;

/// `y` (`[.., width]`): the rows of `table` (`[N, width]`).
pub(super) fn gather<T: Element>(width: usize, table: &[T], indices: &[u32], y: &mut [T]) {
    let chunk = Chunks::of(indices.len(), width).chunk_rows;
    y.par_chunks_mut(chunk * width).zip(indices.par_chunks(chunk)).for_each(|(y, indices)| {
        for (y, index) in y.chunks_exact_mut(width).zip(indices) {
            match (*index as usize) < table.len() / width {
                true => y.copy_from_slice(&table[*index as usize * width..][..width]),
                false => y.fill(T::ZERO),
            }
        }
    });
}

/// `d_table` (`[N, width]`) from `upstream` (`[.., width]`).
pub(super) fn gradient<T: Element>(width: usize, upstream: &[T], indices: &[u32], d_table: &mut [T]) {
    let range = (d_table.len() / width).div_ceil(RANGES);
    d_table.par_chunks_mut(range * width).enumerate().for_each(|(task, d_table)| {
        d_table.fill(T::ZERO);
        let first = task * range;
        for (upstream, index) in upstream.chunks_exact(width).zip(indices) {
            let row = (*index as usize).checked_sub(first).filter(|row| *row < d_table.len() / width);
            if let Some(row) = row {
                let to = &mut d_table[row * width..][..width];
                to.iter_mut().zip(upstream).for_each(|(to, upstream)| *to += *upstream);
            }
        }
    });
}

/// Writes `rows` (`[B, width]`) into `table` (`[N, width]`), one after the other.
pub(super) fn scatter<T: Element>(width: usize, indices: &[u32], rows: &[T], table: &mut [T]) {
    let count = table.len() / width;
    for (row, index) in rows.chunks_exact(width).zip(indices) {
        if (*index as usize) < count {
            table[*index as usize * width..][..width].copy_from_slice(row);
        }
    }
}
