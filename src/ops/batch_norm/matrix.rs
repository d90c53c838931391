//! How the GPU's BatchNorm kernels see a tensor, and how it is cut into blocks: by its shape alone.

use bytemuck::{Pod, Zeroable};

use crate::ops::packs::{THREADS, lanes};
use crate::tensor::{DType, Shape};

/// Packs of columns that a block has at most: 512 bytes.
const WIDTH: usize = 32;

/// What a pass over the tensor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Adds up per channel.
    Sum,
    /// Writes every element.
    Map,
}

impl Pass {
    /// Chunks of all columns together beyond which chunks grow instead. What a sum leaves per chunk is to be combined,
    /// so there are as many as two blocks for each multiprocessor of the largest devices; a map has many more, which
    /// keeps all multiprocessors busy to the end.
    fn blocks(self) -> usize {
        match self {
            Self::Sum => 256,
            Self::Map => 2048,
        }
    }
}

/// The structure of the same name in `kernels/columns.cuh`: `[rows, C]` as rows of whole packs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Matrix {
    count: u32,
    columns: u32,
    channels: u32,
    whole_rows: u32,
    width: u32,
    height: u32,
    chunk_rows: u32,
}

impl Matrix {
    /// The cut of a tensor of `shape`, stored as `dtype`, for `pass`.
    pub fn new(dtype: DType, shape: Shape, pass: Pass) -> Self {
        let (count, channels, lanes) = (shape.count(), shape.channels(), lanes(dtype));
        let columns = (1..=lanes).map(|k| k * channels).find(|columns| columns.is_multiple_of(lanes));
        let columns = columns.unwrap_or(lanes * channels);
        let packs = columns / lanes;
        let parts = packs.div_ceil(WIDTH);
        let width = packs.div_ceil(parts);
        let height = THREADS / width;
        // Two tiles of every thread, `TILE_ROWS` in the kernels: 4096 elements of a block.
        let least = height * dtype.size();
        let least_chunks = count.div_ceil(columns).div_ceil(least);
        let chunk_rows = least * least_chunks.div_ceil((pass.blocks() / parts).max(1)).max(1);
        let small = |extent: usize| u32::try_from(extent).expect("tensors have less than 2^32 elements");
        Self {
            count: small(count),
            columns: small(columns),
            channels: small(channels),
            whole_rows: small(count / columns),
            width: small(width),
            height: small(height),
            chunk_rows: small(chunk_rows),
        }
    }

    /// Chunks of rows.
    pub fn chunks(&self) -> usize {
        self.count.div_ceil(self.columns).div_ceil(self.chunk_rows) as usize
    }

    /// Columns of one channel.
    pub fn copies(&self) -> usize {
        (self.columns / self.channels) as usize
    }

    /// Blocks of the passes over the tensor.
    pub fn grid(&self, dtype: DType) -> [usize; 3] {
        let packs = self.columns as usize / lanes(dtype);
        [self.chunks(), packs.div_ceil(self.width as usize), 1]
    }

    /// Bytes of `parts` float32 per chunk and column.
    pub fn partials(&self, parts: usize) -> usize {
        self.chunks() * parts * self.columns as usize * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What the kernels rely on: whole packs, at most 256 columns and threads a block, and every element in a chunk.
    #[test]
    fn blocks_cover_every_shape() {
        for dtype in [DType::F32, DType::BF16] {
            for channels in [1, 2, 3, 5, 8, 12, 17, 24, 30, 58, 64, 100, 116, 257, 514, 2048, 32768] {
                for rows in [2, 3, 100, 4096, 100_000] {
                    for pass in [Pass::Sum, Pass::Map] {
                        let m = Matrix::new(dtype, Shape::from([rows, channels]), pass);
                        let [columns, width, height] = [m.columns, m.width, m.height].map(|x| x as usize);
                        let what = format!("{dtype} {rows} x {channels} {pass:?}: {m:?}");
                        assert!(columns.is_multiple_of(lanes(dtype)) && columns.is_multiple_of(channels), "{what}");
                        assert!(width * height <= THREADS && width * lanes(dtype) <= THREADS && height > 0, "{what}");
                        let [chunks, parts, _] = m.grid(dtype);
                        assert!(parts * width * lanes(dtype) >= columns, "{what}");
                        assert!((parts - 1) * width * lanes(dtype) < columns, "{what}");
                        assert!(chunks * m.chunk_rows as usize * columns >= rows * channels, "{what}");
                        assert!((chunks - 1) * (m.chunk_rows as usize) * columns < rows * channels, "{what}");
                        assert!(chunks * parts <= 2 * pass.blocks().max(parts), "{what}");
                    }
                }
            }
        }
    }
}
