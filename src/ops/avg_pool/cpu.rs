//! Both passes gather: every output and every gradient is written once, a vector of channels at a time.

use rayon::prelude::*;

use crate::ops::windows::Windows;
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};
use crate::tensor::Shape;

/// What is averaged: `input` `[N, H, W, C]` to `output` `[N, OH, OW, C]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pooling {
    pub windows: Windows,
    /// The padding's zeros count as inputs.
    pub counts_padding: bool,
    pub input: Shape,
    pub output: Shape,
}

impl Pooling {
    /// What a window's sum is divided by.
    #[inline(always)]
    fn size(&self, row: usize, column: usize) -> usize {
        let along = |dimension: usize, index: usize| {
            let (input, output) = (self.input[dimension], self.output[dimension]);
            if self.counts_padding {
                self.windows.padded_length(input, output, index)
            } else {
                self.windows.range(input, output, index).len()
            }
        };
        along(1, row) * along(2, column)
    }
}

/// `y` (`[N, OH, OW, C]`) from `x` (`[N, H, W, C]`), one image row of outputs a task.
pub(super) fn avg_pool<T: Element>(level: Level, pooling: Pooling, x: &[T], y: &mut [T]) {
    let (height, row) = (pooling.output[1], pooling.output[2] * pooling.output[3]);
    let image = pooling.input.count() / pooling.input[0];
    y.par_chunks_mut(row).enumerate().for_each(|(index, y)| {
        let x = &x[index / height * image..][..image];
        dispatch_on(level, Forward { pooling, x, row: index % height, y });
    });
}

/// `dx` (`[N, H, W, C]`) from `upstream` (`[N, OH, OW, C]`), one image row of inputs a task; `addend` is shaped as `dx`.
pub(super) fn gradient<T: Element>(level: Level, pooling: Pooling, upstream: &[T], addend: Option<&[T]>, dx: &mut [T]) {
    let (height, row) = (pooling.input[1], pooling.input[2] * pooling.input[3]);
    let image = pooling.output.count() / pooling.output[0];
    dx.par_chunks_mut(row).enumerate().for_each(|(index, dx)| {
        let upstream = &upstream[index / height * image..][..image];
        let addend = addend.map(|addend| &addend[index * row..][..row]);
        dispatch_on(level, Backward { pooling, upstream, addend, row: index % height, dx });
    });
}

struct Forward<'a, T> {
    pooling: Pooling,
    x: &'a [T],
    row: usize,
    y: &'a mut [T],
}

impl<T: Element> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Self { pooling: Pooling { windows, input, output, .. }, x, row, y } = self;
        let [_, height, width, channels] = [input[0], input[1], input[2], input[3]];
        let rows = windows.range(height, output[1], row);
        for out in 0..output[2] {
            let columns = windows.range(width, output[2], out);
            let factor = T::ONE / T::from_f64(self.pooling.size(row, out) as f64);
            let mut channel = 0;
            while channel < channels {
                let lanes = S::LANES.min(channels - channel);
                // SAFETY: windows lie inside of the image, `channel + lanes` inside of the channels.
                unsafe {
                    let mut sum = S::zero();
                    for h in rows.clone() {
                        for w in columns.clone() {
                            let pixel = x.as_ptr().add((h * width + w) * channels + channel);
                            sum = S::add(sum, S::load_up_to(pixel, lanes));
                        }
                    }
                    let to = y.as_mut_ptr().add(out * channels + channel);
                    S::store_up_to(to, S::mul(sum, S::splat(factor)), lanes);
                }
                channel += S::LANES;
            }
        }
    }
}

struct Backward<'a, T> {
    pooling: Pooling,
    upstream: &'a [T],
    addend: Option<&'a [T]>,
    row: usize,
    dx: &'a mut [T],
}

impl<T: Element> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Self { pooling: Pooling { windows, input, output, .. }, upstream, addend, row, dx } = self;
        let channels = input[3];
        match addend {
            Some(addend) => dx.copy_from_slice(addend),
            None => dx.fill(T::ZERO),
        }
        let rows = windows.covering(input[1], output[1], row);
        for column in 0..input[2] {
            for h in rows.clone() {
                for w in windows.covering(input[2], output[2], column) {
                    let from = &upstream[(h * output[2] + w) * channels..][..channels];
                    let to = &mut dx[column * channels..][..channels];
                    let factor = T::ONE / T::from_f64(self.pooling.size(h, w) as f64);
                    let mut channel = 0;
                    while channel < channels {
                        let lanes = S::LANES.min(channels - channel);
                        // SAFETY: both slices hold `channels` elements.
                        unsafe {
                            let to = to.as_mut_ptr().add(channel);
                            let upstream = S::load_up_to(from.as_ptr().add(channel), lanes);
                            let sum = S::fma(upstream, S::splat(factor), S::load_up_to(to, lanes));
                            S::store_up_to(to, sum, lanes);
                        }
                        channel += S::LANES;
                    }
                }
            }
        }
    }
}
