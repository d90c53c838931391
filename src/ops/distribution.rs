//! What every loss does with a row of logits: the softmax of one image's classes at a temperature.

use crate::simd::Element;

/// The largest element of a row of logits.
#[inline]
pub(crate) fn largest<T: Element>(row: &[T]) -> T {
    row.iter().copied().fold(T::NEG_INFINITY, |most, x| x.maximum(most))
}

/// Writes `softmax(row / temperature)` to `out` and returns `ln sum exp(row / temperature)` (Goodfellow et al.,
/// "Deep Learning", section 4.1: the largest element is subtracted first).
#[inline]
pub(crate) fn softmax<T: Element>(row: &[T], temperature: T, out: &mut [T]) -> T {
    let most = largest(row);
    let scale = T::ONE / temperature;
    let mut sum = T::ZERO;
    for (to, from) in out.iter_mut().zip(row) {
        *to = ((*from - most) * scale).exp();
        sum += *to;
    }
    let inverse = T::ONE / sum;
    out.iter_mut().for_each(|x| *x *= inverse);
    most * scale + sum.ln()
}

/// `ln sum exp(row / temperature)`.
#[inline]
pub(crate) fn log_sum_exp<T: Element>(row: &[T], temperature: T) -> T {
    let most = largest(row);
    let scale = T::ONE / temperature;
    let mut sum = T::ZERO;
    for x in row {
        sum += ((*x - most) * scale).exp();
    }
    most * scale + sum.ln()
}
