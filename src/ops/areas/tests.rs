//! Boxes and masks against PyTorch, ties, edges, and what is not a number.

use super::*;
use crate::ops::testing::{assert_close, normal, on_threads, run_tape};
use crate::tape::{StateLayout, Tape};
use crate::tensor::{DType, Shape};

const SHAPE: [usize; 4] = [2, 5, 6, 3];

/// A value that no two cells share.
fn heat() -> Vec<f64> {
    (0..180).map(|i| 0.5 + f64::from((37 * i) % 181) / 400.0).collect()
}

/// Computed with torch 2.15 in float64 as the released code of SoKD does: `heat * (max_pool2d(heat, 3, 1, 1) == heat)` in the
/// order [N, K, H, W], `topk` of the flattened cells, boxes clamped to the map; the mask by truncation to integers. `heat` is
/// above; with i counting the elements of [2, 5, 6, 2], `size[i] = ((11 i) % 17) / 3` and `offset[i] = ((5 i) % 7) / 8`.
#[test]
fn boxes_and_masks_are_those_of_pytorch() {
    let size: Vec<f64> = (0..120).map(|i| f64::from((11 * i) % 17) / 3.0).collect();
    let offset: Vec<f64> = (0..120).map(|i| f64::from((5 * i) % 7) / 8.0).collect();
    let pairs = Shape::from([2, 5, 6, 2]);
    let found = run_tape(&[(Shape::from(SHAPE), heat()), (pairs, size), (pairs, offset)], |tape, x| {
        let boxes = tape.peak_areas(x[0], x[1], x[2], 4)?;
        let count = tape.box_mask(boxes, 5, 6, Overlap::Count)?;
        Ok(vec![boxes, count, tape.box_mask(boxes, 5, 6, Overlap::Union)?])
    });
    assert_close("boxes", &found[0], &BOXES, 1e-11);
    assert_eq!(found[1], MASK);
    let union: Vec<f64> = MASK.iter().map(|count| count.min(1.0)).collect();
    assert_eq!(found[2], union);
}

/// The peaks' pixels, where size and offset are zero.
fn peaks(extents: [usize; 4], heat: Vec<f64>, count: usize) -> Vec<[f64; 2]> {
    let pairs = Shape::from([extents[0], extents[1], extents[2], 2]);
    let zeros = vec![0.0; pairs.count()];
    let inputs = [(Shape::from(extents), heat), (pairs, zeros.clone()), (pairs, zeros)];
    let found = run_tape(&inputs, |tape, x| Ok(vec![tape.peak_areas(x[0], x[1], x[2], count)?]));
    found[0].chunks_exact(4).map(|corners| [corners[0], corners[1]]).collect()
}

/// A heatmap that says nothing, as heads that end in ReLU and sigmoid may give: all cells are peaks, and the first are taken,
/// by class, then row, then column.
#[test]
fn among_equals_the_first_is_taken() {
    assert_eq!(
        peaks([1, 2, 3, 2], vec![0.5; 12], 8)[..7],
        [[0., 0.], [1., 0.], [2., 0.], [0., 1.], [1., 1.], [2., 1.], [0., 0.]]
    );
}

#[test]
fn beside_a_peak_there_is_none_and_what_is_no_peak_comes_last() {
    // One class of 1 row: peaks are -3 and -1; -2 stands beside a peak.
    assert_eq!(peaks([1, 1, 5, 1], vec![-3.0, -5.0, -9.0, -2.0, -1.0], 4), [[4., 0.], [0., 0.], [1., 0.], [2., 0.]]);
    // In its other class each cell is a peak of its own.
    assert_eq!(peaks([1, 1, 2, 2], vec![1.0, 4.0, 2.0, 3.0], 2), [[0., 0.], [1., 0.]]);
}

#[test]
fn not_a_number_is_no_peak() {
    let heat = vec![f64::NAN, 1.0, 0.5, 0.75, f64::NAN, f64::NAN];
    assert_eq!(peaks([1, 1, 6, 1], heat, 6), [[0., 0.], [1., 0.], [2., 0.], [3., 0.], [4., 0.], [5., 0.]]);
    assert_eq!(peaks([1, 1, 3, 1], vec![f64::NAN, 0.25, 0.5], 2), [[2., 0.], [0., 0.]]);
}

/// Random heatmaps against all cells sorted.
#[test]
fn peaks_are_those_of_a_sort() {
    for (seed, extents, count) in [(1, [3, 7, 9, 4], 8), (2, [2, 4, 4, 1], 16), (3, [1, 12, 5, 10], 30)] {
        let [images, height, width, classes] = extents;
        // Few heights, so that many are equal; zeros have one sign.
        let heat: Vec<f64> =
            normal::<f64>(seed, 1, extents.iter().product(), 0.0).iter().map(|x| x.round() + 0.0).collect();
        let at = |n: usize, k: usize, y: usize, x: usize| heat[((n * height + y) * width + x) * classes + k];
        let mut expected = Vec::new();
        for n in 0..images {
            let mut cells = Vec::new();
            for (k, y, x) in
                (0..classes * height * width).map(|i| (i / (height * width), i / width % height, i % width))
            {
                let near = |a: usize, b: usize| a.abs_diff(b) <= 1;
                let around = (0..height * width).filter(|p| near(p / width, y) && near(p % width, x));
                let peak = around.into_iter().all(|p| at(n, k, p / width, p % width) <= at(n, k, y, x));
                cells.push((if peak { at(n, k, y, x) } else { f64::NEG_INFINITY }, [x as f64, y as f64]));
            }
            cells.sort_by(|a, b| b.0.total_cmp(&a.0)); // stable: equals keep their order
            expected.extend(cells[..count].iter().map(|(_, pixel)| *pixel));
        }
        for threads in [1, 3] {
            assert_eq!(on_threads(threads, || peaks(extents, heat.clone(), count)), expected, "seed {seed}");
        }
    }
}

#[test]
fn corners_are_cut_towards_zero_and_included() {
    let boxes = vec![1.9, 0.0, 2.1, 0.9, -0.5, 1.0, 0.2, 7.0, 2.0, 1.0, 1.0, 2.0, f64::NAN, 0.0, 3.0, 3.0];
    let inputs = [(Shape::from([1, 4, 4]), boxes)];
    let found = run_tape(&inputs, |tape, x| Ok(vec![tape.box_mask(x[0], 3, 4, Overlap::Count)?]));
    assert_eq!(found[0], [0., 1., 1., 0., 1., 0., 0., 0., 1., 0., 0., 0.]);
}

/// As the released code of SoKD has them: a box whose centre its offset moves behind the last column begins there.
#[test]
fn a_box_beyond_the_border_covers_nothing() {
    let heat = vec![0.0, 0.0, 0.9, 0.0];
    let at_peak = |pair: [f64; 2]| vec![0.0, 0.0, 0.0, 0.0, pair[0], pair[1], 0.0, 0.0];
    let pairs = Shape::from([1, 1, 4, 2]);
    for (offset, size, expected, mask) in [
        ([3.0, 0.0], [2.0, 0.0], [4.0, 0.0, 3.0, 0.0], [0., 0., 0., 0.]),
        ([2.0, 0.0], [2.5, 0.0], [2.75, 0.0, 3.0, 0.0], [0., 0., 1., 1.]),
        ([0.0, 1.5], [2.0, 1.0], [1.0, 1.0, 3.0, 0.0], [0., 0., 0., 0.]),
        ([-4.0, 0.0], [2.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0., 0., 0., 0.]),
    ] {
        let inputs = [(Shape::from([1, 1, 4, 1]), heat.clone()), (pairs, at_peak(size)), (pairs, at_peak(offset))];
        let found = run_tape(&inputs, |tape, x| {
            let boxes = tape.peak_areas(x[0], x[1], x[2], 1)?;
            Ok(vec![boxes, tape.box_mask(boxes, 1, 4, Overlap::Count)?])
        });
        assert_eq!(found[0], expected, "offset {offset:?}, size {size:?}");
        assert_eq!(found[1], mask, "offset {offset:?}, size {size:?}");
    }
}

#[test]
fn operands_are_looked_at() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let [heat, pairs, other] = [[2, 3, 3, 1], [2, 3, 3, 2], [2, 3, 4, 2]].map(|shape| {
        let id = layout.declare(format!("{shape:?}"), DType::F32, shape);
        tape.state(&layout, id)
    });
    assert!(tape.peak_areas(heat, pairs, other, 2).unwrap_err().to_string().contains("offset"));
    assert!(tape.peak_areas(heat, pairs, pairs, 10).unwrap_err().to_string().contains("10 areas of a heatmap of 9"));
    assert!(tape.box_mask(heat, 3, 3, Overlap::Union).unwrap_err().to_string().contains("[N, count, 4]"));
}

const BOXES: [f64; 32] = [
    1.666666666667,
    0.458333333333,
    2.333333333333,
    4.000000000000,
    3.875000000000,
    3.625000000000,
    5.000000000000,
    4.000000000000,
    0.000000000000,
    0.916666666667,
    3.833333333333,
    3.583333333333,
    0.833333333333,
    2.583333333333,
    5.000000000000,
    4.000000000000,
    0.083333333333,
    0.833333333333,
    5.000000000000,
    4.000000000000,
    4.583333333333,
    2.500000000000,
    4.916666666667,
    4.000000000000,
    0.000000000000,
    2.625000000000,
    1.000000000000,
    2.625000000000,
    1.208333333333,
    2.958333333333,
    5.000000000000,
    4.000000000000,
];

const MASK: [f64; 60] = [
    1.0, 2.0, 2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 1.0, 0.0, 0.0, 2.0, 3.0, 3.0, 2.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 2.0,
    2.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 2.0, 2.0,
    3.0, 2.0, 1.0, 2.0, 2.0, 2.0, 3.0, 2.0, 1.0, 2.0, 2.0, 2.0, 3.0, 2.0,
];
