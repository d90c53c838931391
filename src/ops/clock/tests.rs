//! Replays alone walk through the tables.

use super::*;
use crate::tape::{Arena, Plan, StateLayout};

#[test]
fn every_replay_takes_the_next_step() {
    let mut layout = StateLayout::new();
    let order = layout.declare("order", DType::U32, [7]);
    let rates = layout.declare("rates", DType::F64, [3]);
    let cursor = layout.declare("cursor", DType::U32, [2]);
    let mut tape = Tape::new(DType::F64);
    let tables = Tables {
        order: tape.state(&layout, order),
        rates: Some(tape.state(&layout, rates)),
        cursor: tape.state(&layout, cursor),
    };
    let tick = tape.tick(&tables, 3).unwrap();
    let rate = tick.rate.unwrap();
    [tick.indices, tick.valid, tick.number, rate].into_iter().for_each(|value| tape.keep(value));
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    state.get_mut::<u32>(order).copy_from_slice(&[6, 5, 4, 3, 2, 1, 0]);
    state.set_f64(rates, &[0.5, 0.25, 0.125]);
    let mut arena = Arena::new(plan.bytes());
    for epoch in 0..2 {
        state.get_mut::<u32>(cursor).copy_from_slice(&[0, 3 * epoch]);
        let expected: [(&[u32], u32, f64); 3] = [(&[6, 5, 4], 3, 0.5), (&[3, 2, 1], 3, 0.25), (&[0, 0, 0], 1, 0.125)];
        for (step, (indices, valid, expected_rate)) in expected.into_iter().enumerate() {
            plan.run(&mut arena, &mut state).unwrap();
            let words = |value| plan.read::<u32>(&arena, &state, value).unwrap();
            assert_eq!((words(tick.indices).as_slice(), words(tick.valid)), (indices, vec![valid]));
            assert_eq!(words(tick.number), [3 * epoch + step as u32]);
            assert_eq!(plan.read::<f64>(&arena, &state, rate).unwrap(), [expected_rate]);
        }
    }
}

#[test]
fn tables_that_do_not_belong_together_are_refused() {
    let mut layout = StateLayout::new();
    let order = layout.declare("order", DType::U32, [7]);
    let rates = layout.declare("rates", DType::F32, [4]);
    let cursor = layout.declare("cursor", DType::U32, [2]);
    let mut tape = Tape::new(DType::F32);
    let (order, rates) = (tape.state(&layout, order), tape.state(&layout, rates));
    let cursor = tape.state(&layout, cursor);
    let refused = tape.tick(&Tables { order, rates: Some(rates), cursor }, 3).unwrap_err().to_string();
    assert!(refused.contains("7 images in batches of 3") && refused.contains("Some(4) rates"), "{refused}");
    assert!(tape.tick(&Tables { order, rates: None, cursor: order }, 3).is_err());
}
