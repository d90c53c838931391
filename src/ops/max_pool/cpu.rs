//! Forward gathers a row of outputs, backward scatters an image; a vector of channels at a time.

use rayon::prelude::*;

use crate::ops::windows::Windows;
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};
use crate::tensor::Shape;

/// What is pooled: `input` `[N, H, W, C]` to `output` `[N, OH, OW, C]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pooling {
    pub windows: Windows,
    pub input: Shape,
    pub output: Shape,
}

/// `y` (`[N, OH, OW, C]`) from `x` (`[N, H, W, C]`), one image row of outputs a task.
pub(super) fn max_pool<T: Element>(level: Level, pooling: Pooling, x: &[T], y: &mut [T]) {
    let (height, row) = (pooling.output[1], pooling.output[2] * pooling.output[3]);
    let image = pooling.input.count() / pooling.input[0];
    y.par_chunks_mut(row).enumerate().for_each(|(index, y)| {
        let x = &x[index / height * image..][..image];
        dispatch_on(level, Forward { pooling, x, row: index % height, y });
    });
}

/// `dx` (`[N, H, W, C]`) from `upstream` and `y` (`[N, OH, OW, C]`), one image a task: windows may overlap.
pub(super) fn gradient<T: Element>(level: Level, pooling: Pooling, upstream: &[T], x: &[T], y: &[T], dx: &mut [T]) {
    let image = pooling.input.count() / pooling.input[0];
    let pooled = pooling.output.count() / pooling.output[0];
    dx.par_chunks_mut(image).enumerate().for_each(|(index, dx)| {
        let x = &x[index * image..][..image];
        let outputs = index * pooled..(index + 1) * pooled;
        dispatch_on(level, Backward { pooling, upstream: &upstream[outputs.clone()], x, y: &y[outputs], dx });
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
        let Self { pooling: Pooling { windows, input, output }, x, row, y } = self;
        let [width, channels] = [input[2], input[3]];
        let rows = windows.range(input[1], output[1], row);
        for out in 0..output[2] {
            let columns = windows.range(width, output[2], out);
            let mut channel = 0;
            while channel < channels {
                let lanes = S::LANES.min(channels - channel);
                // SAFETY: windows lie inside of the image, `channel + lanes` inside of the channels.
                unsafe {
                    let mut largest = S::splat(T::NEG_INFINITY);
                    for h in rows.clone() {
                        for w in columns.clone() {
                            let pixel = x.as_ptr().add((h * width + w) * channels + channel);
                            largest = S::max(S::load_up_to(pixel, lanes), largest);
                        }
                    }
                    S::store_up_to(y.as_mut_ptr().add(out * channels + channel), largest, lanes);
                }
                channel += S::LANES;
            }
        }
    }
}

struct Backward<'a, T> {
    pooling: Pooling,
    upstream: &'a [T],
    x: &'a [T],
    y: &'a [T],
    dx: &'a mut [T],
}

impl<T: Element> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Self { pooling: Pooling { windows, input, output }, upstream, x, y, dx } = self;
        let [width, channels] = [input[2], input[3]];
        dx.fill(T::ZERO);
        for out in 0..output[1] * output[2] {
            let rows = windows.range(input[1], output[1], out / output[2]);
            let columns = windows.range(width, output[2], out % output[2]);
            let mut channel = 0;
            while channel < channels {
                let lanes = S::LANES.min(channels - channel);
                // SAFETY: windows lie inside of the image, `channel + lanes` inside of the channels.
                unsafe {
                    let largest = S::load_up_to(y.as_ptr().add(out * channels + channel), lanes);
                    // What has not met its maximum yet.
                    let mut rest = S::load_up_to(upstream.as_ptr().add(out * channels + channel), lanes);
                    for h in rows.clone() {
                        for w in columns.clone() {
                            let offset = (h * width + w) * channels + channel;
                            let below = S::sub(largest, S::load_up_to(x.as_ptr().add(offset), lanes));
                            let passed_on = S::where_positive(below, rest);
                            let to = dx.as_mut_ptr().add(offset);
                            let taken = S::sub(rest, passed_on);
                            S::store_up_to(to, S::add(S::load_up_to(to, lanes), taken), lanes);
                            rest = passed_on;
                        }
                    }
                }
                channel += S::LANES;
            }
        }
    }
}
