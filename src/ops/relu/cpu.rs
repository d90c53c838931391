//! One pass over memory each.

use crate::ops::parallel::{Chunks, Shared};
use crate::ops::rows::{Map, map_flat};
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// `y = max(0, x)`.
///
/// # Safety
/// Both hold `count` elements; they may be the same.
pub(super) unsafe fn relu<T: Element>(level: Level, count: usize, x: *const T, y: *mut T) {
    let (x, y) = (Shared::reading(x), Shared::new(y));
    Chunks::flat(count).for_each(|_, range| {
        // SAFETY: every chunk reads and writes its own elements.
        let map = unsafe { Relu { x: x.at(range.start), y: y.at(range.start) } };
        dispatch_on(level, Flat { map, count: range.len() });
    });
}

/// `dx = upstream where y > 0 [+ addend]`.
///
/// # Safety
/// All hold `count` elements; `dx` may be any of the others.
pub(super) unsafe fn gradient<T: Element>(
    level: Level,
    count: usize,
    upstream: *const T,
    y: *const T,
    addend: Option<*const T>,
    dx: *mut T,
) {
    let (upstream, y, dx) = (Shared::reading(upstream), Shared::reading(y), Shared::new(dx));
    let addend = addend.map(Shared::reading);
    Chunks::flat(count).for_each(|_, range| {
        let start = range.start;
        // SAFETY: every chunk reads and writes its own elements.
        let map = unsafe {
            let addend = addend.map_or(std::ptr::null(), |addend| addend.at(start).cast_const());
            Gradient { upstream: upstream.at(start), y: y.at(start), addend, dx: dx.at(start) }
        };
        dispatch_on(level, Flat { map, count: range.len() });
    });
}

struct Flat<M> {
    map: M,
    count: usize,
}

#[derive(Clone, Copy)]
struct Relu<T> {
    x: *const T,
    y: *mut T,
}

#[derive(Clone, Copy)]
struct Gradient<T> {
    upstream: *const T,
    y: *const T,
    addend: *const T,
    dx: *mut T,
}

impl<T: Element> Kernel<T> for Flat<Relu<T>> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        // SAFETY: the pointers hold `count` elements.
        unsafe { map_flat::<S>(self.map, 0, self.count) }
    }
}

impl<T: Element> Kernel<T> for Flat<Gradient<T>> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        // SAFETY: the pointers hold `count` elements.
        unsafe { map_flat::<S>(self.map, 0, self.count) }
    }
}

impl<S: Simd> Map<S> for Relu<S::Element> {
    #[inline(always)]
    unsafe fn apply(self, offset: usize, _column: usize, lanes: usize) {
        // SAFETY: as the trait's contract.
        unsafe {
            let x = S::load_up_to(self.x.add(offset), lanes);
            S::store_up_to(self.y.add(offset), S::max(S::zero(), x), lanes);
        }
    }
}

impl<S: Simd> Map<S> for Gradient<S::Element> {
    #[inline(always)]
    unsafe fn apply(self, offset: usize, _column: usize, lanes: usize) {
        // SAFETY: as the trait's contract; everything is read before anything is written.
        unsafe {
            let y = S::load_up_to(self.y.add(offset), lanes);
            let mut dx = S::where_positive(y, S::load_up_to(self.upstream.add(offset), lanes));
            if !self.addend.is_null() {
                dx = S::add(dx, S::load_up_to(self.addend.add(offset), lanes));
            }
            S::store_up_to(self.dx.add(offset), dx, lanes);
        }
    }
}
