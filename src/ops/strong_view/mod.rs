//! A strongly augmented view of a batch's images: crop and mirroring of its own, a few random distortions (RandAugment,
//! Cubuk et al., arXiv 1909.13719), and a covered rectangle (Cutout, DeVries and Taylor, arXiv 1708.04552).
//!
//! This is what multi-level logit distillation trains on beside the ordinary view (Jin et al., CVPR 2023). Its code takes
//! the distortions of FixMatch (Sohn et al., NeurIPS 2020): each operation has a range, and how strongly it acts is drawn
//! evenly from it, so that the paper's magnitude of 10 has no effect; nor has it one here. The bytes are Pillow's, whose
//! numbers are drawn from so many steps that whole numbers do (256ths of a factor, 65536ths of a pixel, 1024 angles), so
//! that every device makes the same.

pub(super) mod cases;
mod cuda;
mod distortion;
pub(super) mod workloads;

use rayon::prelude::*;

use self::distortion::{Draw, Pixels, rotations};
use super::batch::{Augmentation, BatchSource, Normalisation};
use crate::error::{Error, Result};
use crate::random::{Philox, Stream};
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Signature, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

/// Longest side of an image: places within it are held in 65536ths of a pixel.
const LONGEST: usize = 4096;

/// How many distortions an image gets; the rectangle comes behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandAugment {
    /// Operations, drawn with replacement from the fourteen of FixMatch.
    pub operations: usize,
}

impl Default for RandAugment {
    /// Two, as in multi-level logit distillation.
    fn default() -> Self {
        Self { operations: 2 }
    }
}

/// Inputs: images, indices, step.
#[derive(Debug)]
struct StrongView {
    normalisation: Normalisation,
    augmentation: Augmentation,
    operations: usize,
    generator: Philox,
    /// Of every step of the angle, where a pixel comes from.
    rotations: Vec<[i32; 6]>,
}

/// Which numbers of an image are drawn: the upper half of the counter beside the step. 0 is the ordinary view's crop.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Crop = 1,
    Cutout = 2,
    /// The first operation; the others follow.
    Operation = 3,
}

impl Tape {
    /// A second view `[B, H, W, C]` of the images that [`Tape::batch`] makes of the same `source`: cropped and mirrored by
    /// draws of its own, distorted, partly covered, normalised.
    ///
    /// # Errors
    /// If images have not one or three channels, or sides of more than 4096 pixels, or if there is not one mean and one
    /// positive standard deviation per channel.
    pub fn strong_view(
        &mut self,
        source: &BatchSource,
        mean: &[f32],
        std: &[f32],
        augmentation: Augmentation,
        distortions: RandAugment,
        seed: u64,
    ) -> Result<ValueId> {
        let shape = self.shape(source.images);
        let (height, width, channels) = (shape[1], shape[2], shape.channels());
        if ![1, 3].contains(&channels) || height.max(width) > LONGEST {
            return Err(Error::request(format!(
                "strong views are made of images with 1 or 3 channels and at most {LONGEST} pixels a side, not \
                 {height}x{width} with {channels}"
            )));
        }
        let op = StrongView {
            normalisation: Normalisation::new(channels, mean, std)?,
            augmentation,
            operations: distortions.operations,
            generator: Philox::new(seed, Stream::Augment),
            rotations: rotations(height, width),
        };
        let images = self.shape(source.indices).count();
        let (dtype, shape) = (self.storage(), Shape::from([images, height, width, channels]));
        Ok(self.record_one(op, &[source.images, source.indices, source.step], "strong view", dtype, shape))
    }
}

impl StrongView {
    fn draw(&self, step: u32, position: usize, purpose: Purpose, which: usize) -> [u32; 4] {
        let purpose = purpose as u64 + which as u64;
        self.generator.draw(purpose << 32 | u64::from(step), position as u64)
    }

    fn fill<T: Element>(&self, source: &[u8], mut image: Pixels<'_>, step: u32, position: usize, out: &mut [T]) {
        let (height, width, channels) = (image.height, image.width, image.channels);
        let crop = self.augmentation.crop(self.draw(step, position, Purpose::Crop, 0));
        for (pixel, to) in image.bytes.chunks_exact_mut(channels).enumerate() {
            match crop.pixel(pixel, height, width) {
                Some(from) => to.copy_from_slice(&source[from * channels..(from + 1) * channels]),
                None => to.fill(0),
            }
        }
        for which in 0..self.operations {
            image.distort(Draw::of(self.draw(step, position, Purpose::Operation, which)), &self.rotations);
        }
        image.cover(self.draw(step, position, Purpose::Cutout, 0));
        for (at, (out, byte)) in out.iter_mut().zip(&*image.bytes).enumerate() {
            *out = T::from_f64(self.normalisation.of(at % channels, *byte));
        }
    }
}

impl Operation for StrongView {
    fn name(&self) -> &'static str {
        "strong_view"
    }

    fn run(&self, frame: &Frame<'_>) {
        let (images, indices, step) = (frame.input::<u8>(0), frame.input::<u32>(1), frame.input::<u32>(2)[0]);
        let shape = frame.output_shape(0);
        let (height, width, channels) = (shape[1], shape[2], shape[3]);
        let size = height * width * channels;
        with_float!(frame.output_dtype(0), T => {
            let views = frame.output::<T>(0).par_chunks_exact_mut(size);
            let buffers = frame.workspace::<u8>().par_chunks_exact_mut(2 * size);
            views.zip(buffers).enumerate().for_each(|(position, (out, buffer))| {
                let index = indices[position] as usize;
                let (bytes, spare) = buffer.split_at_mut(size);
                let image = Pixels { height, width, channels, bytes, spare };
                self.fill(&images[index * size..(index + 1) * size], image, step, position, out);
            });
        });
    }

    fn workspace(&self, signature: &Signature) -> usize {
        2 * signature.outputs[0].1.count()
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        self.workspace(signature)
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, self);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
