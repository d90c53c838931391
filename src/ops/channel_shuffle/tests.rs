//! The shuffle against its index formula, and its gradient.

use super::*;
use crate::ops::testing::{normal, on_threads};
use crate::tape::StateLayout;
use crate::tape::check::check_gradients;
use crate::tensor::{DType, Shape};

#[test]
fn channels_land_where_the_formula_says() {
    for (groups, channels) in [(2, 58), (3, 54), (4, 20), (5, 35), (29, 58), (18, 54), (5, 20), (7, 35), (2, 232)] {
        let rows = 201;
        let x: Vec<f32> = normal(2, 1, rows * channels, 0.0);
        for level in Level::ALL {
            for threads in [1, 3] {
                let mut y = vec![f32::NAN; x.len()];
                on_threads(threads, || cpu::shuffle(level, groups, channels, &x, &mut y));
                for (index, x) in x.iter().enumerate() {
                    let (row, c, width) = (index / channels, index % channels, channels / groups);
                    let to = (c % width) * groups + c / width;
                    assert!(y[row * channels + to] == *x, "{groups} groups of {channels}, channel {c}, row {row}");
                }
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (groups, channels) in [(2, 10), (3, 12), (5, 10), (7, 14)] {
        check_gradients(1, &[Shape::from([2, 3, channels])], |tape, _, x| tape.channel_shuffle(x[0], groups));
    }
}

#[test]
fn groups_must_divide_the_channels() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let id = layout.declare("x", DType::F32, [2, 8]);
    let x = tape.state(&layout, id);
    assert!(tape.channel_shuffle(x, 3).unwrap_err().to_string().contains("8 channels"));
    assert_eq!(tape.channel_shuffle(x, 1).unwrap(), x);
}
