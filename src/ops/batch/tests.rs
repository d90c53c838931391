//! What a batch holds, and that its draws are even and repeatable.

use super::*;
use crate::tape::{Arena, Plan, StateLayout};

const SIZE: usize = 6;

fn batches(augmentation: Augmentation, steps: u32) -> Vec<Vec<f32>> {
    let mut layout = StateLayout::new();
    let images = layout.declare("images", DType::U8, [3, SIZE, SIZE, 2]);
    let labels = layout.declare("labels", DType::U32, [3]);
    let indices = layout.declare("indices", DType::U32, [4]);
    let step = layout.declare("step", DType::U32, [1]);
    let mut tape = Tape::new(DType::F32);
    let source = BatchSource {
        images: tape.state(&layout, images),
        labels: tape.state(&layout, labels),
        indices: tape.state(&layout, indices),
        step: tape.state(&layout, step),
    };
    let (x, y) = tape.batch(&source, &[0.0, 0.5], &[1.0, 0.25], augmentation, 9).unwrap();
    tape.keep(x);
    tape.keep(y);
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    for (index, pixel) in state.get_mut::<u8>(images).iter_mut().enumerate() {
        *pixel = (index * 3 % 255 + 1) as u8; // Never black: padding is told from pixels.
    }
    state.get_mut::<u32>(labels).copy_from_slice(&[5, 6, 7]);
    state.get_mut::<u32>(indices).copy_from_slice(&[2, 0, 2, 1]);
    let mut arena = Arena::new(plan.bytes());
    (0..steps)
        .map(|now| {
            state.get_mut::<u32>(step)[0] = now;
            plan.run(&mut arena, &mut state).unwrap();
            assert_eq!(plan.read::<u32>(&arena, &state, y).unwrap(), [7, 5, 7, 6]);
            plan.read::<f32>(&arena, &state, x).unwrap().to_vec()
        })
        .collect()
}

fn pixel(image: usize, row: usize, column: usize, channel: usize) -> f32 {
    let index = ((image * SIZE + row) * SIZE + column) * 2 + channel;
    let value = f64::from((index * 3 % 255 + 1) as u8) / 255.0;
    if channel == 0 { value as f32 } else { ((value - 0.5) / 0.25) as f32 }
}

#[test]
fn without_augmentation_images_are_normalised_only() {
    let batch = &batches(Augmentation::default(), 1)[0];
    for (position, image) in [2, 0, 2, 1].into_iter().enumerate() {
        for at in 0..SIZE * SIZE * 2 {
            let (row, column, channel) = (at / 2 / SIZE, at / 2 % SIZE, at % 2);
            assert_eq!(batch[position * SIZE * SIZE * 2 + at], pixel(image, row, column, channel));
        }
    }
}

/// Every image is its original moved by some offset in range and perhaps mirrored; every offset and both mirrorings
/// occur about equally often.
#[test]
fn crops_and_flips_are_even() {
    let steps = 400;
    let augmentation = Augmentation { crop_padding: 1, flip: true };
    let mut seen = [0usize; 18];
    for batch in batches(augmentation, steps) {
        for (position, image) in [2usize, 0, 2, 1].into_iter().enumerate() {
            let found = &batch[position * SIZE * SIZE * 2..(position + 1) * SIZE * SIZE * 2];
            let matches = |top: isize, left: isize, mirror: bool| {
                (0..SIZE * SIZE).all(|at| {
                    let (row, column) = (at / SIZE, at % SIZE);
                    let column = if mirror { SIZE - 1 - column } else { column };
                    let (r, c) = (row as isize + top, column as isize + left);
                    let inside = (0..SIZE as isize).contains(&r) && (0..SIZE as isize).contains(&c);
                    let expected = if inside { pixel(image, r as usize, c as usize, 0) } else { 0.0 };
                    found[at * 2] == expected
                })
            };
            let which = (0..18).find(|k| matches(*k as isize / 2 / 3 - 1, *k as isize / 2 % 3 - 1, k % 2 == 1));
            seen[which.expect("a crop of the image")] += 1;
        }
    }
    let expected = f64::from(steps) * 4.0 / 18.0;
    let chi_square: f64 = seen.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
    assert!(chi_square < 40.8, "17 degrees of freedom, one in a thousand: {chi_square}, {seen:?}");
    assert_eq!(batches(augmentation, 3), batches(augmentation, 3), "equal seeds draw equal crops");
}
