//! Functions against PyTorch's values, and their gradients by finite differences.

use super::*;
use crate::ops::testing::run_tape;
use crate::tape::check::{check_gradients, check_gradients_from, random};
use crate::tensor::Shape;

const ALL: [Function; 13] = [
    Function::Exp,
    Function::Log,
    Function::Sqrt,
    Function::Square,
    Function::Abs,
    Function::Sigmoid,
    Function::Tanh,
    Function::Softplus,
    Function::SmoothL1,
    Function::Reciprocal,
    Function::Affine { scale: -1.5, shift: 0.25 },
    Function::AtLeast(0.3),
    Function::Above(0.3),
];

#[test]
fn values_are_those_of_pytorch() {
    // torch 2.15 in float64, at -2.25, -0.5, 0.3, 0.7 and 30; the first two as 2.25 and 0.5 for log and sqrt.
    let x = [-2.25, -0.5, 0.3, 0.7, 30.0];
    let positive = [2.25, 0.5, 0.3, 0.7, 30.0];
    #[allow(clippy::approx_constant)] // Measured, not named.
    let expected: [[f64; 5]; 13] = [
        [0.10539922456186433, 0.6065306597126334, 1.3498588075760032, 2.0137527074704766, 10686474581524.463],
        [0.8109302162163288, -0.6931471805599453, -1.2039728043259361, -0.35667494393873245, 3.4011973816621555],
        [1.5, 0.7071067811865476, 0.5477225575051661, 0.8366600265340756, 5.477225575051661],
        [5.0625, 0.25, 0.09, 0.48999999999999994, 900.0],
        [2.25, 0.5, 0.3, 0.7, 30.0],
        [0.09534946489910949, 0.3775406687981454, 0.574442516811659, 0.6681877721681662, 0.9999999999999065],
        [-0.9780261147388136, -0.46211715726000974, 0.2913126124515909, 0.6043677771171635, 1.0],
        [0.10020655891674721, 0.4740769841801067, 0.8543552444685272, 1.103186048885458, 30.000000000000092],
        [1.75, 0.125, 0.045, 0.24499999999999997, 29.5],
        [-0.4444444444444444, -2.0, 3.3333333333333335, 1.4285714285714286, 0.03333333333333333],
        [3.625, 1.0, -0.19999999999999996, -0.7999999999999998, -44.75],
        [0.3, 0.3, 0.3, 0.7, 30.0],
        [0.0, 0.0, 0.0, 1.0, 1.0],
    ];
    for (function, expected) in ALL.into_iter().zip(expected) {
        let x = if matches!(function, Function::Log | Function::Sqrt) { positive } else { x };
        let y = run_tape::<f64>(&[(Shape::from([5]), x.to_vec())], |tape, x| Ok(vec![tape.map(x[0], function)?]));
        for (y, expected) in y[0].iter().zip(expected) {
            assert!(
                (y - expected).abs() <= 4.0 * f64::EPSILON * expected.abs(),
                "{function:?}: {y}, expected {expected}"
            );
        }
    }
}

#[test]
fn gradients_match_differences() {
    let shape = Shape::from([3, 1, 7]);
    for function in ALL.into_iter().filter(|function| function.source() != Source::Nothing) {
        let make = |tensor, index| match function {
            Function::Log | Function::Sqrt => random(11, tensor, index).abs(),
            // Away from the corners at 0.3 and 1.
            _ => random(11, tensor, index) + 1e-3,
        };
        check_gradients_from(11, &[shape], make, |tape, _, x| tape.map(x[0], function));
    }
    // In place, and with the gradients of two users summed in the last of them.
    check_gradients(12, &[shape, shape], |tape, _, x| {
        let sum = tape.add(x[0], x[1])?;
        let squashed = tape.tanh(sum)?;
        let swollen = tape.exp(sum)?;
        tape.add(squashed, swollen)
    });
}

#[test]
fn what_is_masked_out_leaves_no_not_a_number() {
    let zeros = (Shape::from([4]), vec![0.0f32; 4]);
    for function in [Function::Sqrt, Function::Log, Function::Reciprocal] {
        let found = run_tape(&[zeros.clone(), zeros.clone()], |tape, x| {
            let y = tape.map(x[0], function)?;
            let gradients = tape.backward(&[(y, x[1])], &[x[0]])?;
            Ok(vec![gradients[0].expect("a gradient flows")])
        });
        assert_eq!(found[0], [0.0; 4], "{function:?}");
    }
    // A norm that is kept away from zero: its gradient is finite, and zero below the bound.
    let found = run_tape(&[(Shape::from([2]), vec![0.0f32, 4.0]), (Shape::from([2]), vec![1.0; 2])], |tape, x| {
        let bounded = tape.at_least(x[0], 1e-12)?;
        let y = tape.sqrt(bounded)?;
        let gradients = tape.backward(&[(y, x[1])], &[x[0]])?;
        Ok(vec![gradients[0].expect("a gradient flows")])
    });
    assert_eq!(found[0], [0.0, 0.25]);
}

#[test]
fn corners_and_not_a_number() {
    let x = vec![f32::NAN, 0.3, -0.0, f32::INFINITY, f32::NEG_INFINITY, 100.0, -200.0];
    let at =
        |function| run_tape(&[(Shape::from([7]), x.clone())], |tape, x| Ok(vec![tape.map(x[0], function)?])).remove(0);
    for function in ALL.into_iter().filter(|function| !matches!(function, Function::Above(_))) {
        assert!(at(function)[0].is_nan(), "{function:?} hides what is not a number");
    }
    assert_eq!(at(Function::Above(0.3))[..5], [0.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(at(Function::AtLeast(0.3))[1..5], [0.3, 0.3, f32::INFINITY, 0.3]);
    assert_eq!(at(Function::Sigmoid)[3..], [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(at(Function::Softplus)[3..], [f32::INFINITY, 0.0, 100.0, 0.0]);
    assert_eq!(at(Function::Tanh)[3..], [1.0, -1.0, 1.0, -1.0]);
    assert_eq!(at(Function::SmoothL1)[3..6], [f32::INFINITY, f32::INFINITY, 99.5]);
}

#[test]
fn integers_are_refused() {
    let mut layout = crate::tape::StateLayout::new();
    let labels = layout.declare("labels", crate::tensor::DType::U32, Shape::from([3]));
    let mut tape = Tape::new(crate::tensor::DType::F32);
    let labels = tape.state(&layout, labels);
    let error = tape.exp(labels).unwrap_err().to_string();
    assert!(error.contains("exp takes f32 values, not labels of u32"), "{error}");
}
