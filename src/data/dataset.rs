//! A data set in memory: images as bytes, labels, class names.

use std::sync::Arc;

use super::normalisation::Normalisation;
use crate::{Error, Result};

/// Labelled images of one split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Pixels, `[N, H, W, C]`, 0 to 255; shared, so that every plan that reads them can adopt them.
    pub images: Arc<Vec<u8>>,
    /// Class of each image, `[N]`.
    pub labels: Vec<u32>,
}

impl Split {
    /// Takes over pixels and labels, without the spare room they were read into.
    pub(super) fn new(mut images: Vec<u8>, mut labels: Vec<u32>) -> Self {
        images.shrink_to_fit();
        labels.shrink_to_fit();
        Self { images: Arc::new(images), labels }
    }

    /// Number of images N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Memory of pixels and labels in bytes.
    pub fn bytes(&self) -> usize {
        self.images.capacity() + self.labels.capacity() * size_of::<u32>()
    }
}

/// A data set in memory, with images of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The source's name.
    pub name: String,
    /// Height H of every image in pixels.
    pub height: usize,
    /// Width W of every image in pixels.
    pub width: usize,
    /// Channels C of every image: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Names of the classes by label; numbers as text where the source names none.
    pub classes: Vec<String>,
    /// What models are trained on (a validation split is taken from it, see [`super::split_validation`]).
    pub train: Split,
    /// What models are finally measured on.
    pub test: Split,
    /// The published mean and standard deviation, if the set is a known one.
    pub known_normalisation: Option<Normalisation>,
}

impl Dataset {
    /// Bytes of one image, H·W·C.
    pub fn image_bytes(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Memory of all pixels and labels in bytes, for the memory plan.
    pub fn bytes(&self) -> usize {
        self.train.bytes() + self.test.bytes()
    }

    /// The published normalisation of a known set, else that of the training split.
    pub fn normalisation(&self) -> Normalisation {
        self.known_normalisation.clone().unwrap_or_else(|| Normalisation::of(&self.train, self.channels))
    }

    /// Checks what every reader promises: images in both splits, one label per image, every label a class.
    pub(super) fn checked(self) -> Result<Self> {
        for (split, name) in [(&self.train, "training"), (&self.test, "test")] {
            if split.is_empty() {
                return Err(Error::request(format!("the {name} split of `{}` holds no images", self.name)));
            }
            if split.images.len() != split.len() * self.image_bytes() {
                return Err(Error::request(format!(
                    "the {name} split of `{}` holds {} bytes of pixels for {} labels of {}x{}x{} images",
                    self.name,
                    split.images.len(),
                    split.len(),
                    self.height,
                    self.width,
                    self.channels
                )));
            }
            if let Some(label) = split.labels.iter().find(|label| **label as usize >= self.classes.len()) {
                return Err(Error::request(format!(
                    "the {name} split of `{}` holds label {label}, but there are {} classes",
                    self.name,
                    self.classes.len()
                )));
            }
        }
        Ok(self)
    }
}

/// Class names for a source that has none: the numbers.
pub(super) fn numbered_classes(count: usize) -> Vec<String> {
    (0..count).map(|class| class.to_string()).collect()
}
