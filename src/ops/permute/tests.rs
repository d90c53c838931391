//! Every permutation against its index formula, and gradients.

use super::*;
use crate::ops::testing::{normal, on_threads, run_tape};
use crate::tape::StateLayout;
use crate::tape::check::check_gradients;
use crate::tensor::DType;

/// All orders of `count` axes.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let insert = |order: &Vec<usize>, at: usize| {
        let mut longer = order.clone();
        longer.insert(at, count - 1);
        longer
    };
    shorter.iter().flat_map(|order| (0..count).map(move |at| insert(order, at))).collect()
}

#[test]
fn elements_are_where_the_formula_says() {
    for extents in [vec![7, 50], vec![3, 33, 18], vec![2, 5, 17, 3], vec![3, 1, 40, 2], vec![40, 40, 1, 40]] {
        let shape = Shape::new(&extents);
        let x: Vec<f32> = normal(1, 1, shape.count(), 0.0);
        for axes in orders(extents.len()) {
            for threads in [1, 3] {
                let inputs = [(shape, x.clone())];
                let y = on_threads(threads, || run_tape(&inputs, |tape, x| Ok(vec![tape.permute(x[0], &axes)?])));
                for (index, x) in x.iter().enumerate() {
                    let (mut place, mut rest) = (vec![0; extents.len()], index);
                    for axis in (0..extents.len()).rev() {
                        place[axis] = rest % extents[axis];
                        rest /= extents[axis];
                    }
                    let at = axes.iter().fold(0, |at, axis| at * extents[*axis] + place[*axis]);
                    assert!(y[0][at] == *x, "{extents:?} by {axes:?}: element {place:?}");
                }
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    check_gradients(1, &[Shape::from([2, 3, 4, 3])], |tape, _, x| tape.permute(x[0], &[2, 0, 3, 1]));
    check_gradients(2, &[Shape::from([3, 1, 4])], |tape, _, x| tape.permute(x[0], &[1, 0, 2]));
}

#[test]
fn axes_that_stay_together_are_one() {
    let walk = Walk::new(Shape::from([2, 3, 4, 5]), &[2, 3, 0, 1]);
    assert_eq!(walk, Walk { extents: [1, 1, 20, 6], strides: [0, 0, 1, 20] });
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let id = layout.declare("x", DType::F32, [2, 1, 8]);
    let x = tape.state(&layout, id);
    tape.permute(x, &[1, 0, 2]).unwrap();
    assert!(tape.nodes().is_empty(), "an axis of extent 1 moves without work");
    assert!(tape.permute(x, &[0, 1, 1]).unwrap_err().to_string().contains("[0, 1, 1]"));
    assert!(tape.permute(x, &[0, 1]).is_err());
}
