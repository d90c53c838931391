//! Both passes gather, one row of pixels a task: every pixel of the result is written once, channels innermost.

use rayon::prelude::*;

use super::Resize;
use crate::simd::Element;

/// `y` (`[N, H', W', C]`) from `x` (`[N, H, W, C]`).
pub(super) fn resize<T: Element>(resize: &Resize, x: &[T], y: &mut [T]) {
    let Resize { input, output, .. } = *resize;
    let [rows, columns] = resize.axes();
    let (width, channels, image) = (input[2], input[3], input.count() / input[0]);
    y.par_chunks_mut(output[2] * channels).enumerate().for_each(|(index, y)| {
        let x = &x[index / output[1] * image..][..image];
        let row = rows.tap(index % output[1]);
        for (at, y) in y.chunks_exact_mut(channels).enumerate() {
            let column = columns.tap(at);
            let pixel = |row: usize, column: usize| &x[(row * width + column) * channels..][..channels];
            let [a, b] = [column.first, column.second].map(|column| pixel(row.first, column));
            let [c, d] = [column.first, column.second].map(|column| pixel(row.second, column));
            let [down, across] = [row.share, column.share].map(T::from_f64);
            let [up, back] = [T::ONE - down, T::ONE - across];
            for (channel, y) in y.iter_mut().enumerate() {
                *y = up * (back * a[channel] + across * b[channel]) + down * (back * c[channel] + across * d[channel]);
            }
        }
    });
}

/// `dx` (`[N, H, W, C]`) from `upstream` (`[N, H', W', C]`): the sum over rows and, within, columns of outputs, in order.
pub(super) fn gradient<T: Element>(resize: &Resize, upstream: &[T], dx: &mut [T]) {
    let Resize { input, output, .. } = *resize;
    let [rows, columns] = resize.axes();
    let (channels, image) = (input[3], output.count() / output[0]);
    dx.par_chunks_mut(input[2] * channels).enumerate().for_each(|(index, dx)| {
        let upstream = &upstream[index / input[1] * image..][..image];
        let row = index % input[1];
        for (column, dx) in dx.chunks_exact_mut(channels).enumerate() {
            dx.fill(T::ZERO);
            for h in rows.readers(row) {
                let down = rows.weight(h, row);
                for w in columns.readers(column) {
                    let weight = T::from_f64(down * columns.weight(w, column));
                    let from = &upstream[(h * output[2] + w) * channels..][..channels];
                    dx.iter_mut().zip(from).for_each(|(dx, from)| *dx += weight * *from);
                }
            }
        }
    });
}
