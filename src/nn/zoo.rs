//! Models by name: the families that come with the engine, and files of the user's own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::family::Family;
use super::network::Network;
use crate::error::{Error, Result};

/// The files of `models/`, in the order in which they are listed.
const FILES: [(&str, &str); 11] = [
    ("models/resnet.toml", include_str!("../../models/resnet.toml")),
    ("models/resnet_wide_stem.toml", include_str!("../../models/resnet_wide_stem.toml")),
    ("models/wrn.toml", include_str!("../../models/wrn.toml")),
    ("models/vgg.toml", include_str!("../../models/vgg.toml")),
    ("models/mobilenet_v2.toml", include_str!("../../models/mobilenet_v2.toml")),
    ("models/shufflenet_v1.toml", include_str!("../../models/shufflenet_v1.toml")),
    ("models/shufflenet_v2.toml", include_str!("../../models/shufflenet_v2.toml")),
    ("models/amtml_resnet.toml", include_str!("../../models/amtml_resnet.toml")),
    ("models/amtml_vgg.toml", include_str!("../../models/amtml_vgg.toml")),
    ("models/amtml_densenet.toml", include_str!("../../models/amtml_densenet.toml")),
    ("models/amtml_mynet.toml", include_str!("../../models/amtml_mynet.toml")),
];

static FAMILIES: LazyLock<Vec<Arc<Family>>> = LazyLock::new(|| {
    let read = |(file, text): &(&str, &str)| match Family::parse(file, text) {
        Ok(family) => Arc::new(family),
        Err(error) => panic!("{file}, compiled into the engine, is wrong: {error}"),
    };
    FILES.iter().map(read).collect()
});

/// A model of the zoo or of a user's file, not yet of any size.
#[derive(Clone, Debug)]
pub struct Model {
    family: Arc<Family>,
    index: usize,
}

impl Model {
    /// The name it has in its file.
    pub fn name(&self) -> &str {
        self.family.names().nth(self.index).expect("the index was found among the names")
    }

    /// What the family says about itself.
    pub fn about(&self) -> &str {
        self.family.about()
    }

    /// The network for so many classes and images of `[height, width, in_channels]`.
    ///
    /// # Errors
    /// Where a layer does not fit, such as a map that shrinks to nothing; the message names the layer and its line.
    pub fn build(&self, classes: usize, in_channels: usize, height: usize, width: usize) -> Result<Network> {
        self.family.build(self.index, classes, in_channels, height, width)
    }
}

/// All models that come with the engine, family by family.
pub fn models() -> Vec<Model> {
    FAMILIES.iter().flat_map(models_of).collect()
}

/// Their names.
pub fn names() -> Vec<String> {
    models().iter().map(|model| model.name().to_string()).collect()
}

/// The model that `name` means: one of the zoo, `file.toml`, or `file.toml:model` where the file has several.
///
/// # Errors
/// For an unknown name (with the nearest one), a file that cannot be read, and a file that is wrong.
pub fn find(name: &str) -> Result<Model> {
    find_from(Path::new(""), name)
}

/// As [`find`], with paths relative to `folder`: for names in a config, the config's folder.
///
/// # Errors
/// As [`find`].
pub fn find_from(folder: &Path, name: &str) -> Result<Model> {
    match file_and_model(name) {
        Some((file, model)) => own(&folder.join(file), model),
        None => {
            let models = models();
            match models.iter().find(|model| model.name() == name) {
                Some(model) => Ok(model.clone()),
                None => {
                    let error = Error::request(format!("no model is called `{name}`"));
                    Err(error.suggest(name, models.iter().map(Model::name)))
                }
            }
        }
    }
}

/// The file that `name` means, if it does: `file.toml` or `file.toml:model`.
pub fn own_file(name: &str) -> Option<&Path> {
    file_and_model(name).map(|(file, _)| Path::new(file))
}

fn file_and_model(name: &str) -> Option<(&str, Option<&str>)> {
    if name.ends_with(".toml") {
        return Some((name, None));
    }
    let (before, model) = name.rsplit_once(".toml:")?;
    Some((&name[..before.len() + ".toml".len()], Some(model)))
}

fn own(file: &PathBuf, model: Option<&str>) -> Result<Model> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::reading(file, error))?;
    let family = Arc::new(Family::parse(&file.display().to_string(), &text)?);
    let models = models_of(&family);
    let list = || models.iter().map(Model::name).collect::<Vec<_>>().join(", ");
    match model {
        None if models.len() == 1 => Ok(models[0].clone()),
        None => {
            let message = format!("{} has several models", file.display());
            let first = models[0].name();
            Err(Error::request(message).help(format!("say which, as in {}:{first}; it has {}", file.display(), list())))
        }
        Some(name) => match models.iter().find(|model| model.name() == name) {
            Some(model) => Ok(model.clone()),
            None => {
                let error = Error::request(format!("{} has no model `{name}`", file.display()));
                Err(error.suggest(name, models.iter().map(Model::name)))
            }
        },
    }
}

fn models_of(family: &Arc<Family>) -> Vec<Model> {
    (0..family.names().count()).map(|index| Model { family: family.clone(), index }).collect()
}
