//! Which images are drawn, and products against their sums.

use std::collections::BTreeSet;

use super::cpu::Shuffle;
use super::*;
use crate::ops::testing::on_threads;
use crate::tape::check::check_gradients;
use crate::tape::{Arena, Plan, StateLayout};

#[test]
fn a_shuffle_is_a_bijection_and_depends_on_its_keys() {
    for count in [1, 2, 3, 16, 17, 255, 256, 1000] {
        let orders: Vec<Vec<u32>> = (0..8u32)
            .map(|seed| {
                let shuffle = Shuffle::new([seed, 7, seed << 20, 1], count);
                let order: Vec<u32> = (0..count).map(|place| shuffle.at(place)).collect();
                assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), (0..count).collect(), "{count}");
                order
            })
            .collect();
        assert!(count < 16 || orders.windows(2).all(|pair| pair[0] != pair[1]), "{count}");
    }
}

/// Every number comes at every place about equally often: over 4000 keys, 250 times each of 16, with a standard deviation of
/// 15.3; six of those are granted.
#[test]
fn a_shuffle_prefers_no_place() {
    let mut counts = [[0u32; 16]; 16];
    let generator = Philox::new(5, Stream::Step);
    for key in 0..4000 {
        let shuffle = Shuffle::new(generator.draw(1, key), 16);
        (0..16).for_each(|place| counts[place as usize][shuffle.at(place) as usize] += 1);
    }
    let (least, most) = counts.iter().flatten().fold((u32::MAX, 0), |(a, b), count| (a.min(*count), b.max(*count)));
    assert!(least > 250 - 92 && most < 250 + 92, "{least} to {most}");
}

/// Indices of a step for images 0, 1, ... with `labels`, among all images of those labels.
fn drawn(labels: &[u32], batch: usize, negatives: usize, positive: Positive, number: u32) -> Vec<u32> {
    let classes = *labels.iter().max().unwrap() + 1;
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    order.sort_by_key(|image| labels[*image as usize]);
    let starts = (0..=classes).map(|class| labels.iter().filter(|label| **label < class).count() as u32);
    let starts: Vec<u32> = starts.collect();
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let own: Vec<u32> = (0..batch as u32).collect();
    let contents = [own, labels[..batch].to_vec(), order, starts, vec![number]];
    let ids: Vec<_> = contents.iter().map(|list| layout.declare("list", DType::U32, [list.len()])).collect();
    let values: Vec<ValueId> = ids.iter().map(|id| tape.state(&layout, *id)).collect();
    tape.set_randomness(1, values[4]);
    let images = ByClass { order: values[2], starts: values[3] };
    let made = tape.contrast_indices(values[0], values[1], images, negatives, positive).unwrap();
    tape.keep(made);
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    ids.iter().zip(&contents).for_each(|(id, list)| state.get_mut::<u32>(*id).copy_from_slice(list));
    let mut arena = Arena::new(plan.bytes());
    plan.run(&mut arena, &mut state).unwrap();
    plan.read_f64(&arena, &state, made).unwrap().into_iter().map(|x| x as u32).collect()
}

#[test]
fn negatives_are_of_other_classes_and_none_comes_twice_before_all_have_come() {
    let labels: Vec<u32> = (0..200).map(|image| (image * image % 7) % 5).collect();
    for negatives in [10, 100, 500] {
        let all = drawn(&labels, 20, negatives, Positive::Exact, 3);
        for (row, indices) in all.chunks(negatives + 1).enumerate() {
            assert_eq!(indices[0], row as u32);
            let others = labels.iter().filter(|label| **label != labels[row]).count();
            assert!(indices[1..].iter().all(|index| labels[*index as usize] != labels[row]), "row {row}");
            for turn in indices[1..].chunks(others) {
                assert_eq!(turn.iter().collect::<BTreeSet<_>>().len(), turn.len(), "row {row}");
            }
        }
        assert_ne!(all, drawn(&labels, 20, negatives, Positive::Exact, 4), "other steps draw others");
    }
    let relaxed = drawn(&labels, 20, 3, Positive::Relaxed, 3);
    let positives: Vec<u32> = relaxed.chunks(4).map(|row| row[0]).collect();
    assert!(positives.iter().zip(&labels).all(|(index, label)| labels[*index as usize] == *label));
    assert!((0..20).any(|row| positives[row as usize] != row));
}

#[test]
fn products_have_the_gradient_of_their_sums_on_any_number_of_threads() {
    for threads in [1, 3] {
        on_threads(threads, || {
            check_gradients(4, &[[3, 5].into()], |tape, layout, x| {
                let ids = [layout.declare("bank", DType::F64, [6, 5]), layout.declare("indices", DType::U32, [3, 4])];
                let [bank, indices] = ids.map(|id| tape.state(layout, id));
                // The bank is zeros here: products of something that is not need a constant beside it.
                let ones = tape.fill([6, 5], 1.5);
                let rows = tape.add(bank, ones)?;
                tape.bank_products(x[0], rows, indices)
            });
        });
    }
}
