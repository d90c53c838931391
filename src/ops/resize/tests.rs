//! Resized maps against PyTorch's numbers, and gradients.

use super::*;
use crate::ops::testing::{normal, on_threads, run_tape};
use crate::tape::check::check_gradients;

/// `(in, out)` along an axis: whole ratios up and down, odd ones, a single pixel.
const SIZES: [(usize, usize); 9] = [(2, 4), (4, 2), (3, 5), (5, 3), (1, 4), (4, 1), (7, 21), (8, 7), (6, 6)];

#[test]
fn an_input_is_read_by_the_outputs_that_say_so() {
    for mode in [Mode::Nearest, Mode::Bilinear] {
        for (input, output) in SIZES {
            let axis = Axis { mode, input, output };
            for at in 0..input {
                for by in (0..output).filter(|by| axis.weight(*by, at) > 0.0) {
                    assert!(axis.readers(at).contains(&by), "{axis:?}: {by} reads {at}, not in {:?}", axis.readers(at));
                }
            }
            let all = |by: usize| (0..input).map(|at| axis.weight(by, at)).sum::<f64>();
            assert!((0..output).all(|by| (all(by) - 1.0).abs() < 1e-15), "{axis:?}");
        }
    }
}

#[test]
fn maps_are_those_of_pytorch() {
    // torch.nn.functional.interpolate of [[0, 1, 2], [3, 4, 5]] (H = 2, W = 3) to 3 x 5, bilinear and nearest.
    let x = [(Shape::from([1, 2, 3, 1]), vec![0.0f64, 1.0, 2.0, 3.0, 4.0, 5.0])];
    let y = run_tape(&x, |tape, x| Ok(vec![tape.resize_bilinear(x[0], 3, 5)?, tape.resize_nearest(x[0], 3, 5)?]));
    let columns = [0.0, 0.4, 1.0, 1.6, 2.0];
    for (row, shift) in [0.0, 1.5, 3.0].into_iter().enumerate() {
        for (column, value) in columns.into_iter().enumerate() {
            let made = y[0][row * 5 + column];
            assert!((made - (value + shift)).abs() < 1e-14, "{row}, {column}: {made}");
        }
    }
    assert_eq!(y[1], [0.0, 0.0, 1.0, 1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0]);
}

#[test]
fn channels_and_images_stay_apart() {
    // Each channel of each image alone gives what they give together, on any number of threads.
    let (shape, count) = (Shape::from([3, 5, 4, 6]), 3 * 5 * 4 * 6);
    let x: Vec<f32> = normal(1, 1, count, 0.0);
    let run = |shape: Shape, x: Vec<f32>| {
        run_tape(&[(shape, x)], |tape, x| {
            let y = tape.resize_bilinear(x[0], 7, 9)?;
            Ok(vec![y, tape.resize_nearest(y, 3, 5)?])
        })
    };
    let together = [1, 3].map(|threads| on_threads(threads, || run(shape, x.clone())));
    assert!(together[0] == together[1], "the same bits on any number of threads");
    for (image, channel) in (0..3).flat_map(|image| (0..6).map(move |channel| (image, channel))) {
        let own = |all: &[f32]| {
            let pixels = all.len() / 18;
            (0..pixels).map(|pixel| all[(image * pixels + pixel) * 6 + channel]).collect::<Vec<f32>>()
        };
        let alone = run(Shape::from([1, 5, 4, 1]), own(&x));
        for (alone, together) in alone.iter().zip(&together[0]) {
            assert!(*alone == own(together), "image {image}, channel {channel}");
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (height, width) in SIZES.into_iter().zip(SIZES.into_iter().rev()) {
        let shape = [Shape::from([2, height.0, width.0, 2])];
        check_gradients(1, &shape, |tape, _, x| tape.resize_bilinear(x[0], height.1, width.1));
        check_gradients(2, &shape, |tape, _, x| tape.resize_nearest(x[0], height.1, width.1));
    }
}
