//! Blocks of columns copied from one matrix to another: what concatenation, splitting and padding of channels are.

use crate::ops::parallel::{Chunks, Shared};
use crate::ops::rows::{Map, map_flat};
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// A block of columns: where its first element is, and the elements from one row to the next.
#[derive(Clone, Copy, Debug)]
pub struct Columns<P> {
    /// The first element.
    pub start: P,
    /// Columns of the whole matrix.
    pub stride: usize,
}

/// Copies `width` columns of `rows` rows.
///
/// # Safety
/// Both blocks lie inside of their matrices and do not overlap.
pub unsafe fn copy_columns<T: Element>(
    level: Level,
    rows: usize,
    width: usize,
    from: Columns<*const T>,
    to: Columns<*mut T>,
) {
    let (source, target) = (Shared::reading(from.start), Shared::new(to.start));
    Chunks::of(rows, width).for_each(|_, range| {
        // SAFETY: every chunk copies its own rows.
        let block = unsafe {
            Block {
                from: Columns { start: source.at(range.start * from.stride).cast_const(), stride: from.stride },
                to: Columns { start: target.at(range.start * to.stride), stride: to.stride },
                rows: range.len(),
                width,
            }
        };
        dispatch_on(level, block);
    });
}

/// Writes zeros to `width` columns of `rows` rows.
///
/// # Safety
/// The block lies inside of its matrix.
pub unsafe fn clear_columns<T: Element>(level: Level, rows: usize, width: usize, to: Columns<*mut T>) {
    let zeros = [T::ZERO; 64];
    for start in (0..width).step_by(zeros.len()) {
        let part = zeros.len().min(width - start);
        // SAFETY: the columns lie inside of the block; a stride of zero reads the same zeros for every row.
        unsafe {
            let to = Columns { start: to.start.add(start), stride: to.stride };
            copy_columns(level, rows, part, Columns { start: zeros.as_ptr(), stride: 0 }, to);
        }
    }
}

struct Block<T> {
    from: Columns<*const T>,
    to: Columns<*mut T>,
    rows: usize,
    width: usize,
}

impl<T: Element> Kernel<T> for Block<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        for row in 0..self.rows {
            // SAFETY: the row lies inside of both blocks.
            unsafe {
                let copy = Copy {
                    from: self.from.start.add(row * self.from.stride),
                    to: self.to.start.add(row * self.to.stride),
                };
                map_flat::<S>(copy, 0, self.width);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Copy<T> {
    from: *const T,
    to: *mut T,
}

impl<S: Simd> Map<S> for Copy<S::Element> {
    #[inline(always)]
    unsafe fn apply(self, offset: usize, _column: usize, lanes: usize) {
        // SAFETY: as the trait's contract.
        unsafe { S::store_up_to(self.to.add(offset), S::load_up_to(self.from.add(offset), lanes), lanes) }
    }
}
