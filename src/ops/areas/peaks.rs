//! The highest peaks of every image's heatmap as boxes.
//!
//! A cell (class, y, x) is a peak if none of the 3x3 cells around it in its class is larger. Peaks are taken by height, then
//! what is no peak; the first in the order (class, y, x) among equals. Around the centre `(x, y) + offset` a
//! box reaches half of the size to each side: `(x0, y0, x1, y1)` in pixels. Its upper left corner is held to 0 and above, its
//! lower right one to `W - 1`, `H - 1` and below, as in the released code of SoKD: a box beyond the map's right or lower border
//! begins behind its end, and covers nothing.

use rayon::prelude::*;

use super::cuda;
use crate::error::{Error, Result};
use crate::ops::operands;
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Signature, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

#[derive(Debug)]
pub(super) struct PeakAreas;

impl Tape {
    /// The `count` highest peaks of each image as boxes `(x0, y0, x1, y1)` `[N, count, 4]`, from a heatmap `heat`
    /// `[N, H, W, K]` of K classes, and of every pixel the box's `size` (width, height) and the `offset` (x, y) of its
    /// centre, both `[N, H, W, 2]`.
    ///
    /// # Errors
    /// If types are not the tape's float type, shapes are others than these, or there are not `count` cells.
    pub fn peak_areas(&mut self, heat: ValueId, size: ValueId, offset: ValueId, count: usize) -> Result<ValueId> {
        let what = "peak_areas";
        operands::floats(self, what, &[heat, size, offset])?;
        operands::shaped(self, what, heat, "heat [N, H, W, K]", &[None; 4])?;
        let shape = self.shape(heat);
        let pairs = [Some(shape[0]), Some(shape[1]), Some(shape[2]), Some(2)];
        operands::shaped(self, what, size, "size [N, H, W, 2] of the heatmap's pixels", &pairs)?;
        operands::shaped(self, what, offset, "offset [N, H, W, 2] of the heatmap's pixels", &pairs)?;
        let cells = shape.count() / shape[0];
        if count == 0 || count > cells {
            return Err(Error::request(format!("cannot take {count} areas of a heatmap of {cells} cells")));
        }
        let dtype = self.float();
        Ok(self.record_one(PeakAreas, &[heat, size, offset], "areas", dtype, Shape::from([shape[0], count, 4])))
    }
}

/// A cell's height (minus infinity if it is no peak) and its number in the order (class, y, x); both are exact in f64.
type Cell = [f64; 2];

fn is_before(one: Cell, other: Cell) -> bool {
    one[0] > other[0] || (one[0] == other[0] && one[1] < other[1])
}

/// One image's heatmap `[H, W, K]`.
struct Heat<'a, T> {
    heights: &'a [T],
    height: usize,
    width: usize,
    classes: usize,
}

impl<T: Element> Heat<'_, T> {
    fn at(&self, y: usize, x: usize, class: usize) -> T {
        self.heights[(y * self.width + x) * self.classes + class]
    }

    /// Not a number is no peak, and neither is what stands beside it.
    fn is_peak(&self, y: usize, x: usize, class: usize) -> bool {
        let here = self.at(y, x, class);
        let rows = y.saturating_sub(1)..=(y + 1).min(self.height - 1);
        rows.into_iter().all(|y| {
            let mut columns = x.saturating_sub(1)..=(x + 1).min(self.width - 1);
            columns.all(|x| here >= self.at(y, x, class))
        })
    }

    /// The best cells in their order, as many as `best` holds.
    fn best(&self, best: &mut [Cell]) {
        let mut found = 0;
        for (place, height) in self.heights.iter().enumerate() {
            let (pixel, class) = (place / self.classes, place % self.classes);
            let number = (class * self.height * self.width + pixel) as f64;
            let mut cell = [height.to_f64(), number];
            // Most are lower than those found already, peak or not.
            if found == best.len() && cell[0] < best[found - 1][0] {
                continue;
            }
            if !self.is_peak(pixel / self.width, pixel % self.width, class) {
                cell[0] = f64::NEG_INFINITY;
            }
            let rank = best[..found].iter().position(|other| is_before(cell, *other)).unwrap_or(found);
            if rank < best.len() {
                found = (found + 1).min(best.len());
                best[rank..found].rotate_right(1);
                best[rank] = cell;
            }
        }
    }
}

/// The box of one cell.
fn area<T: Element>(number: usize, heat: &Heat<'_, T>, size: &[T], offset: &[T]) -> [T; 4] {
    let pixel = number % (heat.height * heat.width);
    let half = T::from_f64(0.5);
    let sides = [(pixel % heat.width, heat.width), (pixel / heat.width, heat.height)];
    let [horizontal, vertical] = [0, 1].map(|axis| {
        let (place, extent) = sides[axis];
        let last = T::from_f64((extent - 1) as f64);
        let centre = T::from_f64(place as f64) + offset[2 * pixel + axis];
        let reach = half * size[2 * pixel + axis];
        let end = centre + reach;
        [(centre - reach).maximum(T::ZERO), if end < last { end } else { last }]
    });
    [horizontal[0], vertical[0], horizontal[1], vertical[1]]
}

fn run<T: Element>(frame: &Frame<'_>) {
    let (shape, count) = (frame.input_shape(0), frame.output_shape(0)[1]);
    let (height, width, classes) = (shape[1], shape[2], shape[3]);
    let [heat, size, offset] = [0, 1, 2].map(|index| frame.input::<T>(index));
    let pixels = height * width;
    let best: &mut [Cell] = bytemuck::cast_slice_mut(frame.workspace::<f64>());
    let images = frame.output::<T>(0).par_chunks_exact_mut(4 * count).zip(best.par_chunks_exact_mut(count));
    images.enumerate().for_each(|(image, (boxes, best))| {
        let heat = Heat { heights: &heat[image * pixels * classes..][..pixels * classes], height, width, classes };
        heat.best(best);
        let [size, offset] = [size, offset].map(|pairs| &pairs[image * 2 * pixels..][..2 * pixels]);
        for (to, [_, number]) in boxes.chunks_exact_mut(4).zip(best) {
            to.copy_from_slice(&area(*number as usize, &heat, size, offset));
        }
    });
}

impl Operation for PeakAreas {
    fn name(&self) -> &'static str {
        "peak_areas"
    }

    fn workspace(&self, signature: &Signature) -> usize {
        let shape = signature.outputs[0].1;
        std::mem::size_of::<Cell>() * shape[0] * shape[1]
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => run::<T>(frame));
    }

    /// Every cell's height, minus infinity where there is no peak.
    fn gpu_workspace(&self, signature: &Signature) -> usize {
        4 * signature.inputs[0].1.count()
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::peak_areas(launcher);
        Ok(())
    }
}
