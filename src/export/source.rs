//! What is exported: a net of the size that its weights were trained for, and these weights.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::nn::{Network, build, build_for};
use crate::train::weights::{self, ModelCard};

/// Height and width of the images where nobody says.
const RESOLUTION: usize = 32;

/// A trained model.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its layers.
    pub network: Network,
    /// Its parameters under PyTorch's names, in PyTorch's order of elements.
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// What the weights say of themselves, if this engine wrote them.
    pub card: Option<ModelCard>,
}

impl Source {
    /// Reads the weights in `file` of `model`, a name of the zoo or a file that describes one. Classes, channels and size of
    /// the images are those of the weights' card; a file without one says the first two by its shapes. `resolution` decides
    /// height and width, else the card, else they are 32.
    ///
    /// # Errors
    /// If there is no such model or file, or the one does not fit the other.
    pub fn read(model: &str, file: &Path, resolution: Option<usize>) -> Result<Self> {
        let card = weights::card(file)?;
        let side = resolution.unwrap_or(RESOLUTION);
        let network = match &card {
            Some(card) => {
                check(card).map_err(|what| Error::request(format!("{}: the card {what}", file.display())))?;
                let [height, width, channels] = card.input;
                let [height, width] = resolution.map_or([height, width], |side| [side, side]);
                build(model, card.classes, channels, height, width)?
            }
            None => build_for(model, side, &weights::shapes(file)?)?,
        };
        let parameters = network.parameters();
        let expected: Vec<(&str, &[usize])> =
            parameters.iter().map(|parameter| (parameter.name.as_str(), parameter.shape.as_slice())).collect();
        let tensors = weights::load(file, &expected)?.tensors;
        Ok(Self { network, tensors, card })
    }
}

/// Whether the card's numbers agree with one another; else what does not.
fn check(card: &ModelCard) -> Result<(), String> {
    let [height, width, channels] = card.input;
    if card.classes == 0 || card.class_names.len() != card.classes {
        return Err(format!("has {} classes and {} names of classes", card.classes, card.class_names.len()));
    }
    if height == 0 || width == 0 || channels == 0 {
        return Err(format!("says that images are {height}x{width}x{channels}"));
    }
    if card.mean.len() != channels || card.std.len() != channels {
        return Err(format!("has {} means and {} stds for {channels} channels", card.mean.len(), card.std.len()));
    }
    let narrow = |value: &f64| *value as f32;
    if !card.mean.iter().map(narrow).all(f32::is_finite) || !card.std.iter().map(narrow).all(f32::is_normal) {
        return Err(format!("normalises by mean {:?} and std {:?}", card.mean, card.std));
    }
    Ok(())
}
