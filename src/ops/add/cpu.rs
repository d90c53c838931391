//! One pass over memory.

use rayon::prelude::*;

use crate::simd::{Element, Kernel, Simd, dispatch};

const CHUNK: usize = 16 * 1024;

struct Sum<'a, T> {
    first: *const T,
    second: &'a [T],
    out: &'a mut [T],
}

impl<T: Element> Kernel<T> for Sum<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let count = self.out.len();
        let mut index = 0;
        while index < count {
            let lanes = S::LANES.min(count - index);
            // SAFETY: all three hold `count` elements; `first` may be `out` itself, read before it is written.
            unsafe {
                let a = S::load_up_to(self.first.add(index), lanes);
                let b = S::load_up_to(self.second.as_ptr().add(index), lanes);
                S::store_up_to(self.out.as_mut_ptr().add(index), S::add(a, b), lanes);
            }
            index += S::LANES;
        }
    }
}

/// `out = first + second`; `first` may be where `out` is.
pub(super) fn add<T: Element>(first: *const T, second: &[T], out: &mut [T]) {
    let first = first as usize;
    out.par_chunks_mut(CHUNK).zip(second.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (out, second))| {
        let first = (first as *const T).wrapping_add(chunk * CHUNK);
        dispatch(Sum { first, second, out });
    });
}
