//! ReLU against its definition, and its gradient by finite differences.

use super::*;
use crate::ops::testing::normal;
use crate::tape::check::check_gradients;
use crate::tensor::Shape;

#[test]
fn every_level_cuts_at_zero_and_keeps_not_a_number() {
    for count in [1, 15, 16, 17, 40_003] {
        let mut x: Vec<f32> = normal(5, 1, count, 0.0);
        x[count / 2] = f32::NAN;
        for level in Level::ALL {
            let mut y = vec![7.0; count];
            // SAFETY: both hold `count` elements.
            unsafe { cpu::relu(level, count, x.as_ptr(), y.as_mut_ptr()) };
            for (x, y) in x.iter().zip(&y) {
                assert!(if x.is_nan() { y.is_nan() } else { *y == x.max(0.0) }, "{x} became {y} ({level})");
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let shape = Shape::from([3, 5, 7]);
    check_gradients(1, &[shape], |tape, _, x| tape.relu(x[0]));
    check_gradients(2, &[shape, shape], |tape, _, x| {
        // In place, and with the gradients of two users summed in the last of them.
        let sum = tape.add(x[0], x[1])?;
        let y = tape.relu(sum)?;
        tape.add(y, sum)
    });
}
