//! Rows are copied, by ranges of indices where they are read and one after the other where they are written.

use rayon::prelude::*;

use crate::ops::parallel::Chunks;
use crate::simd::Element;

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

/// Writes `rows` (`[B, width]`) into `table` (`[N, width]`), one after the other.
pub(super) fn scatter<T: Element>(width: usize, indices: &[u32], rows: &[T], table: &mut [T]) {
    let count = table.len() / width;
    for (row, index) in rows.chunks_exact(width).zip(indices) {
        if (*index as usize) < count {
            table[*index as usize * width..][..width].copy_from_slice(row);
        }
    }
}
