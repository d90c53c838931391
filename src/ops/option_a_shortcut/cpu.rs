//! Both passes write every element once, one image row a task.

use rayon::prelude::*;

use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};
use crate::tensor::Shape;

/// `input` `[N, H, W, C]`, `output` `[N, OH, OW, C + 2 pad]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub stride: usize,
    pub pad: usize,
    pub input: Shape,
    pub output: Shape,
}

impl Geometry {
    /// `row` counts the rows of all images, of `height` each in what is written; gives (image, row in it).
    fn image_row(row: usize, height: usize) -> (usize, usize) {
        (row / height, row % height)
    }
}

/// `y[n, h, w, pad..pad + C] = x[n, stride h, stride w]`, zero elsewhere.
pub(super) fn shortcut<T: Element>(level: Level, geometry: Geometry, x: &[T], y: &mut [T]) {
    let Geometry { stride, input, output, .. } = geometry;
    let width = input[2] * input[3];
    y.par_chunks_mut(output[2] * output[3]).enumerate().for_each(|(row, y)| {
        let (image, h) = Geometry::image_row(row, output[1]);
        let x = &x[(image * input[1] + h * stride) * width..][..width];
        dispatch_on(level, Forward { geometry, x, y });
    });
}

/// `dx[n, stride h, stride w] = upstream[n, h, w, pad..pad + C]`, zero elsewhere.
pub(super) fn gradient<T: Element>(level: Level, geometry: Geometry, upstream: &[T], dx: &mut [T]) {
    let Geometry { stride, input, output, .. } = geometry;
    let width = output[2] * output[3];
    dx.par_chunks_mut(input[2] * input[3]).enumerate().for_each(|(row, dx)| {
        let (image, h) = Geometry::image_row(row, input[1]);
        if !h.is_multiple_of(stride) {
            dx.fill(T::ZERO);
            return;
        }
        let upstream = &upstream[(image * output[1] + h / stride) * width..][..width];
        dispatch_on(level, Backward { geometry, upstream, dx });
    });
}

struct Forward<'a, T> {
    geometry: Geometry,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Geometry { stride, pad, input, output } = self.geometry;
        let pixels = self.x.chunks_exact(input[3]).step_by(stride);
        for (x, y) in pixels.zip(self.y.chunks_exact_mut(output[3])) {
            y[..pad].fill(T::ZERO);
            y[pad..pad + input[3]].copy_from_slice(x);
            y[pad + input[3]..].fill(T::ZERO);
        }
    }
}

struct Backward<'a, T> {
    geometry: Geometry,
    upstream: &'a [T],
    dx: &'a mut [T],
}

impl<T: Element> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Geometry { stride, pad, input, output } = self.geometry;
        for (w, dx) in self.dx.chunks_exact_mut(input[3]).enumerate() {
            if w.is_multiple_of(stride) {
                dx.copy_from_slice(&self.upstream[w / stride * output[3] + pad..][..input[3]]);
            } else {
                dx.fill(T::ZERO);
            }
        }
    }
}
