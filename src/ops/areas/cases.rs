//! What the kernels are checked on.

use super::Overlap;
use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Fewer cells than threads, several passes over the cells, ties throughout, every cell taken, maps of one row, one column
    // and one pixel.
    for (shape, count) in [
        ([2, 5, 6, 3], 4),
        ([3, 9, 11, 7], 9),
        ([1, 3, 2, 2], 12),
        ([1, 7, 8, 2], 112),
        ([2, 1, 20, 2], 5),
        ([2, 20, 1, 1], 5),
        ([2, 1, 1, 1], 1),
        ([1, 16, 16, 5], 40),
    ] {
        let [images, height, width, classes] = shape;
        for kind in ["without ties", "with ties", "of one height"] {
            let name = format!("peak_areas {count} of {images}x{height}x{width}x{classes} {kind}");
            cases.push(Case::new(name, Storage::F32, move |probe| {
                let mut heights = probe.normal(shape.iter().product());
                if kind == "of one height" {
                    heights.fill(0.5);
                } else if kind == "with ties" {
                    // Some heads end in the same number everywhere but here and there; and there is one that is none.
                    heights.iter_mut().for_each(|height| *height = (1.5 * *height).round().clamp(-1.0, 2.0) + 0.0);
                    heights[0] = f64::NAN;
                }
                let heat = probe.float_of("heat", shape, heights);
                let pairs = [images, height, width, 2];
                // Boxes of up to a few pixels, some beyond the map on either side.
                let mut around = |name: &str, mean: f64| {
                    let values = probe.normal(pairs.iter().product()).into_iter().map(|x| mean + x).collect();
                    probe.float_of(name, pairs, values)
                };
                let (size, offset) = (around("size", 2.5), around("offset", 0.25));
                let boxes = probe.tape.peak_areas(heat, size, offset, count)?;
                probe.check("boxes", boxes, Tolerance::sum(1));
                Ok(())
            }));
        }
    }
    for overlap in [Overlap::Count, Overlap::Union] {
        for (images, areas, height, width) in [(2, 5, 6, 4), (3, 8, 11, 9), (2, 3, 5, 5), (2, 7, 8, 6), (1, 1, 1, 1)] {
            let name = format!("box_mask {overlap:?} of {areas} on {images}x{height}x{width}");
            cases.push(Case::new(name, Storage::F32, move |probe| {
                // Corners between pixels and on them, the second before the first now and then, and beyond the map.
                let corner = |value: f64, index: usize| {
                    let extent = [width, height][index % 2] as f64;
                    let middle = [0.25, 0.6][index / 2 % 2] * extent + 0.3 * extent * value;
                    if index.is_multiple_of(3) { middle.round() + 0.0 } else { middle }
                };
                let values = probe.normal(images * areas * 4).into_iter().enumerate();
                let values = values.map(|(index, value)| corner(value, index)).collect();
                let boxes = probe.float_of("boxes", [images, areas, 4], values);
                let mask = probe.tape.box_mask(boxes, height, width, overlap)?;
                probe.check("mask", mask, Tolerance::EXACT);
                Ok(())
            }));
        }
    }
    cases
}
