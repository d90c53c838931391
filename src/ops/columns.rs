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

/// Copies `width` columns of `rows` rows, plus `addend` if there is one.
///
/// # Safety
/// All blocks lie inside of their matrices and do not overlap, except that `addend` may be `to`.
pub unsafe fn copy_columns<T: Element>(
    level: Level,
    rows: usize,
    width: usize,
    from: Columns<*const T>,
    addend: Option<Columns<*const T>>,
    to: Columns<*mut T>,
) {
    let addend = addend.unwrap_or(Columns { start: std::ptr::null(), stride: 0 });
    let added = Shared::reading(addend.start);
    let (source, target) = (Shared::reading(from.start), Shared::new(to.start));
    Chunks::of(rows, width).for_each(|_, range| {
        // SAFETY: every chunk copies its own rows.
        let block = unsafe {
            Block {
                from: Columns { start: source.at(range.start * from.stride).cast_const(), stride: from.stride },
                addend: Columns { start: added.at(range.start * addend.stride), stride: addend.stride },
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
            copy_columns(level, rows, part, Columns { start: zeros.as_ptr(), stride: 0 }, None, to);
        }
    }
}

struct Block<T> {
    from: Columns<*const T>,
    /// Null if there is none.
    addend: Columns<*const T>,
    to: Columns<*mut T>,
    rows: usize,
    width: usize,
}

impl<T: Element> Kernel<T> for Block<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Self { from, addend, to, rows, width } = self;
        for row in 0..rows {
            // SAFETY: the row lies inside of all blocks; null plus nothing stays null.
            unsafe {
                let (from, to) = (from.start.add(row * from.stride), to.start.add(row * to.stride));
                if addend.start.is_null() {
                    map_flat::<S>(Copy { from, to }, 0, width);
                } else {
                    map_flat::<S>(Sum { from, addend: addend.start.add(row * addend.stride), to }, 0, width);
                }
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

#[derive(Clone, Copy)]
struct Sum<T> {
    from: *const T,
    addend: *const T,
    to: *mut T,
}

impl<S: Simd> Map<S> for Sum<S::Element> {
    #[inline(always)]
    unsafe fn apply(self, offset: usize, _column: usize, lanes: usize) {
        // SAFETY: as the trait's contract.
        unsafe {
            let from = S::load_up_to(self.from.add(offset), lanes);
            let addend = S::load_up_to(self.addend.add(offset), lanes);
            S::store_up_to(self.to.add(offset), S::add(from, addend), lanes);
        }
    }
}
