//! Rows that are read and written, with indices that repeat and such that are no row.

use super::*;
use crate::ops::testing::{normal, on_threads};
use crate::tape::{Arena, Plan, StateLayout};

#[test]
fn rows_go_where_their_indices_say() {
    let (rows, width) = (50, 9);
    let indices: Vec<u32> = (0..600).map(|i| (i * i * 7 + i) % 53).collect();
    let table: Vec<f32> = normal(1, 1, rows * width, 0.0);
    let results = [1, 3].map(|threads| {
        on_threads(threads, || {
            let mut y = vec![f32::NAN; indices.len() * width];
            cpu::gather(width, &table, &indices, &mut y);
            y
        })
    });
    assert!(results[0] == results[1], "the same bits on any number of threads");
    for (place, index) in indices.iter().enumerate() {
        for column in 0..width {
            let known = (*index as usize) < rows;
            let from = if known { table[*index as usize * width + column] } else { 0.0 };
            assert!(results[0][place * width + column] == from, "place {place}, row {index}");
        }
    }
}

#[test]
fn scattered_rows_are_read_by_who_comes_after() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let ids = [layout.declare("table", DType::F32, [4, 2]), layout.declare("rows", DType::F32, [5, 2])];
    let which = layout.declare("which", DType::U32, [5]);
    let [table, rows] = ids.map(|id| tape.state(&layout, id));
    let indices = tape.state(&layout, which);
    let before = tape.gather_rows(table, indices).unwrap();
    tape.scatter_rows(indices, rows, table).unwrap();
    let after = tape.gather_rows(table, indices).unwrap();
    [before, after].into_iter().for_each(|id| tape.keep(id));
    assert!(tape.scatter_rows(indices, rows, after).is_err(), "{after:?} is no state");
    assert!(tape.scatter_rows(indices, table, table).unwrap_err().to_string().contains("[4, 2]"));
    assert!(tape.gather_rows(indices, indices).is_err());

    let plan = Plan::new(&tape, &layout);
    let (mut arena, mut state) = (Arena::new(plan.bytes()), layout.allocate());
    state.get_mut::<f32>(ids[0]).copy_from_slice(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    state.get_mut::<f32>(ids[1]).copy_from_slice(&[10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0]);
    state.get_mut::<u32>(which).copy_from_slice(&[2, 0, 2, 9, 3]);
    plan.run(&mut arena, &mut state).unwrap();
    let read = |id| plan.read::<f32>(&arena, &state, id).unwrap().to_vec();
    assert_eq!(read(before), [4.0, 5.0, 0.0, 1.0, 4.0, 5.0, 0.0, 0.0, 6.0, 7.0]);
    assert_eq!(read(after), [14.0, 15.0, 12.0, 13.0, 14.0, 15.0, 0.0, 0.0, 18.0, 19.0]);
    assert_eq!(state.get::<f32>(ids[0]), [12.0, 13.0, 2.0, 3.0, 14.0, 15.0, 18.0, 19.0]);
}
