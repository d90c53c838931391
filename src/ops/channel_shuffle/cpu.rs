//! Every row is a small matrix that is transposed.

use rayon::prelude::*;

use crate::ops::parallel::Chunks;
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// `y` from `x`, both `[rows, channels]`, `channels` a multiple of `groups`.
pub(super) fn shuffle<T: Element>(level: Level, groups: usize, channels: usize, x: &[T], y: &mut [T]) {
    let chunk = Chunks::of(x.len() / channels, channels).chunk_rows * channels;
    y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
        dispatch_on(level, Shuffle { groups, width: channels / groups, x, y });
    });
}

struct Shuffle<'a, T> {
    groups: usize,
    /// Channels of a group.
    width: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel<T> for Shuffle<'_, T> {
    type Output = ();

    /// The compiler interleaves with the instruction set's shuffles where the number of streams is known.
    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        match (self.groups, self.width) {
            (2, _) => self.interleave::<2>(),
            (3, _) => self.interleave::<3>(),
            (4, _) => self.interleave::<4>(),
            (_, 2) => self.deinterleave::<2>(),
            (_, 3) => self.deinterleave::<3>(),
            (_, 4) => self.deinterleave::<4>(),
            _ => self.transpose(),
        }
    }
}

impl<T: Element> Shuffle<'_, T> {
    #[inline(always)]
    fn interleave<const GROUPS: usize>(self) {
        let channels = GROUPS * self.width;
        for (x, y) in self.x.chunks_exact(channels).zip(self.y.chunks_exact_mut(channels)) {
            for (index, y) in y.as_chunks_mut::<GROUPS>().0.iter_mut().enumerate() {
                for (group, y) in y.iter_mut().enumerate() {
                    *y = x[group * self.width + index];
                }
            }
        }
    }

    #[inline(always)]
    fn deinterleave<const WIDTH: usize>(self) {
        let channels = self.groups * WIDTH;
        for (x, y) in self.x.chunks_exact(channels).zip(self.y.chunks_exact_mut(channels)) {
            for (group, x) in x.as_chunks::<WIDTH>().0.iter().enumerate() {
                for (index, x) in x.iter().enumerate() {
                    y[index * self.groups + group] = *x;
                }
            }
        }
    }

    #[inline(always)]
    fn transpose(self) {
        let channels = self.groups * self.width;
        for (x, y) in self.x.chunks_exact(channels).zip(self.y.chunks_exact_mut(channels)) {
            for (index, y) in y.chunks_exact_mut(self.groups).enumerate() {
                for (group, y) in y.iter_mut().enumerate() {
                    *y = x[group * self.width + index];
                }
            }
        }
    }
}
