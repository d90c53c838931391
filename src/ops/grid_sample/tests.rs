//! Against PyTorch, gradients against differences, and the same bits on any number of threads.

use super::*;
use crate::ops::affine_grid::tests::GRID;
use crate::ops::testing::{assert_close, normal, on_threads, run_tape};
use crate::tape::StateLayout;
use crate::tape::check::{check_gradients_from, random};
use crate::tensor::DType;

/// Computed with torch 2.15 in float64: `grid_sample(x, grid, "bilinear", "zeros", align_corners=False)` of
/// `x[i] = ((5 i) % 13 - 6) / 3` in the order [N, H, W, C] = [2, 3, 4, 2], and the gradients for the upstream gradient
/// `((3 i) % 7 - 3) / 2` of element i.
#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let x: Vec<f64> = (0..48).map(|i| f64::from((5 * i) % 13 - 6) / 3.0).collect();
    let upstream: Vec<f64> = (0..24).map(|i| f64::from((3 * i) % 7 - 3) / 2.0).collect();
    let inputs = [
        (Shape::from([2, 3, 4, 2]), x),
        (Shape::from([2, 2, 3, 2]), GRID.to_vec()),
        (Shape::from([2, 2, 3, 2]), upstream),
    ];
    let found = run_tape(&inputs, |tape, x| {
        let y = tape.grid_sample(x[0], x[1])?;
        let gradients = tape.backward(&[(y, x[2])], &[x[0], x[1]])?;
        Ok([Some(y)].into_iter().chain(gradients).map(|value| value.expect("both have a gradient")).collect())
    });
    let y = [
        -1.060833333333,
        -0.005277777778,
        0.591666666667,
        -0.775,
        0.758333333333,
        -0.496388888889,
        -0.208333333333,
        0.0375,
        0.9775,
        -0.555833333333,
        0.490833333333,
        -0.344444444444,
        -0.505555555556,
        -0.175,
        0.291666666667,
        0.116666666667,
        0.019444444444,
        0.116666666667,
        -1.161111111111,
        -0.216666666667,
        1.116666666667,
        -1.225,
        0.102777777778,
        -0.233333333333,
    ];
    let d_x = [
        0.0775,
        -0.03375,
        0.335416666667,
        -0.177916666667,
        0.325833333333,
        -0.325833333333,
        0.0,
        0.0,
        -0.5775,
        -0.11625,
        0.947916666667,
        -0.405416666667,
        0.440833333333,
        -0.440833333333,
        0.0,
        0.0,
        0.14375,
        -0.43125,
        0.04375,
        0.4725,
        -0.245416666667,
        0.749583333333,
        -0.142083333333,
        0.284166666667,
        0.0,
        0.0,
        -0.166666666667,
        0.020833333333,
        -0.258333333333,
        -0.108333333333,
        -0.1375,
        -0.104166666667,
        0.0,
        0.0,
        0.708333333333,
        -0.708333333333,
        0.354166666667,
        -0.779166666667,
        0.2125,
        -0.425,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
    ];
    let d_grid = [
        5.025,
        -0.475,
        11.0,
        0.5,
        -3.683333333333,
        4.983333333333,
        2.375,
        0.641666666667,
        -1.725,
        2.175,
        5.941666666667,
        1.141666666667,
        -2.683333333333,
        1.791666666667,
        1.05,
        -1.875,
        0.35,
        -0.125,
        8.666666666667,
        0.0,
        0.05,
        4.375,
        4.2,
        -1.5,
    ];
    // The grid is given to twelve digits.
    assert_close("y", &found[0], &y, 1e-10);
    assert_close("d_x", &found[1], &d_x, 1e-10);
    assert_close("d_grid", &found[2], &d_grid, 1e-10);
}

/// Points at least 0.02 of a pixel away from every pixel's line, where the slope jumps, on both sides of all edges.
fn point(tensor: u64, index: u64, extent: f64) -> f64 {
    let place = (1.0 + 0.2 * random(7, tensor, index)) * extent * 0.8 * ((index as f64 * 0.37).fract() - 0.1) - 0.5;
    let away = place.floor() + place.rem_euclid(1.0).clamp(0.02, 0.98);
    (2.0 * away + 1.0) / extent - 1.0
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (x, grid) in [([2, 3, 5, 3], [2, 4, 3, 2]), ([3, 4, 2, 2], [1, 3, 4, 2]), ([1, 1, 1, 1], [1, 2, 2, 2])] {
        let extents = [x[2] as f64, x[1] as f64];
        let make = |tensor: u64, index: u64| match tensor {
            0 => random(4, tensor, index),
            _ => point(tensor, index, extents[index as usize % 2]),
        };
        let build = |tape: &mut Tape, _: &mut StateLayout, x: &[ValueId]| tape.grid_sample(x[0], x[1]);
        check_gradients_from(4, &[Shape::from(x), Shape::from(grid)], make, build);
    }
}

/// The grid that moves nothing, and points far away, infinite or not numbers.
#[test]
fn what_stands_still_stays_and_what_lies_outside_is_zero() {
    let shape = Shape::from([2, 5, 4, 3]);
    let x: Vec<f64> = normal(1, 1, shape.count(), 0.0);
    let identity = (Shape::from([1, 2, 3]), vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let found = run_tape(&[(shape, x.clone()), identity], |tape, x| {
        let grid = tape.affine_grid(x[1], 5, 4)?;
        Ok(vec![tape.grid_sample(x[0], grid)?])
    });
    assert_close("identity", &found[0], &x, 1e-15);
    let outside = [2.0, 0.0, 0.0, -9.0, 1e300, 0.0, f64::INFINITY, 0.0, 0.0, f64::NEG_INFINITY, f64::NAN, 0.0];
    let grid = (Shape::from([1, 1, 6, 2]), outside.to_vec());
    let ones = (Shape::from([2, 1, 6, 3]), vec![1.0; 36]);
    let found = run_tape(&[(shape, x), grid, ones], |tape, x| {
        let y = tape.grid_sample(x[0], x[1])?;
        let gradients = tape.backward(&[(y, x[2])], &[x[0], x[1]])?;
        Ok([Some(y)].into_iter().chain(gradients).flatten().collect())
    });
    assert_eq!(found.len(), 3);
    assert!(found.iter().flatten().all(|value| *value == 0.0));
}

#[test]
fn any_number_of_threads_leaves_the_same_bits() {
    let (map, points) = (Shape::from([5, 7, 6, 9]), Shape::from([1, 8, 11, 2]));
    let x: Vec<f32> = normal(2, 1, map.count(), 0.0);
    let grid: Vec<f32> = normal(2, 2, points.count(), 0.0);
    let upstream = (Shape::from([5, 8, 11, 9]), normal(2, 3, 5 * 8 * 11 * 9, 0.0));
    let inputs = [(map, x), (points, grid), upstream];
    let run = |threads| {
        on_threads(threads, || {
            run_tape(&inputs, |tape, x| {
                let y = tape.grid_sample(x[0], x[1])?;
                let gradients = tape.backward(&[(y, x[2])], &[x[0], x[1]])?;
                Ok([Some(y)].into_iter().chain(gradients).flatten().collect())
            })
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn operands_are_looked_at() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let [x, two, three] = [[3, 4, 4, 1], [2, 4, 4, 2], [3, 4, 4, 3]].map(|shape| {
        let id = layout.declare(format!("{shape:?}"), DType::F32, shape);
        tape.state(&layout, id)
    });
    assert!(tape.grid_sample(x, two).unwrap_err().to_string().contains("3 images"));
    assert!(tape.grid_sample(x, three).unwrap_err().to_string().contains("[N, h, w, 2]"));
}
