//! Against the index formula, and the gradient against differences.

use super::*;
use crate::ops::testing::{normal, on_threads};
use crate::tape::check::check_gradients;
use crate::tape::{Arena, Plan, StateLayout};

/// As a draw would make them: permutations, repetitions, channels that nobody picks, more picks than channels.
const PICKS: [(usize, &[u32]); 4] = [(5, &[3, 0, 4, 1, 2]), (5, &[4, 4, 0]), (3, &[2, 0, 2, 1, 0, 2, 2]), (1, &[0])];

/// Brings `indices` onto the tape as state, and what is to fill it.
fn constant(tape: &mut Tape, layout: &mut StateLayout, count: usize) -> ValueId {
    let id = layout.declare("indices", DType::U32, [count]);
    tape.state(layout, id)
}

#[test]
fn channels_are_those_picked() {
    for (channels, picks) in PICKS {
        for threads in [1, 3] {
            let rows = 20_011;
            let mut layout = StateLayout::new();
            let mut tape = Tape::new(DType::F32);
            let (x, dy) = (
                layout.declare("x", DType::F32, [rows, channels]),
                layout.declare("dy", DType::F32, [rows, picks.len()]),
            );
            let indices = constant(&mut tape, &mut layout, picks.len());
            let index_state = layout.entries().last().unwrap().0;
            let (x_value, dy_value) = (tape.state(&layout, x), tape.state(&layout, dy));
            let y = tape.gather_channels(x_value, indices).unwrap();
            let dx = tape.backward(&[(y, dy_value)], &[x_value]).unwrap()[0].unwrap();
            tape.keep(y);
            tape.keep(dx);
            let plan = Plan::new(&tape, &layout);
            let mut state = layout.allocate();
            let (from, back) =
                (normal::<f32>(1, 1, rows * channels, 0.0), normal::<f32>(1, 2, rows * picks.len(), 0.0));
            state.get_mut::<f32>(x).copy_from_slice(&from);
            state.get_mut::<f32>(dy).copy_from_slice(&back);
            state.get_mut::<u32>(index_state).copy_from_slice(picks);
            let mut arena = Arena::new(plan.bytes());
            on_threads(threads, || plan.run(&mut arena, &mut state).unwrap());
            let found = plan.read::<f32>(&arena, &state, y).unwrap();
            let gradient = plan.read::<f32>(&arena, &state, dx).unwrap();
            for row in 0..rows {
                let mut expected = vec![0.0; channels];
                for (pick, index) in picks.iter().enumerate() {
                    assert!(found[row * picks.len() + pick] == from[row * channels + *index as usize]);
                    expected[*index as usize] += back[row * picks.len() + pick];
                }
                assert_eq!(gradient[row * channels..][..channels], expected, "row {row} of {picks:?}");
            }
        }
    }
}

/// Indices that are drawn: every replay of the check draws the same.
#[test]
fn gradients_are_those_of_finite_differences() {
    for (picks, channels) in [(6, 6), (4, 4)] {
        check_gradients(3, &[Shape::from([2, 3, channels])], |tape, layout, x| {
            let number = layout.declare("number", DType::U32, [1]);
            let number = tape.state(layout, number);
            tape.set_randomness(5, number);
            let indices = tape.random_permutation(picks)?;
            tape.gather_channels(x[0], indices)
        });
    }
}

#[test]
fn operands_are_looked_at() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let indices = constant(&mut tape, &mut layout, 3);
    let [scalar, x] = [Shape::from([]), Shape::from([2, 4])].map(|shape| {
        let id = layout.declare(format!("x {shape}"), DType::F32, shape);
        tape.state(&layout, id)
    });
    assert!(tape.gather_channels(scalar, indices).is_err());
    assert!(tape.gather_channels(x, x).unwrap_err().to_string().contains("u32"));
    assert!(tape.gather_channels(indices, indices).unwrap_err().to_string().contains("f32"));
    assert_eq!(tape.gather_channels(x, indices).map(|y| tape.shape(y)).unwrap(), Shape::from([2, 3]));
}
