//! One pass over gradients, moments and weights.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::{Adam, AdamOptions, GRADIENTS};
use crate::simd::Element;
use crate::tape::Frame;

/// A piece of one parameter.
struct Piece<'a, T> {
    weight: &'a mut [T],
    first: &'a mut [T],
    second: &'a mut [T],
    gradient: &'a [T],
}

impl<T: Element> Piece<'_, T> {
    /// Updates the piece; whether all of its weights are finite.
    fn update(self, corrections: [T; 2], options: AdamOptions) -> bool {
        let [take_first, take_second] = options.betas.map(|beta| T::from_f64(1.0 - beta));
        let keep_second = T::from_f64(options.betas[1]);
        let (decay, epsilon) = (T::from_f64(options.weight_decay), T::from_f64(options.epsilon));
        let mut finite = true;
        let moments = self.first.iter_mut().zip(self.second);
        for ((weight, gradient), (first, second)) in self.weight.iter_mut().zip(self.gradient).zip(moments) {
            let gradient = *gradient + decay * *weight;
            *first += take_first * (gradient - *first);
            *second = keep_second * *second + take_second * gradient * gradient;
            *weight -= corrections[0] * (*first / (second.sqrt() * corrections[1] + epsilon));
            finite &= weight.is_finite();
        }
        finite
    }
}

pub(super) fn run<T: Element>(adam: &Adam, frame: &Frame<'_>) {
    let corrections = [frame.input::<T>(0)[0], frame.input::<T>(0)[1]];
    let (loss, number) = (frame.input::<T>(1)[0], frame.input::<u32>(2)[0]);
    let broken = &mut frame.output::<u32>(0)[0];
    let finite = AtomicBool::new(loss.is_finite());
    adam.pieces.par_iter().for_each(|&(parameter, start, count)| {
        let output = |index: usize| frame.output_ptr::<T>(1 + 3 * parameter + index).wrapping_add(start);
        let gradient = frame.input_ptr::<T>(GRADIENTS + parameter).wrapping_add(start);
        // SAFETY: pieces are disjoint parts of state that only this node updates, so each slice is the only one to
        // its elements; the recording function made sure that all four have the weight's shape.
        let piece = unsafe {
            Piece {
                weight: std::slice::from_raw_parts_mut(output(0), count),
                first: std::slice::from_raw_parts_mut(output(1), count),
                second: std::slice::from_raw_parts_mut(output(2), count),
                gradient: std::slice::from_raw_parts(gradient, count),
            }
        };
        if !piece.update(corrections, adam.options) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    if !finite.load(Ordering::Relaxed) && *broken == 0 {
        *broken = number + 1;
    }
}
