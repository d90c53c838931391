//! Average pooling against its definition, PyTorch's numbers, and finite differences.

use super::*;
use crate::ops::testing::{assert_close, normal, on_threads, run_tape};
use crate::simd::Element;
use crate::tape::check::check_gradients;
use crate::tensor::DType;

/// The definition: zero-padded sums, one output at a time.
fn naive<T: Element>(pooling: &Pooling, x: &[T]) -> Vec<f64> {
    let (input, output) = (pooling.input, pooling.output);
    let mut y = Vec::new();
    for n in 0..output[0] {
        for oh in 0..output[1] {
            for ow in 0..output[2] {
                for c in 0..output[3] {
                    let (mut sum, mut count) = (0.0, 0.0);
                    let (rows, columns) = match pooling.windows {
                        Windows::Sliding { kernel, stride, padding } => {
                            let from = |o: usize| (o * stride) as isize - padding as isize;
                            (from(oh)..from(oh) + kernel as isize, from(ow)..from(ow) + kernel as isize)
                        }
                        Windows::Even => {
                            let bin = |o: usize, i: usize, n: usize| {
                                (o as f64 * i as f64 / n as f64).floor() as isize
                                    ..((o + 1) as f64 * i as f64 / n as f64).ceil() as isize
                            };
                            (bin(oh, input[1], output[1]), bin(ow, input[2], output[2]))
                        }
                    };
                    for h in rows {
                        for w in columns.clone() {
                            let inside = (0..input[1] as isize).contains(&h) && (0..input[2] as isize).contains(&w);
                            if inside {
                                let index = (n * input[1] + h as usize) * input[2] + w as usize;
                                sum += x[index * input[3] + c].to_f64();
                            }
                            count += if inside || pooling.counts_padding { 1.0 } else { 0.0 };
                        }
                    }
                    y.push(sum / count);
                }
            }
        }
    }
    y
}

fn cases() -> Vec<Pooling> {
    let mut cases = Vec::new();
    for (h, w, channels) in [(7, 5, 3), (8, 8, 16), (6, 9, 21), (4, 4, 40)] {
        let input = Shape::from([2, h, w, channels]);
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (4, 3, 2), (1, 2, 0)] {
            let (windows, oh) = Windows::sliding(h, kernel, stride, padding).unwrap();
            let ow = Windows::sliding(w, kernel, stride, padding).unwrap().1;
            let output = Shape::from([2, oh, ow, channels]);
            cases.push(Pooling { windows, counts_padding: true, input, output });
            cases.push(Pooling { windows, counts_padding: false, input, output });
        }
        for (oh, ow) in [(1, 1), (2, 3), (5, 4), (9, 11)] {
            let output = Shape::from([2, oh, ow, channels]);
            cases.push(Pooling { windows: Windows::Even, counts_padding: false, input, output });
        }
    }
    cases
}

#[test]
fn kernels_follow_the_definition() {
    for pooling in cases() {
        let x: Vec<f32> = normal(4, 1, pooling.input.count(), 0.3);
        let expected = naive(&pooling, &x);
        for level in Level::ALL {
            let mut y = vec![f32::NAN; pooling.output.count()];
            avg_pool_on(1, level, pooling, &x, &mut y);
            assert_close(&format!("{pooling:?} {level}"), &y, &expected, 1e-6);
            let mut again = y.clone();
            avg_pool_on(3, level, pooling, &x, &mut again);
            assert!(y == again, "{pooling:?} on three threads, {level}");
        }
    }
}

fn avg_pool_on(threads: usize, level: Level, pooling: Pooling, x: &[f32], y: &mut [f32]) {
    on_threads(threads, || cpu::avg_pool(level, pooling, x, y));
}

/// `sum(upstream * avg_pool(x)) = sum(gradient(upstream) * x)`: the passes are transposes of each other.
#[test]
fn backward_is_the_transpose_of_forward() {
    for pooling in cases() {
        let x: Vec<f64> = normal(6, 1, pooling.input.count(), 0.0);
        let upstream: Vec<f64> = normal(6, 2, pooling.output.count(), 0.0);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let expected = dot(&upstream, &naive(&pooling, &x));
        for level in Level::ALL {
            let mut dx = vec![f64::NAN; x.len()];
            cpu::gradient(level, pooling, &upstream, None, &mut dx);
            let actual = dot(&dx, &x);
            assert!((actual - expected).abs() <= 1e-10 * (1.0 + expected.abs()), "{pooling:?} {level}");
        }
    }
}

/// `torch.nn.functional.avg_pool2d(torch.arange(9.).view(1, 1, 3, 3), 3, 2, 1)`, and with `count_include_pad=False`.
#[test]
fn padding_counts_as_in_pytorch() {
    let x: Vec<f64> = (0..9).map(f64::from).collect();
    let inputs = [(Shape::from([1, 3, 3, 1]), x)];
    let counted = run_tape(&inputs, |tape, x| Ok(vec![tape.avg_pool(x[0], 3, 2, 1, true)?]));
    assert_close("counted", &counted[0], &[8.0 / 9.0, 12.0 / 9.0, 20.0 / 9.0, 24.0 / 9.0], 1e-15);
    let skipped = run_tape(&inputs, |tape, x| Ok(vec![tape.avg_pool(x[0], 3, 2, 1, false)?]));
    assert_close("skipped", &skipped[0], &[2.0, 3.0, 5.0, 6.0], 1e-15);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let shape = Shape::from([2, 5, 4, 3]);
    check_gradients(1, &[shape], |tape, _, x| tape.avg_pool(x[0], 3, 2, 1, true));
    check_gradients(2, &[shape], |tape, _, x| tape.avg_pool(x[0], 3, 2, 1, false));
    check_gradients(3, &[shape], |tape, _, x| tape.adaptive_avg_pool(x[0], 1, 1));
    check_gradients(4, &[shape], |tape, _, x| tape.adaptive_avg_pool(x[0], 3, 3));
    check_gradients(5, &[shape], |tape, _, x| {
        let y = tape.avg_pool(x[0], 3, 1, 1, true)?;
        tape.add(x[0], y)
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut layout = crate::tape::StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let flat = layout.declare("flat", DType::F32, [2, 8]);
    let image = layout.declare("image", DType::F32, [2, 3, 3, 8]);
    let (flat, image) = (tape.state(&layout, flat), tape.state(&layout, image));
    assert!(tape.avg_pool(flat, 2, 2, 0, true).unwrap_err().to_string().contains("[N, H, W, C]"));
    assert!(tape.avg_pool(image, 4, 2, 0, true).unwrap_err().to_string().contains("does not fit"));
    assert!(tape.adaptive_avg_pool(image, 0, 1).is_err());
}
