//! Every distortion gives Pillow's bytes, and views are drawn evenly and repeatably.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::distortion::{Draw, KINDS, Pixels, rotations};
use super::*;
use crate::ops::testing::on_threads;
use crate::tape::{Arena, Plan, StateLayout};
use crate::tensor::DType;

/// What `tests/fixtures/make_strong_views.py` left.
#[derive(Deserialize)]
struct Expected {
    levels: Vec<u32>,
    shapes: Vec<Shaped>,
}

#[derive(Deserialize)]
struct Shaped {
    shape: [usize; 3],
    /// By operation, image and level.
    operations: BTreeMap<String, Vec<Vec<String>>>,
    covers: Vec<Cover>,
}

#[derive(Deserialize)]
struct Cover {
    words: [u32; 3],
    result: String,
}

/// As in the script: noise of several widths on a slope, channels apart.
fn image(which: usize, [height, width, channels]: [usize; 3]) -> Vec<u8> {
    let value = |index: usize| {
        let noise = index * index / 7 % (30 + 60 * which);
        (noise + 15 * which + index / (8 * channels) + 9 * (index % channels)).min(255) as u8
    };
    (0..height * width * channels).map(value).collect()
}

/// The checksum of an image of which `change` has made something else.
fn changed(which: usize, [height, width, channels]: [usize; 3], change: impl Fn(&mut Pixels<'_>)) -> String {
    let mut bytes = image(which, [height, width, channels]);
    let mut spare = vec![77; bytes.len()];
    change(&mut Pixels { height, width, channels, bytes: &mut bytes, spare: &mut spare });
    checksum(&bytes)
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> String {
    let step = |value: u64, byte: &u8| (value ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

#[test]
fn every_distortion_gives_pillows_bytes() {
    let expected: Expected =
        serde_json::from_str(include_str!("../../../tests/fixtures/strong-views.json")).expect("the fixture is read");
    let mut compared = 0;
    for Shaped { shape, operations, covers } in &expected.shapes {
        let rotations = rotations(shape[0], shape[1]);
        assert_eq!(operations.len(), KINDS.len());
        for kind in KINDS {
            let images = &operations[&format!("{kind:?}")];
            for (which, results) in images.iter().enumerate() {
                assert_eq!(results.len(), expected.levels.len());
                for (result, level) in results.iter().zip(&expected.levels) {
                    let draw = Draw { kind, level: *level };
                    let made = changed(which, *shape, |image| image.distort(draw, &rotations));
                    assert_eq!(made, *result, "{kind:?} at {level} of image {which} of {shape:?}");
                    compared += 1;
                }
            }
        }
        for Cover { words, result } in covers {
            let [side, column, row] = words.map(|word| word << 16);
            let made = changed(1, *shape, |image| image.cover([side, column, row, 0]));
            assert_eq!(made, *result, "covered by {words:?} of {shape:?}");
            compared += 1;
        }
    }
    assert!(compared > 1800, "only {compared} images compared");
}

#[test]
fn operations_are_drawn_evenly() {
    let generator = Philox::new(21, Stream::Augment);
    let count = 28_000;
    let mut seen = [0usize; KINDS.len()];
    for index in 0..count {
        let draw = Draw::of(generator.draw(0, index));
        seen[KINDS.iter().position(|kind| *kind == draw.kind).unwrap()] += 1;
        assert!(draw.level < 1 << 16);
    }
    let expected = count as f64 / KINDS.len() as f64;
    let chi_square: f64 = seen.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
    assert!(chi_square < 34.5, "13 degrees of freedom, one in a thousand: {chi_square}, {seen:?}, seed 21");
}

const SHAPE: [usize; 3] = [12, 10, 3];

/// The ordinary view of step `step` and the strong one, for seed 9.
fn views(step: u32, operations: usize) -> [Vec<f64>; 2] {
    let mut layout = StateLayout::new();
    let [height, width, channels] = SHAPE;
    let images = layout.declare("images", DType::U8, [3, height, width, channels]);
    let labels = layout.declare("labels", DType::U32, [3]);
    let indices = layout.declare("indices", DType::U32, [8]);
    let number = layout.declare("step", DType::U32, [1]);
    let mut tape = Tape::new(DType::F64);
    let source = BatchSource {
        images: tape.state(&layout, images),
        labels: tape.state(&layout, labels),
        indices: tape.state(&layout, indices),
        step: tape.state(&layout, number),
    };
    let augmentation = Augmentation { crop_padding: 2, flip: true };
    let (mean, std) = ([0.0; 3], [1.0; 3]);
    let (weak, _) = tape.batch(&source, &mean, &std, augmentation, 9).unwrap();
    let strong = tape.strong_view(&source, &mean, &std, augmentation, RandAugment { operations }, 9).unwrap();
    [weak, strong].into_iter().for_each(|id| tape.keep(id));
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    let bytes: Vec<u8> = (0..3).flat_map(|which| image(which, SHAPE)).collect();
    state.get_mut::<u8>(images).copy_from_slice(&bytes);
    state.get_mut::<u32>(indices).copy_from_slice(&[0, 1, 2, 2, 1, 0, 0, 1]);
    state.get_mut::<u32>(number)[0] = step;
    let mut arena = Arena::new(plan.bytes());
    plan.run(&mut arena, &mut state).unwrap();
    [weak, strong].map(|id| plan.read_f64(&arena, &state, id).unwrap())
}

#[test]
fn views_depend_on_seed_step_and_position_alone() {
    let one = on_threads(1, || views(4, 2));
    assert!(one == on_threads(3, || views(4, 2)));
    assert!(one[1] != views(5, 2)[1], "another step, another view");
    let size = SHAPE.iter().product();
    let images: Vec<&[f64]> = one[1].chunks_exact(size).collect();
    assert!(images[0] != images[5] && images[5] != images[6], "an image that comes twice is seen in two ways");
}

/// Without operations a strong view is a crop of its own under a rectangle of one colour.
#[test]
fn a_strong_view_is_cropped_by_draws_of_its_own() {
    let [height, width, channels] = SHAPE;
    let augmentation = Augmentation { crop_padding: 2, flip: true };
    let (mut whole, mut differ) = (0, 0);
    for step in 0..20 {
        let [weak, strong] = views(step, 0);
        for (position, which) in [0, 1, 2, 2, 1, 0, 0, 1].into_iter().enumerate() {
            let size = height * width * channels;
            let range = position * size..(position + 1) * size;
            let source = image(which, SHAPE);
            let found: Vec<f64> = strong[range.clone()].iter().map(|x| x * 255.0).collect();
            let hidden = |pixel: usize| {
                let colour = [125.0, 123.0, 114.0];
                (0..channels).all(|c| (found[pixel * channels + c] - colour[c]).abs() < 1e-9)
            };
            // Every crop that words can mean: offsets -2 to 2, mirrored or not.
            let word = |offset: u32| (u64::from(offset) * (1 << 32) / 5) as u32 + 1;
            let fits = |words: [u32; 4]| {
                let crop = augmentation.crop(words);
                (0..height * width).filter(|pixel| !hidden(*pixel)).all(|pixel| {
                    let from = crop.pixel(pixel, height, width);
                    (0..channels).all(|c| {
                        let byte = from.map_or(0, |from| source[from * channels + c]);
                        (found[pixel * channels + c] - f64::from(byte)).abs() < 1e-9
                    })
                })
            };
            let crops = (0..50).map(|k| [word(k / 2 / 5), word(k / 2 % 5), k % 2, 0]);
            assert!(crops.into_iter().any(fits), "step {step}, position {position}: no crop of the image");
            whole += usize::from((0..height * width).all(|pixel| !hidden(pixel)));
            differ += usize::from(weak[range.clone()] != strong[range]);
        }
    }
    assert!(whole < 20, "{whole} of 160 views have nothing hidden");
    assert!(differ > 140, "{differ} of 160 views differ from the ordinary ones");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refusal = |shape: [usize; 4], mean: &[f32]| {
        let mut layout = StateLayout::new();
        let images = layout.declare("images", DType::U8, shape);
        let [labels, indices, step] = ["labels", "indices", "step"].map(|name| layout.declare(name, DType::U32, [1]));
        let mut tape = Tape::new(DType::F32);
        let source = BatchSource {
            images: tape.state(&layout, images),
            labels: tape.state(&layout, labels),
            indices: tape.state(&layout, indices),
            step: tape.state(&layout, step),
        };
        let made = tape.strong_view(&source, mean, mean, Augmentation::default(), RandAugment::default(), 1);
        made.unwrap_err().to_string()
    };
    assert!(refusal([1, 8, 8, 2], &[0.5; 2]).contains("1 or 3 channels"));
    assert!(refusal([1, 5000, 8, 1], &[0.5]).contains("4096 pixels a side, not 5000x8"));
    assert!(refusal([1, 8, 8, 3], &[0.5; 2]).contains("as many means"));
}
