//! Sums in an order that the shape alone decides: long axes are cut into parts, whose sums are added in a second pass.

use super::view::View;
use crate::ops::parallel::{Chunks, Shared};
use crate::simd::{Element, Kernel, Simd, dispatch};

/// Elements that one thread takes at once.
const PART_ELEMENTS: usize = 16 * 1024;

/// Sums that lie side by side where a run of neighbours is added up.
const LANES: usize = 16;

/// How the axis is cut; nothing if it is short.
fn parts(view: View) -> Option<Chunks> {
    let chunks = Chunks::of(view.axis, view.inner);
    (view.axis * view.inner > PART_ELEMENTS && chunks.count() > 1).then_some(chunks)
}

/// Elements of the sums of parts.
pub(super) fn partials(view: View) -> usize {
    parts(view).map_or(0, |parts| parts.count() * view.columns())
}

/// `y [outer, inner] = factor * sum over the axis of x [outer, axis, inner]`. `room` holds [`partials`].
pub(super) fn sum<T: Element>(view: View, factor: T, x: &[T], room: &mut [T], y: &mut [T]) {
    let View { outer, axis, inner } = view;
    let Some(parts) = parts(view) else { return sum_whole(view, factor, x, y) };
    let (count, room_start) = (parts.count(), Shared::new(room.as_mut_ptr()));
    Chunks::each(outer * count).for_each(|item, _| {
        let rows = parts.range(item % count);
        let start = item / count * axis;
        // SAFETY: every item has sums of its own, inside of the room.
        let sums = unsafe { std::slice::from_raw_parts_mut(room_start.at(item * inner), inner) };
        sum_rows(&x[(start + rows.start) * inner..(start + rows.end) * inner], T::ONE, sums);
    });
    sum_whole(View { axis: count, ..view }, factor, &room[..outer * count * inner], y);
}

/// As [`sum`], the whole axis by one thread.
fn sum_whole<T: Element>(view: View, factor: T, x: &[T], y: &mut [T]) {
    let View { outer, axis, inner } = view;
    let y = Shared::new(y.as_mut_ptr());
    Chunks::of(outer, axis * inner).for_each(|_, range| {
        for index in range {
            // SAFETY: every `outer` has sums of its own.
            let sums = unsafe { std::slice::from_raw_parts_mut(y.at(index * inner), inner) };
            sum_rows(&x[index * axis * inner..(index + 1) * axis * inner], factor, sums);
        }
    });
}

/// `sums = factor * sum` of rows as wide as `sums`.
fn sum_rows<T: Element>(rows: &[T], factor: T, sums: &mut [T]) {
    dispatch(Rows { rows, factor, sums });
}

struct Rows<'a, T> {
    rows: &'a [T],
    factor: T,
    sums: &'a mut [T],
}

impl<T: Element> Kernel<T> for Rows<'_, T> {
    type Output = ();

    /// Plain loops, which the compiler turns into vectors of the instruction set that this is inlined into.
    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Self { rows, factor, sums } = self;
        match sums {
            [sum] => {
                let mut lanes = [T::ZERO; LANES];
                let packs = rows.chunks_exact(LANES);
                let rest = packs.remainder();
                for pack in packs {
                    lanes.iter_mut().zip(pack).for_each(|(lane, x)| *lane += *x);
                }
                let mut total = T::ZERO;
                lanes.iter().chain(rest).for_each(|x| total += *x);
                *sum = factor * total;
            }
            sums => {
                sums.fill(T::ZERO);
                for row in rows.chunks_exact(sums.len()) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
                }
                sums.iter_mut().for_each(|sum| *sum *= factor);
            }
        }
    }
}

/// Whether `x` comes before the largest so far: what is not a number is larger than all.
#[allow(clippy::eq_op)]
fn is_larger<T: Element>(x: T, most: T) -> bool {
    x > most || (x != x && most == most)
}

/// `y [outer, inner]`, the largest elements of `x [outer, axis, inner]`, and the first `places` they are at.
pub(super) fn max<T: Element>(view: View, x: &[T], y: &mut [T], places: &mut [u32]) {
    let View { outer, axis, inner } = view;
    let (y, places) = (Shared::new(y.as_mut_ptr()), Shared::new(places.as_mut_ptr()));
    Chunks::of(outer, axis * inner).for_each(|_, range| {
        for index in range {
            // SAFETY: every `outer` has elements of its own.
            let (most, place) = unsafe {
                let most = std::slice::from_raw_parts_mut(y.at(index * inner), inner);
                (most, std::slice::from_raw_parts_mut(places.at(index * inner), inner))
            };
            let rows = &x[index * axis * inner..(index + 1) * axis * inner];
            most.copy_from_slice(&rows[..inner]);
            place.fill(0);
            for (row, values) in rows.chunks_exact(inner).enumerate().skip(1) {
                for ((most, place), x) in most.iter_mut().zip(&mut *place).zip(values) {
                    if is_larger(*x, *most) {
                        (*most, *place) = (*x, row as u32);
                    }
                }
            }
        }
    });
}

/// `dx [outer, axis, inner]`: upstream at the places, else zero.
pub(super) fn max_gradient<T: Element>(view: View, upstream: &[T], places: &[u32], dx: &mut [T]) {
    let View { outer, axis, inner } = view;
    let dx = Shared::new(dx.as_mut_ptr());
    Chunks::of(outer, axis * inner).for_each(|_, range| {
        for index in range {
            // SAFETY: every `outer` has elements of its own.
            let rows = unsafe { std::slice::from_raw_parts_mut(dx.at(index * axis * inner), axis * inner) };
            rows.fill(T::ZERO);
            let own = index * inner..(index + 1) * inner;
            for (column, (upstream, place)) in upstream[own.clone()].iter().zip(&places[own]).enumerate() {
                rows[*place as usize * inner + column] = *upstream;
            }
        }
    });
}
