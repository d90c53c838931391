//! One pass over gradients, velocities and weights.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::{GRADIENTS, Sgd, SgdOptions};
use crate::simd::{Element, Kernel, Simd, dispatch};
use crate::tape::Frame;

/// A piece of one parameter. All pointers are valid for `count` elements that no other piece touches.
struct Piece<T> {
    weight: *mut T,
    velocity: *mut T,
    gradient: *const T,
    count: usize,
    rate: T,
    options: SgdOptions,
}

impl<T: Element> Kernel<T> for Piece<T> {
    /// Whether all weights are finite.
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) -> bool {
        // SAFETY: the pointers are valid for `count` elements each and do not overlap.
        unsafe {
            let decay = S::splat(T::from_f64(self.options.weight_decay));
            let momentum = S::splat(T::from_f64(self.options.momentum));
            let step = S::splat(-self.rate);
            // w - w is zero for a finite w and not a number otherwise.
            let mut residue = S::zero();
            let mut index = 0;
            while index < self.count {
                let lanes = S::LANES.min(self.count - index);
                let mut weight = S::load_up_to(self.weight.add(index), lanes);
                let gradient = S::fma(decay, weight, S::load_up_to(self.gradient.add(index), lanes));
                let velocity = S::fma(momentum, S::load_up_to(self.velocity.add(index), lanes), gradient);
                let direction = if self.options.nesterov { S::fma(momentum, velocity, gradient) } else { velocity };
                weight = S::fma(step, direction, weight);
                residue = S::add(residue, S::sub(weight, weight));
                S::store_up_to(self.velocity.add(index), velocity, lanes);
                S::store_up_to(self.weight.add(index), weight, lanes);
                index += S::LANES;
            }
            let mut sums = [T::ZERO; 32];
            S::store(sums.as_mut_ptr(), residue);
            sums[..S::LANES].iter().all(|sum| *sum == T::ZERO)
        }
    }
}

pub(super) fn run<T: Element>(sgd: &Sgd, frame: &Frame<'_>) {
    let rate = frame.input::<T>(0)[0];
    let (loss, number) = (frame.input::<T>(1)[0], frame.input::<u32>(2)[0]);
    let broken = &mut frame.output::<u32>(0)[0];
    let finite = AtomicBool::new(loss.to_f64().is_finite());
    sgd.pieces.par_iter().for_each(|&(parameter, start, count)| {
        let piece = Piece {
            // Addresses only: pieces are disjoint, so no two tasks touch one element.
            weight: frame.output_ptr::<T>(1 + 2 * parameter).wrapping_add(start),
            velocity: frame.output_ptr::<T>(2 + 2 * parameter).wrapping_add(start),
            gradient: frame.input_ptr::<T>(GRADIENTS + parameter).wrapping_add(start),
            count,
            rate,
            options: sgd.options,
        };
        if !dispatch(piece) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    if !finite.load(Ordering::Relaxed) && *broken == 0 {
        *broken = number + 1;
    }
}
