//! That numbers follow their distribution, depend on what they should, and that orders are fair.

use super::*;
use crate::tape::{Arena, Plan, StateLayout};
use crate::tensor::DType;

/// What `record` makes on a tape of that seed, in each of the steps.
fn drawn<T: Element>(
    seed: u64,
    steps: &[u32],
    record: impl Fn(&mut Tape) -> Result<Vec<ValueId>>,
) -> Vec<Vec<Vec<f64>>> {
    let mut layout = StateLayout::new();
    let number = layout.declare("number", DType::U32, [1]);
    let mut tape = Tape::new(T::DTYPE);
    let number_value = tape.state(&layout, number);
    tape.set_randomness(seed, number_value);
    let made = record(&mut tape).unwrap();
    made.iter().for_each(|id| tape.keep(*id));
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    let mut arena = Arena::new(plan.bytes());
    let mut run = |step: &u32| {
        state.get_mut::<u32>(number)[0] = *step;
        plan.run(&mut arena, &mut state).unwrap();
        let read = |id: &ValueId| match tape.dtype(*id) {
            DType::U32 => {
                plan.read::<u32>(&arena, &state, *id).unwrap().iter().map(|index| f64::from(*index)).collect()
            }
            _ => plan.read_f64(&arena, &state, *id).unwrap(),
        };
        made.iter().map(read).collect()
    };
    steps.iter().map(&mut run).collect()
}

/// Mean and variance as the distribution has them, within five standard errors (of the variance by the fourth moment).
#[test]
fn numbers_have_their_moments_and_quantiles() {
    let count = 200_003;
    let pi = std::f64::consts::PI;
    // Mean, variance, excess kurtosis, median.
    for (distribution, mean, variance, excess, median) in [
        (Distribution::Uniform, 0.5, 1.0 / 12.0, -1.2, 0.5),
        (Distribution::Normal, 0.0, 1.0, 0.0, 0.0),
        (Distribution::Gumbel, 0.577_215_664_901_532_9, pi * pi / 6.0, 2.4, -(2f64.ln().ln())),
        (Distribution::Logistic, 0.0, pi * pi / 3.0, 1.2, 0.0),
    ] {
        let x = &drawn::<f32>(3, &[5], |tape| Ok(vec![tape.random(distribution, [count])?]))[0][0];
        assert!(x.iter().all(|x| x.is_finite()));
        let n = count as f64;
        let found_mean = x.iter().sum::<f64>() / n;
        let found_variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let below = x.iter().filter(|x| **x < median).count() as f64;
        assert!((found_mean - mean).abs() < 5.0 * (variance / n).sqrt(), "{distribution:?}: mean {found_mean}");
        let error = variance * ((excess + 2.0) / n).sqrt();
        assert!((found_variance - variance).abs() < 5.0 * error, "{distribution:?}: variance {found_variance}");
        assert!((below - n / 2.0).abs() < 5.0 * (n / 4.0).sqrt(), "{distribution:?}: {below} below the median");
        // Neighbours know nothing of each other, nor do the halves of a pair.
        for gap in [1, 2, 3, 4] {
            let together = x.iter().zip(&x[gap..]).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n;
            assert!(together.abs() < 5.0 * variance / n.sqrt(), "{distribution:?}: covariance {together} at {gap}");
        }
    }
}

#[test]
fn the_smallest_and_the_largest_word_stay_inside() {
    for distribution in [Distribution::Uniform, Distribution::Normal, Distribution::Gumbel, Distribution::Logistic] {
        for words in [[0; 4], [u32::MAX; 4]] {
            let elements = distribution.elements(words).map(|x| x as f32);
            assert!(elements.iter().all(|x| x.is_finite() && x.abs() < 17.0), "{distribution:?}: {elements:?}");
        }
    }
    let [least, ..] = Distribution::Uniform.elements([0; 4]).map(|u| u as f32);
    let [most, ..] = Distribution::Uniform.elements([u32::MAX; 4]).map(|u| u as f32);
    assert!(least > 0.0 && most < 1.0 && 1.0 - most == least);
}

/// The values that PyTorch's float64 functions give for Philox's known answer to the counter and key of zeros
/// (Random123, `kat_vectors`): computed once with torch.
#[test]
fn known_words_become_known_numbers() {
    let words = [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
    for (distribution, expected) in KNOWN {
        for (found, expected) in distribution.elements(words).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-11, "{distribution:?}: {found}, expected {expected}");
        }
    }
}

#[test]
fn numbers_depend_on_seed_step_and_draw_and_on_nothing_else() {
    let two = |tape: &mut Tape| {
        Ok(vec![tape.random(Distribution::Normal, [3, 7])?, tape.random(Distribution::Normal, [3, 7])?])
    };
    let found = drawn::<f64>(11, &[0, 1, 0], two);
    assert_eq!(found[0], found[2], "a step that is done again draws the same");
    assert_ne!(found[0][0], found[0][1], "draws differ");
    assert_ne!(found[0][0], found[1][0], "steps differ");
    assert_ne!(found[0][0], drawn::<f64>(12, &[0], two)[0][0], "seeds differ");
    // Neither the shape nor the type changes what an element is.
    let longer = drawn::<f32>(11, &[0], |tape| Ok(vec![tape.random(Distribution::Normal, [9001])?]));
    let rounded: Vec<f64> = found[0][0].iter().map(|x| f64::from(*x as f32)).collect();
    assert_eq!(longer[0][0][..21], rounded);
}

#[test]
fn every_order_is_as_likely() {
    let steps: Vec<u32> = (0..2400).collect();
    let mut seen = std::collections::BTreeMap::new();
    for orders in drawn::<f32>(4, &steps, |tape| Ok(vec![tape.random_permutation(4)?])) {
        *seen.entry(orders[0].iter().map(|x| *x as u32).collect::<Vec<_>>()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 24);
    let expected = 100.0;
    let chi_square: f64 = seen.values().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
    assert!(chi_square < 49.7, "23 degrees of freedom, one in a thousand: {chi_square}");
}

#[test]
fn an_order_is_that_of_the_philox_keys() {
    let found = drawn::<f32>(8, &[6], |tape| Ok(vec![tape.random_permutation(300)?, tape.random_permutation(1)?]));
    // No two of these numbers have one first word, so that the words behind it do not matter.
    let expected = Philox::new(8, Stream::Step).permutation(6, 300);
    assert_eq!(found[0][0], expected.into_iter().map(f64::from).collect::<Vec<_>>());
    assert_eq!(found[0][1], [0.0]);
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let mut tape = Tape::new(DType::F32);
    assert!(tape.random(Distribution::Uniform, [2]).unwrap_err().to_string().contains("no source"));
    assert!(tape.random_permutation(0).unwrap_err().to_string().contains("0 numbers"));
    assert!(tape.random(Distribution::Uniform, [2, 0]).unwrap_err().to_string().contains("[2, 0]"));
}

const KNOWN: [(Distribution, [f64; 4]); 4] = [
    (Distribution::Uniform, [0.399046480656, 0.880520164967, 0.735712826252, 0.605481803417]),
    (Distribution::Normal, [0.991137475146, -0.924662780354, -0.617609054985, -0.482068347264]),
    (Distribution::Gumbel, [0.084820278104, 2.061660960591, 1.181183080375, 0.689691620689]),
    (Distribution::Logistic, [-0.409439689707, 1.997365216754, 1.023803569574, 0.428359245474]),
];
