//! Maximum pooling against its definition, with ties, and finite differences.

use super::*;
use crate::ops::testing::on_threads;
use crate::random::{Philox, Stream};
use crate::simd::Element;
use crate::tape::check::check_gradients_from;

/// Output and gradient by the definition, the first maximum of a window taking its gradient.
fn naive<T: Element>(pooling: &Pooling, x: &[T], upstream: &[T]) -> (Vec<T>, Vec<T>) {
    let (input, output) = (pooling.input, pooling.output);
    let (mut y, mut dx) = (Vec::new(), vec![T::ZERO; x.len()]);
    for (index, &upstream) in upstream.iter().enumerate() {
        let c = index % output[3];
        let ow = index / output[3] % output[2];
        let oh = index / output[3] / output[2] % output[1];
        let n = index / output[3] / output[2] / output[1];
        let mut best: Option<usize> = None;
        for h in pooling.windows.range(input[1], output[1], oh) {
            for w in pooling.windows.range(input[2], output[2], ow) {
                let here = ((n * input[1] + h) * input[2] + w) * input[3] + c;
                if best.is_none_or(|best| x[here] > x[best]) {
                    best = Some(here);
                }
            }
        }
        let best = best.unwrap();
        y.push(x[best]);
        dx[best] += upstream;
    }
    (y, dx)
}

fn compare<T: Element>() {
    let generator = Philox::new(17, Stream::Weights);
    for (h, w, channels) in [(7, 5, 3), (8, 8, 16), (6, 9, 21), (4, 4, 40)] {
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)] {
            let (windows, oh) = Windows::sliding(h, kernel, stride, padding).unwrap();
            let ow = Windows::sliding(w, kernel, stride, padding).unwrap().1;
            let input = Shape::from([3, h, w, channels]);
            let pooling = Pooling { windows, input, output: Shape::from([3, oh, ow, channels]) };
            // Few different values: many ties, as after a ReLU. Small integers: every sum is exact.
            let make = |tensor: u64, count: usize, spread: f64| -> Vec<T> {
                (0..count as u64).map(|i| T::from_f64((generator.uniform(tensor, i) * spread).floor() - 2.0)).collect()
            };
            let (x, upstream) = (make(1, input.count(), 4.0), make(2, pooling.output.count(), 50.0));
            let (expected, gradient) = naive(&pooling, &x, &upstream);
            for level in Level::ALL {
                for threads in [1, 3] {
                    let (mut y, mut dx) = (vec![T::ONE; expected.len()], vec![T::ONE; x.len()]);
                    on_threads(threads, || {
                        cpu::max_pool(level, pooling, &x, &mut y);
                        cpu::gradient(level, pooling, &upstream, &x, &y, &mut dx);
                    });
                    assert!(y == expected, "output of {pooling:?}, {level}, seed 17");
                    assert!(dx == gradient, "gradient of {pooling:?}, {level}, seed 17");
                }
            }
        }
    }
}

#[test]
fn f32_kernels_follow_the_definition() {
    compare::<f32>();
}

#[test]
fn f64_kernels_follow_the_definition() {
    compare::<f64>();
}

#[test]
fn gradients_are_those_of_finite_differences() {
    // A shuffled ramp: no two inputs of a window are near each other.
    let order = Philox::new(5, Stream::Shuffle).permutation(0, 120);
    let make = |_, index: u64| f64::from(order[index as usize]) / 10.0;
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1)] {
        check_gradients_from(5, &[Shape::from([2, 5, 4, 3])], make, |tape, _, x| {
            tape.max_pool(x[0], kernel, stride, padding)
        });
    }
}
