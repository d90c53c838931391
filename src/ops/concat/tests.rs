//! Concatenation and splitting: each is the inverse and the gradient of the other.

use super::*;
use crate::ops::testing::{normal, on_threads, run_tape};
use crate::tape::StateLayout;
use crate::tape::check::check_gradients;
use crate::tensor::DType;

/// More rows than a chunk has.
const ROWS: usize = 2 * 17 * 19;
const WIDTHS: [usize; 4] = [3, 16, 58, 21];

#[test]
fn split_undoes_concat_and_channels_are_where_they_belong() {
    let inputs: Vec<(Shape, Vec<f32>)> = WIDTHS
        .iter()
        .enumerate()
        .map(|(index, width)| (Shape::from([2, 17, 19, *width]), normal(1, index as u64, ROWS * width, 0.0)))
        .collect();
    for threads in [1, 3] {
        let results = on_threads(threads, || {
            run_tape(&inputs, |tape, x| {
                let all = tape.concat(x)?;
                let mut results = tape.split(all, &WIDTHS)?;
                results.push(tape.slice(all, 2, 18)?);
                results.push(all);
                Ok(results)
            })
        });
        let channels: usize = WIDTHS.iter().sum();
        let mut start = 0;
        for ((width, (_, contents)), result) in WIDTHS.iter().zip(&inputs).zip(&results) {
            assert!(result == contents, "part of {width} channels");
            for row in 0..ROWS {
                let placed = &results[5][row * channels + start..][..*width];
                assert!(placed == &contents[row * width..][..*width], "{width} channels from {start} on, row {row}");
            }
            start += width;
        }
        for row in 0..ROWS {
            assert!(results[4][row * 18..][..18] == results[5][row * channels + 2..][..18], "slice, row {row}");
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let shapes = [Shape::from([2, 3, 2]), Shape::from([2, 3, 17]), Shape::from([2, 3, 5])];
    check_gradients(1, &shapes, |tape, _, x| tape.concat(x));
    check_gradients(2, &shapes[1..2], |tape, _, x| tape.slice(x[0], 3, 9));
    check_gradients(3, &shapes[1..2], |tape, _, x| {
        // ShuffleNetV2's halves: one passes, the other is worked on.
        let parts = tape.split(x[0], &[8, 9])?;
        let worked_on = tape.relu(parts[1])?;
        tape.concat(&[parts[0], worked_on])
    });
    check_gradients(5, &shapes[1..2], |tape, _, x| {
        // Slices that are recorded one by one, with a gap and an overlap: their gradients are added in place.
        let parts = [tape.slice(x[0], 0, 4)?, tape.slice(x[0], 6, 8)?, tape.slice(x[0], 13, 4)?];
        let first = tape.relu(parts[0])?;
        let both = tape.add(first, parts[2])?;
        tape.concat(&[both, parts[1]])
    });
    check_gradients(4, &shapes[1..2], |tape, _, x| {
        // Nothing flows into the middle part, nor into what is before the slice.
        let parts = tape.split(x[0], &[4, 6, 7])?;
        let slice = tape.slice(x[0], 9, 7)?;
        let both = tape.add(parts[2], slice)?;
        tape.concat(&[both, parts[0]])
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let a = layout.declare("a", DType::F32, [2, 8]);
    let b = layout.declare("b", DType::F32, [3, 8]);
    let (a, b) = (tape.state(&layout, a), tape.state(&layout, b));
    assert!(tape.concat(&[a, b]).unwrap_err().to_string().contains("[2, 8] and [3, 8]"));
    assert!(tape.concat(&[]).is_err());
    assert!(tape.split(a, &[3, 4]).unwrap_err().to_string().contains("[3, 4]"));
    assert!(tape.slice(a, 4, 5).is_err());
}
