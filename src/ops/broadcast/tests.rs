//! Against a direct walk over the output, and gradients by finite differences.

use super::*;
use crate::ops::testing::{normal, on_threads, run_tape};
use crate::tape::check::{check_gradients, check_gradients_from, random};

const SHAPES: [(&[usize], &[usize]); 9] = [
    (&[5, 3], &[5, 3]),
    (&[5, 3], &[]),
    (&[], &[5, 3]),
    (&[4, 7], &[7]),
    (&[4, 7], &[4, 1]),
    (&[4, 1], &[1, 7]),
    (&[2, 3, 2, 5], &[2, 1, 1, 5]),
    (&[2, 1, 4, 1], &[3, 1, 5]),
    (&[1], &[1, 1]),
];

/// `function` at every element of the output, by its coordinates.
fn direct(a: (Shape, &[f64]), b: (Shape, &[f64]), function: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let whole = together(a.0, b.0).unwrap();
    let element = |operand: (Shape, &[f64]), index: usize| {
        let (mut rest, mut offset, mut stride) = (index, 0, 1);
        for axis in 0..whole.rank() {
            let extent = whole[whole.rank() - 1 - axis];
            let coordinate = rest % extent;
            rest /= extent;
            if axis < operand.0.rank() {
                let own = operand.0[operand.0.rank() - 1 - axis];
                offset += if own == 1 { 0 } else { coordinate * stride };
                stride *= own;
            }
        }
        operand.1[offset]
    };
    (0..whole.count()).map(|index| function(element(a, index), element(b, index))).collect()
}

#[test]
fn elements_meet_as_in_numpy() {
    type Record = fn(&mut Tape, ValueId, ValueId) -> Result<ValueId>;
    #[allow(clippy::type_complexity)] // What is recorded, and what it means.
    let functions: [(Record, fn(f64, f64) -> f64); 7] = [
        (Tape::add, |a, b| a + b),
        (Tape::subtract, |a, b| a - b),
        (Tape::multiply, |a, b| a * b),
        (Tape::divide, |a, b| a / b),
        (Tape::maximum, f64::max),
        (Tape::greater, |a, b| f64::from(a > b)),
        (Tape::less_or_equal, |a, b| f64::from(a <= b)),
    ];
    for (seed, (a, b)) in SHAPES.into_iter().enumerate() {
        let (a, b) = (Shape::new(a), Shape::new(b));
        // Of few different values: some are equal.
        let rounded = |tensor, count| {
            let values = normal::<f64>(seed as u64, tensor, count, 0.0).into_iter();
            values.map(|x| (2.0 * x).round() / 2.0 + 0.25).collect::<Vec<_>>()
        };
        let (first, second) = (rounded(1, a.count()), rounded(2, b.count()));
        for (index, (record, function)) in functions.into_iter().enumerate() {
            let build = |tape: &mut Tape, x: &[ValueId]| Ok(vec![record(tape, x[0], x[1])?]);
            let found = run_tape(&[(a, first.clone()), (b, second.clone())], build);
            assert_eq!(found[0], direct((a, &first), (b, &second), function), "function {index} of {a} and {b}");
        }
        let whole = together(a, b).unwrap();
        let found = run_tape(&[(a, first.clone())], |tape, x| Ok(vec![tape.broadcast(x[0], whole)?]));
        let zeros = vec![0.0; whole.count()];
        assert_eq!(found[0], direct((a, &first), (whole, &zeros), |a, _| a), "{a} to {whole}");
    }
}

#[test]
fn gradients_match_differences() {
    for (seed, (a, b)) in SHAPES.into_iter().enumerate() {
        let (seed, shapes) = (seed as u64, [Shape::new(a), Shape::new(b)]);
        check_gradients(seed, &shapes, |tape, _, x| tape.add(x[0], x[1]));
        check_gradients(seed, &shapes, |tape, _, x| tape.subtract(x[0], x[1]));
        check_gradients(seed, &shapes, |tape, _, x| tape.multiply(x[0], x[1]));
        check_gradients(seed, &shapes, |tape, _, x| tape.maximum(x[0], x[1]));
        // Away from where a quotient bends most.
        let away = |tensor, index| random(seed, tensor, index) + random(seed, tensor, index).signum() * 0.5;
        check_gradients_from(seed, &shapes, away, |tape, _, x| tape.divide(x[0], x[1]));
        let whole = together(shapes[0], shapes[1]).unwrap();
        check_gradients(seed, &shapes[..1], |tape, _, x| tape.broadcast(x[0], whole));
    }
    // In place, one value twice, and a value that is needed for the gradient.
    let shape = Shape::from([3, 5]);
    check_gradients(20, &[shape, Shape::from([5])], |tape, _, x| {
        let product = tape.multiply(x[0], x[0])?;
        let shifted = tape.subtract(product, x[1])?;
        let scaled = tape.scale(shifted, 0.5);
        tape.multiply(scaled, x[1])
    });
}

#[test]
fn of_equal_values_each_gets_half_of_the_gradient() {
    let of = |values: [f32; 3]| (Shape::from([3]), values.to_vec());
    let found = run_tape(&[of([1.0, 2.0, 3.0]), of([2.0, 2.0, 2.0]), of([4.0, 6.0, 8.0])], |tape, x| {
        let y = tape.maximum(x[0], x[1])?;
        let gradients = tape.backward(&[(y, x[2])], &x[..2])?;
        Ok(gradients.into_iter().map(|gradient| gradient.expect("it flows to both")).collect())
    });
    assert_eq!(found, [[0.0, 3.0, 8.0], [4.0, 3.0, 0.0]]);
}

#[test]
fn what_is_not_a_number_is_larger_and_compares_with_nothing() {
    let a = (Shape::from([3]), vec![f32::NAN, 1.0, f32::NAN]);
    let b = (Shape::from([3]), vec![1.0, f32::NAN, f32::NAN]);
    let found = run_tape(&[a, b], |tape, x| {
        Ok(vec![tape.maximum(x[0], x[1])?, tape.greater(x[0], x[1])?, tape.less_or_equal(x[0], x[1])?])
    });
    assert!(found[0].iter().all(|x| x.is_nan()), "{:?}", found[0]);
    assert_eq!(found[1..], [[0.0; 3], [0.0; 3]]);
}

#[test]
fn a_quotient_by_what_is_small_has_a_finite_gradient() {
    let of = |value: f32| (Shape::from([1]), vec![value]);
    // 1 / b^2 is more than a float32 holds.
    let found = run_tape(&[of(0.0), of(1e-25), of(0.0)], |tape, x| {
        let y = tape.divide(x[0], x[1])?;
        let gradients = tape.backward(&[(y, x[2])], &x[..2])?;
        Ok(gradients.into_iter().map(|gradient| gradient.expect("it flows to both")).collect())
    });
    assert_eq!(found, [[0.0], [0.0]]);
}

#[test]
fn threads_do_not_change_bits() {
    let (a, b) = (Shape::from([301, 7, 31]), Shape::from([301, 1, 31]));
    let inputs = [(a, normal::<f32>(3, 0, a.count(), 0.0)), (b, normal::<f32>(3, 1, b.count(), 2.0))];
    let run = || run_tape(&inputs, |tape, x| Ok(vec![tape.divide(x[0], x[1])?]));
    assert_eq!(on_threads(1, run), on_threads(7, run));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let values = |shape: &[usize]| (Shape::new(shape), vec![1.0f32; shape.iter().product()]);
    run_tape(&[values(&[2, 3]), values(&[2])], |tape, x| {
        let error = tape.multiply(x[0], x[1]).unwrap_err().to_string();
        assert!(error.contains("multiply does not take shapes [2, 3] and [2]"), "{error}");
        assert!(tape.add(x[0], x[1]).is_err());
        assert!(tape.broadcast(x[0], [3]).is_err() && tape.broadcast(x[1], [2, 3]).is_err());
        Ok(vec![x[0]])
    });
}
