//! The result is cut into blocks of rows and columns, each a task. A task packs the right factor by panels of two vectors
//! and `DEPTH` summands; tiles of rows by a panel are summed up in registers. Where there are few blocks and many summands,
//! the summands are cut too: partial results, added up in order.
//!
//! All cuts follow from the shape alone, so any number of threads gives the same bits.

#![allow(clippy::needless_range_loop, reason = "indices of register tiles run through several arrays at once")]

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::product::Product;
use crate::ops::parallel::{Chunks, Shared};
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// Summands of a packed panel, which stays in the first-level cache.
const DEPTH: usize = 256;
/// Columns of a packed panel at most: two of the widest vectors.
const PANEL: usize = 32;
/// Rows of a task: whole tiles of 12, 8, 6 and 4.
const ROWS: usize = 96;
/// Products that a task should have at least, to be worth starting.
const TASK: usize = 1 << 17;
/// Tasks that keep any usual number of threads busy.
const TASKS: usize = 16;
/// The most rows that the smallest tile holds.
const FEW: usize = 4;

/// How a product is cut into tasks.
#[derive(Clone, Copy, Debug)]
struct Cut {
    row_blocks: usize,
    /// Columns of a task, whole panels.
    columns: usize,
    column_blocks: usize,
    /// Runs of at most `DEPTH` summands of one product.
    runs: usize,
    /// Runs of a chunk of summands; the last may have fewer.
    runs_per_chunk: usize,
    chunks: usize,
}

impl Cut {
    fn of(product: &Product) -> Self {
        let runs = product.depth.div_ceil(DEPTH) * product.added;
        let per_panel = product.rows.min(ROWS) * PANEL * product.depth * product.added;
        let columns = PANEL * TASK.div_ceil(per_panel).min(product.columns.div_ceil(PANEL));
        let (row_blocks, column_blocks) = (product.rows.div_ceil(ROWS), product.columns.div_ceil(columns));
        let wanted = TASKS.div_ceil(product.groups * row_blocks * column_blocks).min(runs.div_ceil(4));
        let runs_per_chunk = runs.div_ceil(wanted);
        Self { row_blocks, columns, column_blocks, runs, runs_per_chunk, chunks: runs.div_ceil(runs_per_chunk) }
    }
}

/// The vectors of a tile run over columns; where there are few of these and the rows lie side by side, over the rows.
fn is_turned(product: &Product) -> bool {
    product.columns < 8 && product.rows > product.columns && product.a.outer == 1
}

fn oriented(product: &Product) -> Product {
    if is_turned(product) { product.turned() } else { *product }
}

/// Elements of workspace that [`multiply`] needs.
pub(super) fn workspace_len(product: &Product) -> usize {
    match Cut::of(&oriented(product)).chunks {
        1 => 0,
        chunks => chunks * product.count(),
    }
}

/// `y`, all results; `partials` holds [`workspace_len`] elements.
pub(super) fn multiply<T: Element>(level: Level, product: &Product, a: &[T], b: &[T], y: &mut [T], partials: &mut [T]) {
    assert!(y.len() == product.count() && partials.len() >= workspace_len(product));
    let (a, b) = if is_turned(product) { (b, a) } else { (a, b) };
    let product = &oriented(product);
    let (cut, count) = (Cut::of(product), product.count());
    let whole = cut.chunks == 1;
    let result = Shared::new(if whole { y.as_mut_ptr() } else { partials.as_mut_ptr() });
    let blocks = cut.row_blocks * cut.column_blocks;
    Chunks::each(cut.chunks * product.groups * blocks).for_each(|task, _| {
        let (chunk, group, block) = (task / (product.groups * blocks), task / blocks % product.groups, task % blocks);
        let row = block / cut.column_blocks * ROWS;
        let column = block % cut.column_blocks * cut.columns;
        let first_run = chunk * cut.runs_per_chunk;
        dispatch_on(
            level,
            Task {
                product,
                a,
                b,
                // SAFETY: chunk and group lie inside; tasks write disjoint blocks.
                y: unsafe { result.at(chunk * count + group * product.rows * product.columns) },
                group,
                rows: [row, (row + ROWS).min(product.rows)],
                columns: [column, (column + cut.columns).min(product.columns)],
                runs: [first_run, (first_run + cut.runs_per_chunk).min(cut.runs)],
            },
        );
    });
    if !whole {
        let partials = &partials[..cut.chunks * count];
        y.par_chunks_mut(4096).enumerate().for_each(|(index, y)| {
            let first = index * 4096;
            y.copy_from_slice(&partials[first..][..y.len()]);
            for chunk in 1..cut.chunks {
                let partial = &partials[chunk * count + first..][..y.len()];
                y.iter_mut().zip(partial).for_each(|(y, partial)| *y += *partial);
            }
        });
    }
}

/// A block of one result, over some of its summands.
struct Task<'a, T> {
    product: &'a Product,
    a: &'a [T],
    b: &'a [T],
    /// The result's first element.
    y: *mut T,
    group: usize,
    /// From, to.
    rows: [usize; 2],
    columns: [usize; 2],
    runs: [usize; 2],
}

impl<T: Element> Kernel<T> for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Product { depth, a: at, b: bt, .. } = *self.product;
        let mut panel = [const { MaybeUninit::<T>::uninit() }; DEPTH * PANEL];
        let panel = panel.as_mut_ptr().cast::<T>();
        let per_product = depth.div_ceil(DEPTH);
        let mut column = self.columns[0];
        while column < self.columns[1] {
            let columns = (2 * S::LANES).min(self.columns[1] - column);
            for run in self.runs[0]..self.runs[1] {
                let (added, first) = (run / per_product, run % per_product * DEPTH);
                let (batch, depth) = (self.group + added, DEPTH.min(depth - first));
                // The first elements of these summands of both factors.
                let a = &self.a[batch * at.batch + first * at.inner..];
                let b = &self.b[batch * bt.batch + first * bt.inner + column * bt.outer..];
                let again = run > self.runs[0];
                // SAFETY: `dispatch_on` saw to the instruction set; rows, columns and summands lie inside of the product,
                // whose strides stay inside of its tensors; a panel has at most `DEPTH` rows of `PANEL` columns.
                unsafe {
                    match columns <= S::LANES {
                        true => self.panel::<S, 1>(a, b, panel, column, columns, depth, again),
                        false => self.panel::<S, 2>(a, b, panel, column, columns, depth, again),
                    }
                }
            }
            column += columns;
        }
    }
}

impl<T: Element> Task<'_, T> {
    /// All rows of the task for one panel.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn panel<S: Simd<Element = T>, const VECTORS: usize>(
        &self,
        a: &[T],
        b: &[T],
        panel: *mut T,
        column: usize,
        columns: usize,
        depth: usize,
        again: bool,
    ) {
        // SAFETY: as this function's own contract.
        unsafe {
            pack::<S, VECTORS>(b, self.product.b.outer, self.product.b.inner, columns, depth, panel);
            let mut row = self.rows[0];
            while row < self.rows[1] {
                let left = self.rows[1] - row;
                row += match (left <= FEW, S::REGISTERS >= 32, VECTORS) {
                    (true, ..) => self.tile::<S, FEW, VECTORS>(a, panel, row, column, columns, depth, again),
                    (_, true, _) => self.tile::<S, 12, VECTORS>(a, panel, row, column, columns, depth, again),
                    (_, false, 1) => self.tile::<S, 8, VECTORS>(a, panel, row, column, columns, depth, again),
                    _ => self.tile::<S, 6, VECTORS>(a, panel, row, column, columns, depth, again),
                };
            }
        }
    }

    /// One tile, whose rows are given back; a short one repeats its last row and stores it once.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn tile<S: Simd<Element = T>, const ROWS: usize, const VECTORS: usize>(
        &self,
        a: &[T],
        panel: *const T,
        row: usize,
        column: usize,
        columns: usize,
        depth: usize,
        again: bool,
    ) -> usize {
        let rows = ROWS.min(self.rows[1] - row);
        let Product { a: at, y: [down, across], .. } = *self.product;
        // SAFETY: as `panel`.
        unsafe {
            let sources: [*const T; ROWS] = std::array::from_fn(|p| a.as_ptr().add((row + p.min(rows - 1)) * at.outer));
            let mut sums = [[S::zero(); VECTORS]; ROWS];
            for k in 0..depth {
                let from = panel.add(k * VECTORS * S::LANES);
                let mut factors = [S::zero(); VECTORS];
                for v in 0..VECTORS {
                    factors[v] = S::load(from.add(v * S::LANES));
                }
                for p in 0..ROWS {
                    let value = S::splat(*sources[p].add(k * at.inner));
                    for v in 0..VECTORS {
                        sums[p][v] = S::fma(value, factors[v], sums[p][v]);
                    }
                }
            }
            for p in 0..ROWS {
                if p >= rows {
                    break;
                }
                let to = self.y.add((row + p) * down + column * across);
                for v in 0..VECTORS {
                    let lanes = S::LANES.min(columns - v * S::LANES);
                    let to = to.add(v * S::LANES * across);
                    if across == 1 {
                        let before = if again { S::load_up_to(to, lanes) } else { S::zero() };
                        S::store_up_to(to, S::add(before, sums[p][v]), lanes);
                    } else {
                        let mut line = [T::ZERO; PANEL];
                        S::store(line.as_mut_ptr(), sums[p][v]);
                        for (lane, value) in line[..lanes].iter().enumerate() {
                            let to = to.add(lane * across);
                            *to = if again { *to + *value } else { *value };
                        }
                    }
                }
            }
        }
        rows
    }
}

/// `depth` summands of `columns` columns of the right factor: rows of `VECTORS` vectors, filled up with zeros.
#[inline(always)]
unsafe fn pack<S: Simd, const VECTORS: usize>(
    b: &[S::Element],
    outer: usize,
    inner: usize,
    columns: usize,
    depth: usize,
    panel: *mut S::Element,
) {
    let width = VECTORS * S::LANES;
    // SAFETY: the caller vouches for `depth` summands of `columns` columns of `b`, and for the panel.
    unsafe {
        if outer == 1 {
            for k in 0..depth {
                let (from, to) = (b.as_ptr().add(k * inner), panel.add(k * width));
                for v in 0..VECTORS {
                    let lanes = S::LANES.min(columns - v * S::LANES);
                    S::store(to.add(v * S::LANES), S::load_up_to(from.add(v * S::LANES), lanes));
                }
            }
        } else {
            for column in 0..width {
                let from = b.as_ptr().wrapping_add(column * outer);
                for k in 0..depth {
                    let value = if column < columns { *from.add(k * inner) } else { S::Element::ZERO };
                    *panel.add(k * width + column) = value;
                }
            }
        }
    }
}
