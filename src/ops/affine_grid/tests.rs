//! Against PyTorch, and the gradient against differences.

use super::*;
use crate::ops::testing::{assert_close, run_tape};
use crate::tape::StateLayout;
use crate::tape::check::check_gradients;
use crate::tensor::DType;

/// A shear with a shift, and a shift alone.
const THETA: [f64; 12] = [0.8, 0.3, -0.25, -0.2, 1.1, 0.4, 1.0, 0.0, 0.5, 0.0, 1.0, -0.6];

/// Computed with torch 2.15 in float64: `affine_grid(theta, (2, 1, 2, 3), align_corners=False)`. Points inside, between, on the
/// rim and outside of a map.
pub(in crate::ops) const GRID: [f64; 24] = [
    -0.933333333333,
    -0.016666666667,
    -0.4,
    -0.15,
    0.133333333333,
    -0.283333333333,
    -0.633333333333,
    1.083333333333,
    -0.1,
    0.95,
    0.433333333333,
    0.816666666667,
    -0.166666666667,
    -1.1,
    0.5,
    -1.1,
    1.166666666667,
    -1.1,
    -0.166666666667,
    -0.1,
    0.5,
    -0.1,
    1.166666666667,
    -0.1,
];

/// [`GRID`], and computed as it is: the gradient of `theta` for the upstream gradient `((7 i) % 11 - 5) / 4` of element i.
#[test]
fn grid_and_gradient_are_those_of_pytorch() {
    let upstream: Vec<f64> = (0..24).map(|i| f64::from((7 * i) % 11 - 5) / 4.0).collect();
    let inputs = [(Shape::from([2, 2, 3]), THETA.to_vec()), (Shape::from([2, 2, 3, 2]), upstream)];
    let found = run_tape(&inputs, |tape, x| {
        let grid = tape.affine_grid(x[0], 2, 3)?;
        let gradient = tape.backward(&[(grid, x[1])], &[x[0]])?[0].expect("theta has a gradient");
        Ok(vec![grid, gradient])
    });
    let gradient =
        [0.166666666667, 0.625, -1.75, -1.666666666667, -0.75, 0.5, -1.666666666667, -0.75, 0.5, 2.0, -0.75, 0.0];
    assert_close("grid", &found[0], &GRID, 1e-11);
    assert_close("gradient", &found[1], &gradient, 1e-11);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    check_gradients(2, &[Shape::from([3, 2, 3])], |tape, _, x| tape.affine_grid(x[0], 3, 5));
    check_gradients(3, &[Shape::from([1, 2, 3])], |tape, _, x| tape.affine_grid(x[0], 1, 4));
}

#[test]
fn operands_are_looked_at() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let [theta, flat] = [Shape::from([1, 2, 3]), Shape::from([2, 3])].map(|shape| {
        let id = layout.declare(format!("theta {shape}"), DType::F32, shape);
        tape.state(&layout, id)
    });
    assert!(tape.affine_grid(flat, 4, 4).unwrap_err().to_string().contains("theta [N, 2, 3]"));
    assert!(tape.affine_grid(theta, 0, 4).unwrap_err().to_string().contains("0x4"));
}
