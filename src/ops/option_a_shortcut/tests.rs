//! The shortcut against its index formula, and its gradient.

use super::*;
use crate::ops::testing::{normal, on_threads, run_tape};
use crate::tape::StateLayout;
use crate::tape::check::check_gradients;
use crate::tensor::DType;

#[test]
fn pixels_and_channels_land_where_they_belong() {
    for (h, w, channels, stride, pad) in [(4, 4, 16, 2, 8), (5, 7, 3, 2, 1), (6, 4, 5, 1, 2), (7, 7, 4, 3, 0)] {
        let x: Vec<f32> = normal(2, 1, 2 * h * w * channels, 0.0);
        let inputs = [(Shape::from([2, h, w, channels]), x.clone())];
        for threads in [1, 3] {
            let y = on_threads(threads, || {
                run_tape(&inputs, |tape, x| Ok(vec![tape.option_a_shortcut(x[0], channels + 2 * pad, stride)?]))
            });
            let (oh, ow, wide) = (h.div_ceil(stride), w.div_ceil(stride), channels + 2 * pad);
            assert_eq!(y[0].len(), 2 * oh * ow * wide);
            for (index, y) in y[0].iter().enumerate() {
                let (c, ow_at, oh_at) = (index % wide, index / wide % ow, index / wide / ow % oh);
                let n = index / wide / ow / oh;
                let expected = match c.checked_sub(pad) {
                    Some(c) if c < channels => x[((n * h + oh_at * stride) * w + ow_at * stride) * channels + c],
                    _ => 0.0,
                };
                assert!(*y == expected, "element {index} of {h} x {w} x {channels}, stride {stride}, pad {pad}");
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (shape, stride, pad) in [([2, 4, 4, 3], 2, 1), ([1, 5, 3, 4], 2, 2), ([2, 3, 4, 2], 1, 1)] {
        check_gradients(3, &[Shape::from(shape)], |tape, _, x| {
            tape.option_a_shortcut(x[0], shape[3] + 2 * pad, stride)
        });
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let id = layout.declare("x", DType::F32, [2, 4, 4, 8]);
    let x = tape.state(&layout, id);
    for (channels, stride) in [(16, 0), (4, 2), (11, 2)] {
        assert!(tape.option_a_shortcut(x, channels, stride).unwrap_err().to_string().contains("even number"));
    }
}
