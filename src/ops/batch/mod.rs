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

/// From a byte of a channel to what the first layer sees.
#[derive(Debug)]
pub(in crate::ops) struct Normalisation {
    /// Per channel and byte: the normalised value.
    table: Vec<f64>,
    /// Per channel: what a byte is multiplied with, and what is added then.
    affine: Vec<[f64; 2]>,
}

/// Where a crop begins relative to the image, and whether it is mirrored then.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Crop {
    top: isize,
    left: isize,
    mirror: bool,
}

#[derive(Debug)]
struct Batch {
    normalisation: Normalisation,
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
        let normalisation = Normalisation::new(channels, mean, std)?;
        let images = self.shape(source.indices).count();
        let outputs = [
            ("images", self.storage(), Shape::from([images, shape[1], shape[2], channels])),
            ("labels", DType::U32, Shape::from([images])),
        ];
        let op = Batch { normalisation, augmentation, generator: Philox::new(seed, Stream::Augment) };
        let made = self.record(op, &[source.images, source.labels, source.indices, source.step], &outputs);
        Ok((made[0], made[1]))
    }
}

impl Normalisation {
    /// `(byte / 255 - mean) / std` for each of the channels.
    ///
    /// # Errors
    /// If there is not one mean and one positive standard deviation per channel.
    pub(in crate::ops) fn new(channels: usize, mean: &[f32], std: &[f32]) -> Result<Self> {
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
        Ok(Self { table, affine })
    }

    /// What a byte of a channel becomes.
    pub(in crate::ops) fn of(&self, channel: usize, byte: u8) -> f64 {
        self.table[channel * 256 + usize::from(byte)]
    }

    /// For kernels: `[C, 2]` float32, what a byte is multiplied with and what is added then.
    pub(in crate::ops) fn affine(&self) -> Vec<f32> {
        self.affine.iter().flatten().map(|value| *value as f32).collect()
    }
}

impl Augmentation {
    /// The crop that random words mean.
    pub(in crate::ops) fn crop(self, [rows, columns, mirror, _]: [u32; 4]) -> Crop {
        let padding = self.crop_padding;
        // The high product maps a word to 0..=2 padding evenly enough (error below 2^-28).
        let offset = |word: u32| ((u64::from(word) * (2 * padding as u64 + 1)) >> 32) as isize - padding as isize;
        Crop { top: offset(rows), left: offset(columns), mirror: self.flip && mirror & 1 == 1 }
    }
}

impl Crop {
    /// Which pixel of the image the crop's pixel `pixel` is; none in the black around it.
    pub(in crate::ops) fn pixel(self, pixel: usize, height: usize, width: usize) -> Option<usize> {
        let (row, column) = (pixel / width, pixel % width);
        let column = if self.mirror { width - 1 - column } else { column };
        let (row, column) = (row as isize + self.top, column as isize + self.left);
        let inside = (0..height as isize).contains(&row) && (0..width as isize).contains(&column);
        inside.then(|| row as usize * width + column as usize)
    }
}

impl Batch {
    fn fill<T: Element>(&self, image: &[u8], shape: Shape, crop: Crop, out: &mut [T]) {
        let (height, width, channels) = (shape[1], shape[2], shape[3]);
        for (pixel, out) in out.chunks_exact_mut(channels).enumerate() {
            let from = crop.pixel(pixel, height, width);
            for (channel, out) in out.iter_mut().enumerate() {
                let byte = from.map_or(0, |from| image[from * channels + channel]);
                *out = T::from_f64(self.normalisation.of(channel, byte));
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
                let crop = self.augmentation.crop(self.generator.draw(u64::from(step), position as u64));
                self.fill(&images[index * size..(index + 1) * size], shape, crop, out);
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
