//! Work cut into fixed chunks of rows, run by any number of threads with the same bits.

use std::ops::Range;

use rayon::prelude::*;

/// Elements of a chunk, roughly: a chunk stays in a core's own cache between two passes over it, and there are enough
/// chunks to keep every core busy.
const CHUNK_ELEMENTS: usize = 16 * 1024;

/// A chunk has a multiple of this many rows (the last one excepted), and so whole [`super::rows::Bundle`]s.
const ROW_MULTIPLE: usize = 32;

/// A pointer that several threads use on disjoint parts of what it points to, or only read from.
#[derive(Clone, Copy, Debug)]
pub struct Shared<T>(*mut T);

// SAFETY: who uses the pointer vouches, in `Shared::at`, that threads touch disjoint parts or only read.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// To be written through (or read).
    pub fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// To be read through only.
    pub fn reading(pointer: *const T) -> Self {
        Self(pointer.cast_mut())
    }

    /// The element `offset` behind the first.
    ///
    /// # Safety
    /// `offset` lies inside of what is pointed to (or one past it), and no other thread writes what the caller reads
    /// or writes through the result.
    #[inline(always)]
    pub unsafe fn at(self, offset: usize) -> *mut T {
        // SAFETY: as this function's own contract.
        unsafe { self.0.add(offset) }
    }
}

/// Rows cut into equal chunks (the last may be shorter). The cut depends on the shape only, never on threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// All rows.
    pub rows: usize,
    /// Rows of every chunk but the last.
    pub chunk_rows: usize,
}

impl Chunks {
    /// The cut of a matrix `[rows, channels]`.
    pub fn of(rows: usize, channels: usize) -> Self {
        let wanted = CHUNK_ELEMENTS / channels.max(1);
        Self { rows, chunk_rows: (wanted / ROW_MULTIPLE).max(1) * ROW_MULTIPLE }
    }

    /// The cut of a flat array of `count` elements, each a row.
    pub fn flat(count: usize) -> Self {
        Self { rows: count, chunk_rows: CHUNK_ELEMENTS }
    }

    /// Every row a chunk of its own: images, blocks of channels.
    pub fn each(rows: usize) -> Self {
        Self { rows, chunk_rows: 1 }
    }

    /// How many chunks.
    pub fn count(self) -> usize {
        self.rows.div_ceil(self.chunk_rows)
    }

    /// The rows of one chunk.
    pub fn range(self, chunk: usize) -> Range<usize> {
        let start = chunk * self.chunk_rows;
        start..(start + self.chunk_rows).min(self.rows)
    }

    /// Calls `work(chunk, rows)` for every chunk, on the threads of the current rayon pool.
    pub fn for_each(self, work: impl Fn(usize, Range<usize>) + Send + Sync) {
        match self.count() {
            0 => {}
            1 => work(0, self.range(0)),
            count => (0..count).into_par_iter().for_each(|chunk| work(chunk, self.range(chunk))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_every_row_once() {
        for (rows, channels) in [(1, 1), (31, 3), (100_000, 8), (4097, 2048), (0, 4)] {
            let chunks = Chunks::of(rows, channels);
            let mut next = 0;
            for chunk in 0..chunks.count() {
                let range = chunks.range(chunk);
                assert_eq!(range.start, next);
                assert!(!range.is_empty());
                next = range.end;
            }
            assert_eq!(next, rows);
        }
    }
}
