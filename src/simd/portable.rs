//! Vectors as plain arrays: for any processor, left to the compiler to map to what it has.

use std::marker::PhantomData;

use super::{Element, Simd};

/// Arrays of eight lanes.
#[derive(Clone, Copy)]
pub struct Portable<T>(PhantomData<T>);

const LANES: usize = 8;

#[inline(always)]
fn zip<T: Element>(a: [T; LANES], b: [T; LANES], f: impl Fn(T, T) -> T) -> [T; LANES] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

impl<T: Element> Simd for Portable<T> {
    type Element = T;
    type Vector = [T; LANES];
    const LANES: usize = LANES;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: T) -> Self::Vector {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self::Vector {
        // SAFETY: the caller vouches for `LANES` elements.
        unsafe { from.cast::<[T; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_partial(from: *const T, count: usize) -> Self::Vector {
        // SAFETY: the caller vouches for `count` elements.
        std::array::from_fn(|lane| if lane < count { unsafe { *from.add(lane) } } else { T::ZERO })
    }
    #[inline(always)]
    unsafe fn store(to: *mut T, x: Self::Vector) {
        // SAFETY: the caller vouches for `LANES` elements.
        unsafe { to.cast::<[T; LANES]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn store_partial(to: *mut T, x: Self::Vector, count: usize) {
        for (lane, value) in x.into_iter().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` elements.
            unsafe { *to.add(lane) = value };
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // Not fused: where there is no such instruction, the library call would be a hundred times slower.
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }
    #[inline(always)]
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, T::maximum)
    }
    #[inline(always)]
    unsafe fn where_positive(condition: Self::Vector, x: Self::Vector) -> Self::Vector {
        zip(condition, x, |condition, x| if condition > T::ZERO { x } else { T::ZERO })
    }
}
