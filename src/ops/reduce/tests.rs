//! Against direct sums in f64, and gradients by finite differences.

use super::*;
use crate::ops::testing::{assert_close, normal, on_threads, run_tape};
use crate::tape::check::check_gradients;

/// The coordinates of element `index`.
fn coordinates(shape: Shape, index: usize) -> Vec<usize> {
    let mut rest = index;
    let mut found: Vec<usize> = (0..shape.rank())
        .rev()
        .map(|axis| {
            let coordinate = rest % shape[axis];
            rest /= shape[axis];
            coordinate
        })
        .collect();
    found.reverse();
    found
}

/// What is left of `x` where all elements that differ in `axes` alone are folded.
fn fold(shape: Shape, axes: &[usize], x: &[f64], start: f64, function: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let extents: Vec<usize> =
        (0..shape.rank()).map(|axis| if axes.contains(&axis) { 1 } else { shape[axis] }).collect();
    let mut folded = vec![start; extents.iter().product()];
    for (index, value) in x.iter().enumerate() {
        let place = coordinates(shape, index)
            .iter()
            .zip(&extents)
            .fold(0, |at, (coordinate, extent)| at * extent + if *extent == 1 { 0 } else { *coordinate });
        folded[place] = function(folded[place], *value);
    }
    folded
}

const CASES: [(&[usize], &[usize]); 10] = [
    (&[7], &[0]),
    (&[5, 37], &[1]),
    (&[5, 37], &[0]),
    (&[2, 3, 4, 5], &[1, 2]),
    (&[2, 3, 4, 5], &[0, 3]),
    (&[2, 3, 4, 5], &[3, 1]),
    (&[2, 3, 4, 5], &[0, 1, 2, 3]),
    (&[2, 1, 4, 1], &[1, 2]),
    (&[2, 1, 4, 1], &[3]),
    (&[3, 2], &[]),
];

#[test]
fn sums_and_means_are_those_of_all_elements() {
    for (seed, (shape, axes)) in CASES.into_iter().enumerate() {
        let shape = Shape::new(shape);
        let x = normal::<f64>(seed as u64, 0, shape.count(), 1.0);
        let found = run_tape(&[(shape, x.clone())], |tape, x| {
            let (sum, mean) = (tape.sum(x[0], axes)?, tape.mean(x[0], axes)?);
            let left: Vec<usize> =
                (0..shape.rank()).map(|axis| if axes.contains(&axis) { 1 } else { shape[axis] }).collect();
            assert_eq!((tape.shape(sum), tape.shape(mean)), (Shape::new(&left), Shape::new(&left)));
            Ok(vec![sum, mean, tape.total(x[0])?, tape.average(x[0])?])
        });
        let sums = fold(shape, axes, &x, 0.0, |a, b| a + b);
        let count = (shape.count() / sums.len()) as f64;
        let total = x.iter().sum::<f64>();
        assert_close("sum", &found[0], &sums, 1e-14);
        assert_close("mean", &found[1], &sums.iter().map(|sum| sum / count).collect::<Vec<_>>(), 1e-14);
        assert_close("total", &found[2], &[total], 1e-14);
        assert_close("average", &found[3], &[total / x.len() as f64], 1e-14);
    }
}

#[test]
fn long_axes_are_cut_and_added_precisely() {
    // Parts of the axis, of several columns, and several times; the last part is shorter.
    for shape in [[1, 300_001, 1], [3, 20_000, 1], [2, 7001, 5], [1, 40, 5000]] {
        let shape = Shape::from(shape);
        let x = normal::<f32>(8, 1, shape.count(), 0.5);
        let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let sums = fold(shape, &[1], &exact, 0.0, |a, b| a + b);
        let run = || run_tape(&[(shape, x.clone())], |tape, x| Ok(vec![tape.sum(x[0], &[1])?]));
        let found = on_threads(1, run);
        // Half a unit for each of at most 16384 / inner + 20 additions in a row, of which random signs leave the square root.
        assert_close("sum", &found[0], &sums, 2f64.powi(-24) * 4.0 * 128.0);
        assert_eq!(found, on_threads(5, run));
    }
}

#[test]
fn the_largest_is_found_and_the_first_of_them_gets_the_gradient() {
    for (shape, axis) in [([1, 7, 1], 1), ([5, 37, 1], 1), ([4, 9, 6], 1), ([4, 9, 6], 0), ([4, 9, 6], 2)] {
        let shape = Shape::from(shape);
        // Of few different values: the largest is often there twice.
        let x: Vec<f64> = normal::<f64>(9, axis as u64, shape.count(), 0.0).iter().map(|x| x.round()).collect();
        let most = fold(shape, &[axis], &x, f64::NEG_INFINITY, f64::max);
        let upstream: Vec<f64> = (0..most.len()).map(|index| 1.0 + index as f64).collect();
        let left = without(shape, axis..=axis);
        let found = run_tape(&[(shape, x.clone()), (left, upstream)], |tape, x| {
            let y = tape.max(x[0], axis)?;
            assert_eq!(tape.shape(y), left);
            let gradients = tape.backward(&[(y, x[1])], &[x[0]])?;
            Ok(vec![y, gradients[0].expect("a gradient flows")])
        });
        assert_eq!(found[0], most);
        let mut taken = vec![false; most.len()];
        for (index, gradient) in found[1].iter().enumerate() {
            let mut place = coordinates(shape, index);
            place[axis] = 0;
            let place = place.iter().zip(left.extents()).fold(0, |at, (coordinate, extent)| at * extent + coordinate);
            let is_first = x[index] == most[place] && !taken[place];
            taken[place] |= is_first;
            assert_eq!(
                *gradient,
                if is_first { 1.0 + place as f64 } else { 0.0 },
                "{shape} axis {axis} element {index}"
            );
        }
    }
}

#[test]
fn what_is_not_a_number_is_the_largest() {
    let x =
        (Shape::from([2, 4]), vec![1.0f32, f32::NAN, 3.0, f32::NAN, f32::NEG_INFINITY, f32::NEG_INFINITY, -2.0, -2.0]);
    let found = run_tape(&[x, (Shape::from([2, 1]), vec![5.0, 6.0])], |tape, x| {
        let y = tape.max(x[0], 1)?;
        let gradients = tape.backward(&[(y, x[1])], &[x[0]])?;
        Ok(vec![y, gradients[0].expect("a gradient flows")])
    });
    assert!(found[0][0].is_nan() && found[0][1] == -2.0, "{:?}", found[0]);
    assert_eq!(found[1], [0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 6.0, 0.0]);
}

#[test]
fn gradients_match_differences() {
    for (seed, (shape, axes)) in CASES.into_iter().enumerate() {
        let (seed, shape) = (seed as u64, Shape::new(shape));
        check_gradients(seed, &[shape], |tape, _, x| tape.sum(x[0], axes));
        check_gradients(seed, &[shape], |tape, _, x| tape.mean(x[0], axes));
        check_gradients(seed, &[shape], |tape, _, x| tape.total(x[0]));
        check_gradients(seed, &[shape], |tape, _, x| tape.average(x[0]));
        check_gradients(seed, &[shape], |tape, _, x| tape.max(x[0], shape.rank() - 1));
    }
    // The cosine of two rows: means, norms kept away from zero, and a broadcast in one.
    let shape = Shape::from([3, 5]);
    check_gradients(30, &[shape, shape], |tape, _, x| {
        let product = tape.multiply(x[0], x[1])?;
        let dot = tape.sum(product, &[1])?;
        let mut norms = Vec::new();
        for x in x {
            let squares = tape.square(*x)?;
            let sum = tape.sum(squares, &[1])?;
            let bounded = tape.at_least(sum, 1e-12)?;
            norms.push(tape.sqrt(bounded)?);
        }
        let scale = tape.multiply(norms[0], norms[1])?;
        let cosine = tape.divide(dot, scale)?;
        tape.average(cosine)
    });
}

#[test]
fn axes_that_are_not_there_are_refused() {
    run_tape(&[(Shape::from([2, 3]), vec![1.0f32; 6])], |tape, x| {
        let error = tape.sum(x[0], &[0, 2]).unwrap_err().to_string();
        assert!(error.contains("sum over axis 2 of a value of shape [2, 3]"), "{error}");
        assert!(tape.mean(x[0], &[2]).is_err() && tape.max(x[0], 2).is_err());
        Ok(vec![x[0]])
    });
}
