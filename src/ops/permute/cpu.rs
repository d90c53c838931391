//! Where the innermost axis stays, runs are copied; elsewhere blocks of a cache line's width are turned.

use super::Walk;
use crate::ops::parallel::{Chunks, Shared};
use crate::simd::Element;

/// Neighbours in `x` that are moved together.
const LINE: usize = 16;

/// `y`, in the order of `walk`, from `x`.
pub(super) fn permute<T: Element>(walk: &Walk, x: &[T], y: &mut [T]) {
    assert!(x.len() == y.len() && y.len() == walk.extents.iter().product::<usize>());
    let inner = walk.inner();
    // What is walked outside: all axes but the last one of `y`, of which `inner` (if it is not that) goes by lines.
    let mut outer = [walk.extents[0], walk.extents[1], walk.extents[2]];
    if inner < 3 {
        outer[inner] = outer[inner].div_ceil(LINE);
    }
    let to = Shared::new(y.as_mut_ptr());
    Chunks::of(outer.iter().product(), walk.extents[3]).for_each(|_, items| {
        for item in items {
            let mut indices = [item / (outer[1] * outer[2]), item / outer[2] % outer[1], item % outer[2]];
            if inner < 3 {
                indices[inner] *= LINE;
            }
            let along = |steps: [usize; 3]| (0..3).map(|axis| indices[axis] * steps[axis]).sum::<usize>();
            let from = &x[along([walk.strides[0], walk.strides[1], walk.strides[2]])..];
            let start = along([0, 1, 2].map(|axis| walk.step(axis)));
            let columns = walk.extents[3];
            if inner == 3 {
                // SAFETY: the item's run of `y`, which no other item writes.
                unsafe { std::slice::from_raw_parts_mut(to.at(start), columns) }.copy_from_slice(&from[..columns]);
                continue;
            }
            let (lines, step) = (LINE.min(walk.extents[inner] - indices[inner]), walk.step(inner));
            for column in 0..columns {
                for (line, value) in from[column * walk.strides[3]..][..lines].iter().enumerate() {
                    // SAFETY: row `indices[inner] + line` of this item and the column; no other item writes there.
                    unsafe { *to.at(start + line * step + column) = *value };
                }
            }
        }
    });
}
