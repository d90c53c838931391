//! What is learned from, ready for the tape: a data set's bytes shared by all stages, its split and its normalisation.

use std::sync::Arc;

use crate::config::DataConfig;
use crate::data::{self, Dataset, Normalisation, split_validation};
use crate::error::{Error, Result};
use crate::tape::{StateId, StateLayout};
use crate::tensor::DType;

/// The images of one split.
#[derive(Clone, Debug)]
pub struct Images {
    /// `[N, H, W, C]` bytes.
    pub pixels: Arc<Vec<u8>>,
    /// `[N]`
    pub labels: Arc<Vec<u32>>,
}

/// A data set that is ready to be learned from.
#[derive(Clone, Debug)]
pub struct Material {
    /// The data set's name.
    pub name: String,
    /// Height, width and channels of an image.
    pub shape: [usize; 3],
    /// Names of the classes by label.
    pub classes: Vec<String>,
    /// Mean and standard deviation per channel.
    pub normalisation: Normalisation,
    /// The training split, with what is held out of it.
    pub train: Images,
    /// The test split.
    pub test: Images,
    /// Indices into the training split of what is learned from.
    pub learn: Vec<u32>,
    /// Indices into the training split of what models are selected by; may be empty.
    pub validation: Vec<u32>,
}

/// A split's pixels and labels as state.
#[derive(Clone, Copy, Debug)]
pub struct ImagesState {
    /// The adopted pixels.
    pub pixels: StateId,
    /// The labels.
    pub labels: StateId,
}

impl Images {
    /// Declares the pixels (shared) and the labels, which [`super::stage`] fills in.
    pub fn declare(&self, layout: &mut StateLayout, name: &str, [height, width, channels]: [usize; 3]) -> ImagesState {
        let count = self.labels.len();
        let pixels = layout.adopt(format!("{name}/pixels"), [count, height, width, channels], self.pixels.clone());
        ImagesState { pixels, labels: layout.declare(format!("{name}/labels"), DType::U32, [count]) }
    }
}

impl Material {
    /// Opens the data set that `config` names and splits it.
    ///
    /// # Errors
    /// If it cannot be read whole, or the config's split or normalisation does not fit it.
    pub fn open(config: &DataConfig) -> Result<Self> {
        let dataset = data::open(config.source, config.path.as_deref()).map_err(|error| match &config.path {
            Some(path) if !path.exists() => error.help("data.path says where the data is: --set data.path=PATH"),
            _ => error,
        })?;
        let given = config.mean.as_ref().zip(config.std.as_ref());
        let narrow = |values: &[f64]| values.iter().map(|x| *x as f32).collect();
        let normalisation = given.map(|(mean, std)| Normalisation { mean: narrow(mean), std: narrow(std) });
        Self::new(dataset, normalisation, config.validation, config.validation_seed)
    }

    /// Opens a source's name or a path, as `--data` takes it.
    ///
    /// # Errors
    /// If it cannot be read whole.
    pub fn open_named(source: &str) -> Result<Self> {
        Self::new(data::open_named(source)?, None, 0.0, 0)
    }

    fn new(dataset: Arc<Dataset>, given: Option<Normalisation>, validation: f64, seed: u64) -> Result<Self> {
        let normalisation = given.unwrap_or_else(|| dataset.normalisation());
        let channels = dataset.channels;
        if normalisation.mean.len() != channels || normalisation.std.len() != channels {
            return Err(Error::request(format!(
                "data.mean and data.std have {} and {} numbers, but the images have {channels} channels",
                normalisation.mean.len(),
                normalisation.std.len()
            )));
        }
        let (learn, validation) = split_validation(&dataset.train.labels, &dataset.classes, validation, seed)?;
        let images =
            |split: &data::Split| Images { pixels: split.images.clone(), labels: Arc::new(split.labels.clone()) };
        Ok(Self {
            name: dataset.name.clone(),
            shape: [dataset.height, dataset.width, dataset.channels],
            classes: dataset.classes.clone(),
            normalisation,
            train: images(&dataset.train),
            test: images(&dataset.test),
            learn,
            validation,
        })
    }

    /// Bytes of all pixels and labels.
    pub fn bytes(&self) -> usize {
        let of = |images: &Images| images.pixels.len() + 4 * images.labels.len();
        of(&self.train) + of(&self.test)
    }

    /// Builds `model` for this data set.
    ///
    /// # Errors
    /// If there is no such model, or it cannot take these images.
    pub fn network(&self, model: &str) -> Result<crate::nn::Network> {
        let [height, width, channels] = self.shape;
        crate::nn::build(model, self.classes.len(), channels, height, width)
    }

    /// One line for people: sizes of the splits and shape of the images.
    pub fn describe(&self) -> String {
        let [height, width, channels] = self.shape;
        format!(
            "{}: {} to learn from, {} held out, {} to test; {} classes, {height}x{width}x{channels}",
            self.name,
            self.learn.len(),
            self.validation.len(),
            self.test.labels.len(),
            self.classes.len()
        )
    }
}
