//! How much is dropped, that every draw is its own, and that gradients drop the same.

use crate::ops::testing::on_threads;
use crate::tape::check::check_gradients;
use crate::tape::{Arena, Plan, StateLayout, Tape};
use crate::tensor::{DType, Shape};

/// `draws` masks of `count` elements for a step: 0 where dropped, else the factor.
fn masks(dtype: DType, seed: u64, step: u32, count: usize, probability: f64, draws: usize) -> Vec<Vec<f64>> {
    let mut layout = StateLayout::new();
    let ones = layout.declare("ones", dtype, [count]);
    let number = layout.declare("number", DType::U32, [1]);
    let mut tape = Tape::new(dtype);
    let (x, number_value) = (tape.state(&layout, ones), tape.state(&layout, number));
    tape.set_randomness(seed, number_value);
    let made: Vec<_> = (0..draws).map(|_| tape.dropout(x, probability).unwrap()).collect();
    made.iter().for_each(|id| tape.keep(*id));
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    state.set_f64(ones, &vec![1.0; count]);
    state.get_mut::<u32>(number)[0] = step;
    let mut arena = Arena::new(plan.bytes());
    plan.run(&mut arena, &mut state).unwrap();
    made.iter().map(|id| plan.read_f64(&arena, &state, *id).unwrap()).collect()
}

#[test]
fn as_many_are_dropped_as_should_be() {
    let count = 100_003;
    for probability in [0.1, 0.5, 0.9] {
        let mask = &masks(DType::F64, 11, 4, count, probability, 1)[0];
        let factor = 1.0 / (1.0 - probability);
        assert!(mask.iter().all(|x| *x == 0.0 || *x == factor), "seed 11, {probability}");
        let dropped = mask.iter().filter(|x| **x == 0.0).count() as f64 / count as f64;
        let deviation = (probability * (1.0 - probability) / count as f64).sqrt();
        assert!((dropped - probability).abs() <= 5.0 * deviation, "seed 11: {dropped} dropped for {probability}");
    }
}

/// Two masks of probability one half agree in about half of their elements.
#[test]
fn masks_of_other_seeds_steps_and_draws_are_others() {
    let count = 20_000;
    let of = |seed, step| masks(DType::F32, seed, step, count, 0.5, 2);
    let first = of(5, 0);
    let others = [of(6, 0).remove(0), of(5, 1).remove(0), first[1].clone()];
    for (index, other) in others.iter().enumerate() {
        let equal = first[0].iter().zip(other).filter(|(a, b)| a == b).count() as f64 / count as f64;
        assert!((equal - 0.5).abs() <= 5.0 * 0.5 / (count as f64).sqrt(), "pair {index} of seed 5: {equal} are equal");
    }
    // Neighbouring elements, and those at other distances within and between draws of four words.
    for distance in [1, 2, 3, 4, 8, 4096] {
        let pairs = first[0].iter().zip(&first[0][distance..]);
        let (equal, all) = (pairs.clone().filter(|(a, b)| a == b).count() as f64, pairs.len() as f64);
        assert!((equal / all - 0.5).abs() <= 5.0 * 0.5 / all.sqrt(), "distance {distance} of seed 5: {equal} of {all}");
    }
}

#[test]
fn a_mask_depends_on_no_type_and_no_number_of_threads() {
    let count = 50_001;
    let of = |dtype, threads| on_threads(threads, || masks(dtype, 8, 3, count, 0.25, 1).remove(0));
    let bits = |mask: Vec<f64>| mask.into_iter().map(|x| x != 0.0).collect::<Vec<_>>();
    let one = bits(of(DType::F32, 1));
    assert!(one == bits(of(DType::F32, 3)) && one == bits(of(DType::F64, 2)));
}

#[test]
fn gradients_match_differences() {
    check_gradients(3, &[Shape::from([3, 7])], |tape, layout, x| {
        let number = layout.declare("number", DType::U32, [1]);
        let number = tape.state(layout, number);
        tape.set_randomness(12, number);
        let before = tape.dropout(x[0], 0.3)?; // A draw of its own, so that the second is not the first.
        let after = tape.dropout(x[0], 0.5)?;
        let before = tape.scale(before, 0.5);
        tape.add(before, after)
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut layout = StateLayout::new();
    let (x, number) = (layout.declare("x", DType::F32, [4]), layout.declare("number", DType::U32, [1]));
    let mut tape = Tape::new(DType::F32);
    let [x, number] = [x, number].map(|id| tape.state(&layout, id));
    let error = tape.dropout(x, 0.5).unwrap_err().to_string();
    assert!(error.contains("no source of random numbers"), "{error}");
    assert_eq!(tape.dropout(x, 0.0).unwrap(), x, "nothing is drawn, so no source is needed");
    tape.set_randomness(1, number);
    for probability in [1.0, -0.1, f64::NAN, f64::INFINITY] {
        let error = tape.dropout(x, probability).unwrap_err();
        assert!(error.to_string().contains("from 0 to below 1"), "{error}");
    }
    assert!(tape.nodes().is_empty());
}
