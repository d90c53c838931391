//! A batch from the data set that lives beside the weights: gathered by index, cropped, flipped and normalised in one
//! pass from bytes into the first layer's layout.
//!
//! `x[i, h, w, c] = (pixel / 255 - mean[c]) / std[c]` of image `indices[i]`; when training, the image is padded with
//! black on all sides, cropped back to its size at a random place, and mirrored with probability one half (torchvision's
//! `RandomCrop(size, padding)` and `RandomHorizontalFlip`). The draws depend on seed, step and position alone.

pub(super) mod cases;
mod cuda;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::random::{Philox, Stream};
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::{DType, Shape};
use crate::with_float;

/// What is done to an image besides normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augmentation {
    /// Black pixels added on every side before the crop; 0: no crop.
    pub crop_padding: usize,
    /// Whether images are mirrored with probability one half.
    pub flip: bool,
}

/// Where a batch comes from.
#[derive(Clone, Copy, Debug)]
pub struct BatchSource {
    /// `[N, H, W, C]` bytes.
    pub images: ValueId,
    /// `[N]` u32.
    pub labels: ValueId,
    /// `[B]` u32: which images.
    pub indices: ValueId,
    /// `[1]` u32: the step, for the draws.
    pub step: ValueId,
}

#[derive(Debug)]
struct Batch {
    /// Per channel and byte: the normalised value.
    table: Vec<f64>,
    /// Per channel: what a byte is multiplied with, and what is added then.
    affine: Vec<[f64; 2]>,
    augmentation: Augmentation,
    generator: Philox,
}

impl Tape {
    /// The batch's images `[B, H, W, C]` and labels `[B]`.
    ///
    /// # Errors
    /// If there is not one mean and one positive standard deviation per channel.
    pub fn batch(
        &mut self,
        source: &BatchSource,
        mean: &[f32],
        std: &[f32],
        augmentation: Augmentation,
        seed: u64,
    ) -> Result<(ValueId, ValueId)> {
        let shape = self.shape(source.images);
        let channels = shape.channels();
        if mean.len() != channels || std.len() != channels || std.iter().any(|s| !(*s > 0.0)) {
            return Err(Error::request(format!(
                "images of {channels} channels need as many means and positive standard deviations, not {mean:?}, {std:?}"
            )));
        }
        let table = mean
            .iter()
            .zip(std)
            .flat_map(|(mean, std)| {
                (0..256).map(move |byte| (f64::from(byte) / 255.0 - f64::from(*mean)) / f64::from(*std))
            })
            .collect();
        let affine = mean.iter().zip(std).map(|(mean, std)| (f64::from(*mean), f64::from(*std)));
        let affine = affine.map(|(mean, std)| [1.0 / (255.0 * std), -mean / std]).collect();
        let images = self.shape(source.indices).count();
        let outputs = [
            ("images", self.storage(), Shape::from([images, shape[1], shape[2], channels])),
            ("labels", DType::U32, Shape::from([images])),
        ];
        let op = Batch { table, affine, augmentation, generator: Philox::new(seed, Stream::Augment) };
        let made = self.record(op, &[source.images, source.labels, source.indices, source.step], &outputs);
        Ok((made[0], made[1]))
    }
}

impl Batch {
    /// The crop's offset (rows, columns) relative to the image, and whether to mirror.
    fn draw(&self, step: u32, position: usize) -> (isize, isize, bool) {
        let [rows, columns, mirror, _] = self.generator.draw(u64::from(step), position as u64);
        let padding = self.augmentation.crop_padding;
        // The high product maps a word to 0..=2 padding evenly enough (error below 2^-28).
        let offset = |word: u32| ((u64::from(word) * (2 * padding as u64 + 1)) >> 32) as isize - padding as isize;
        (offset(rows), offset(columns), self.augmentation.flip && mirror & 1 == 1)
    }

    fn fill<T: Element>(&self, image: &[u8], shape: Shape, (top, left, mirror): (isize, isize, bool), out: &mut [T]) {
        let (height, width, channels) = (shape[1], shape[2], shape[3]);
        let value = |channel: usize, byte: u8| T::from_f64(self.table[channel * 256 + usize::from(byte)]);
        for (pixel, out) in out.chunks_exact_mut(channels).enumerate() {
            let (row, column) = (pixel / width, pixel % width);
            let column = if mirror { width - 1 - column } else { column };
            let (row, column) = (row as isize + top, column as isize + left);
            let inside = (0..height as isize).contains(&row) && (0..width as isize).contains(&column);
            for (channel, out) in out.iter_mut().enumerate() {
                let at = |r: isize, c: isize| image[(r as usize * width + c as usize) * channels + channel];
                *out = value(channel, if inside { at(row, column) } else { 0 });
            }
        }
    }
}

impl Operation for Batch {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn run(&self, frame: &Frame<'_>) {
        let (images, labels) = (frame.input::<u8>(0), frame.input::<u32>(1));
        let (indices, step) = (frame.input::<u32>(2), frame.input::<u32>(3)[0]);
        let shape = frame.input_shape(0);
        let size = shape.count() / shape[0];
        frame.output::<u32>(1).iter_mut().zip(indices).for_each(|(to, index)| *to = labels[*index as usize]);
        with_float!(frame.output_dtype(0), T => {
            frame.output::<T>(0).par_chunks_exact_mut(size).enumerate().for_each(|(position, out)| {
                let index = indices[position] as usize;
                self.fill(&images[index * size..(index + 1) * size], shape, self.draw(step, position), out);
            });
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, self);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
