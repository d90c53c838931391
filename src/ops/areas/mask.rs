//! What boxes cover: pixel (x, y) lies in a box if `trunc(x0) <= x <= trunc(x1)` and `trunc(y0) <= y <= trunc(y1)`, both
//! corners included.

use super::cuda;
use crate::error::{Error, Result};
use crate::ops::operands;
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

/// What a pixel is that several boxes cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Their number.
    #[default]
    Count,
    /// One.
    Union,
}

#[derive(Debug)]
pub(super) struct BoxMask {
    pub(super) overlap: Overlap,
}

impl Tape {
    /// The mask `[N, height, width, 1]` of `boxes` `[N, count, 4]`, each `(x0, y0, x1, y1)` in pixels: zero where no box is.
    ///
    /// # Errors
    /// If `boxes` are of another shape or not of the tape's float type, or the mask has no pixels.
    pub fn box_mask(&mut self, boxes: ValueId, height: usize, width: usize, overlap: Overlap) -> Result<ValueId> {
        operands::floats(self, "box_mask", &[boxes])?;
        operands::shaped(self, "box_mask", boxes, "boxes [N, count, 4]", &[None, None, Some(4)])?;
        if height == 0 || width == 0 {
            return Err(Error::request(format!("a mask of {height}x{width} has no pixels")));
        }
        let (dtype, shape) = (self.float(), Shape::from([self.shape(boxes)[0], height, width, 1]));
        Ok(self.record_one(BoxMask { overlap }, &[boxes], "mask", dtype, shape))
    }
}

impl BoxMask {
    fn run<T: Element>(&self, shape: Shape, boxes: &[T], mask: &mut [T]) {
        let (height, width) = (shape[1], shape[2]);
        let size = boxes.len() / shape[0];
        for (boxes, mask) in boxes.chunks_exact(size).zip(mask.chunks_exact_mut(height * width)) {
            mask.fill(T::ZERO);
            for corners in boxes.chunks_exact(4) {
                let [left, top, right, bottom] = [0, 1, 2, 3].map(|index| corners[index].to_f64().trunc());
                let covers = |x: usize, y: usize| {
                    let (x, y) = (x as f64, y as f64);
                    left <= x && x <= right && top <= y && y <= bottom
                };
                for (_, mask) in mask.iter_mut().enumerate().filter(|(pixel, _)| covers(pixel % width, pixel / width)) {
                    *mask = if self.overlap == Overlap::Union { T::ONE } else { *mask + T::ONE };
                }
            }
        }
    }
}

impl Operation for BoxMask {
    fn name(&self) -> &'static str {
        "box_mask"
    }

    fn run(&self, frame: &Frame<'_>) {
        let shape = frame.output_shape(0);
        with_float!(frame.output_dtype(0), T => self.run(shape, frame.input::<T>(0), frame.output::<T>(0)));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::box_mask(launcher, self.overlap);
        Ok(())
    }
}
