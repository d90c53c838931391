//! How a product is cut into register tiles.

use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// A register tile: so many rows by so many vectors of columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileShape {
    /// Rows: pixels of a result, or rows of a weight gradient.
    pub rows: usize,
    /// Vectors of columns.
    pub vectors: usize,
}

/// What plans need to know of a level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Lanes of a vector.
    pub lanes: usize,
    /// Vector registers.
    pub registers: usize,
}

struct Ask;

impl<T: Element> Kernel<T> for Ask {
    type Output = Machine;

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) -> Machine {
        Machine { lanes: S::LANES, registers: S::REGISTERS }
    }
}

impl Machine {
    /// Of `level` for elements `T`.
    pub fn of<T: Element>(level: Level) -> Self {
        dispatch_on::<T, _>(level, Ask)
    }

    /// The tile for blocks of `vectors` columns: as many sums as fit beside one row of weights and one value.
    pub fn tile(self, vectors: usize) -> TileShape {
        let rows = match (self.registers >= 32, vectors) {
            (true, 1 | 2) => 12,
            (true, 3) => 8,
            (true, _) => 6,
            (false, 1) => 8,
            (false, 2) => 6,
            (false, 3) => 4,
            (false, _) => 3,
        };
        TileShape { rows, vectors }
    }

    /// How many vectors blocks of `columns` should have, and what that costs: `tiles(shape)` says how many tiles (in any
    /// unit) one block needs.
    pub fn best_block(self, columns: usize, tiles: impl Fn(TileShape) -> usize) -> (usize, usize) {
        let vectors = columns.div_ceil(self.lanes);
        let cost = |block: usize| {
            let one = |block: usize| {
                let shape = self.tile(block);
                // A step of a tile multiplies `rows` values with each vector; loading them costs a little as well.
                tiles(shape) * (8 * shape.rows * shape.vectors + shape.rows + 2 * shape.vectors)
            };
            let rest = vectors % block;
            vectors / block * one(block) + if rest > 0 { one(rest) } else { 0 }
        };
        (1..=vectors.min(4)).map(|block| (block, cost(block))).min_by_key(|(_, cost)| *cost).expect("there are columns")
    }
}
