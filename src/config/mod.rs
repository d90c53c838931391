//! Experiments: strict TOML into types.
//!
//! A text becomes a tree that remembers where each setting was written, `--set` changes the tree, and each table's
//! own file reads its types from it; every error points at the file and bytes it is about. [`Config::to_toml`] writes
//! everything back, every default written out, so that reading it again gives the same [`Config`].

mod advice;
mod classroom;
mod data;
mod device;
mod methods;
mod output;
mod reader;
mod schedule;
mod train;
mod tree;
mod write;

pub mod presets;

use std::path::{Path, PathBuf};

pub use classroom::{ClassroomConfig, ModelChoice};
pub use data::{Augment, DataConfig, SourceKind};
pub use device::DeviceRequest;
pub use methods::MethodConfig;
pub use output::{Checkpoints, OutputConfig};
pub use schedule::{Schedule, Shape};
pub use train::{Optimizer, Precision, TrainConfig};

use crate::error::{Error, Result, nearest};
use reader::{Item, Reader};
use train::Trained;
use tree::Node;

/// One experiment, every choice made.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What its runs are called; fit to be a folder's name.
    pub name: String,
    /// What is learned from.
    pub data: DataConfig,
    /// Who learns from whom.
    pub classroom: ClassroomConfig,
    /// How mentors without weights are trained.
    pub pretrain: TrainConfig,
    /// The student is trained once by each of these, from the same initial weights, on the same mentors.
    pub methods: Vec<MethodConfig>,
    /// How the student is trained.
    pub train: TrainConfig,
    /// What a run leaves besides its results.
    pub output: OutputConfig,
}

/// What the command line changes about a config.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--set key=value`, in their order. Relative paths in them start at the current folder.
    pub sets: Vec<(String, String)>,
    /// `--epochs N`: the epochs of every phase; ramps and milestones scale with them.
    pub epochs: Option<u32>,
    /// `--seeds 1,2,3`: the seeds of the student.
    pub seeds: Option<Vec<u64>>,
}

impl Config {
    /// Reads the file at `config`, else the preset called so; without one, the default preset.
    ///
    /// # Errors
    /// Where there is neither such a file nor such a preset, or what is written is wrong.
    pub fn load(config: Option<&str>, overrides: &Overrides) -> Result<Self> {
        let config = config.unwrap_or(presets::DEFAULT);
        let path = Path::new(config);
        if path.is_file() {
            let text = std::fs::read_to_string(path).map_err(|error| Error::reading(path, error))?;
            let folder = path.parent().unwrap_or(Path::new(""));
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("run");
            return Self::parse(config, &text, stem, &folder_absolute(folder)?, overrides);
        }
        if let Some(preset) = presets::PRESETS.iter().find(|preset| preset.name == config) {
            let name = format!("preset {config}");
            return Self::parse(&name, preset.text, config, &folder_absolute(Path::new(""))?, overrides);
        }
        let message = if path.is_dir() {
            format!("{config} is a folder, not a config")
        } else {
            format!("there is no config file and no preset called `{config}`")
        };
        let names = || presets::PRESETS.iter().map(|preset| preset.name);
        Err(Error::request(message).help(match nearest(config, names()) {
            Some(near) => format!("did you mean the preset `{near}`?"),
            None => "a config is a TOML file, or a preset: `kd-engine presets` lists them".into(),
        }))
    }

    /// Reads `text`, which messages call `file`. Without a `name` in it the experiment is called `standard_name`;
    /// relative paths start at `folder`, which is absolute.
    ///
    /// # Errors
    /// Where what is written is wrong.
    pub fn parse(file: &str, text: &str, standard_name: &str, folder: &Path, overrides: &Overrides) -> Result<Self> {
        let mut root = Node::parse(file, text, folder)?;
        if !overrides.sets.is_empty() {
            let here = folder_absolute(Path::new(""))?;
            for (key, value) in &overrides.sets {
                root.set(key, value, &here)?;
            }
        }
        let mut config = Self::read(Reader::root(&root)?, standard_name)?;
        if let Some(epochs) = overrides.epochs {
            if epochs == 0 || i64::from(epochs) > schedule::MAX_EPOCHS {
                let most = schedule::MAX_EPOCHS;
                return Err(Error::request(format!(
                    "--epochs: expected a whole number from 1 to {most}, found {epochs}"
                )));
            }
            let (before, of_mentors) = (config.train.epochs, config.pretrain.epochs);
            config.methods.iter_mut().for_each(|method| method.hyperparameters.scale(before, epochs));
            let taught = config.classroom.assistants.iter_mut().chain(&mut config.classroom.peers);
            taught
                .filter_map(|mentor| mentor.taught_by.as_mut())
                .for_each(|method| method.hyperparameters.scale(of_mentors, epochs));
            config.pretrain.scale_to(epochs);
            config.train.scale_to(epochs);
        }
        if let Some(seeds) = &overrides.seeds {
            check_seeds(seeds)?;
            config.train.seeds.clone_from(seeds);
        }
        Ok(config)
    }

    /// The config with every default written out: what is saved with a run and reruns it exactly.
    pub fn to_toml(&self) -> String {
        write::to_toml(self)
    }

    fn read(mut root: Reader<'_>, standard_name: &str) -> Result<Self> {
        let name = match root.take("name") {
            Some(item) => {
                let text = item.text()?;
                check_file_name(text).map_err(|why| item.error(why))?;
                text.to_string()
            }
            None => fit_for_file(standard_name),
        };
        let data = root.or("data", DataConfig::standard(), |item| DataConfig::read(item.table()?))?;
        let listed = root.take("methods");
        let methods = listed.as_ref().map(MethodConfig::read_all).transpose()?;
        let classroom = root.required("classroom")?.table()?;
        let classroom = ClassroomConfig::read(classroom, methods.as_deref().unwrap_or_default())?;
        let methods = match (listed, methods) {
            (Some(list), Some(methods)) => MethodConfig::check_needs(&methods, &list, &classroom).map(|()| methods)?,
            _ => MethodConfig::standards(&classroom),
        };
        let training = |item: Item<'_>, trained| TrainConfig::read(item.table()?, trained);
        let pretrain =
            root.or("pretrain", TrainConfig::standard(Trained::Mentors), |item| training(item, Trained::Mentors))?;
        let train = root.or("train", TrainConfig::standard(Trained::Student), |item| {
            let train = training(item.clone(), Trained::Student)?;
            MethodConfig::check_labels(&methods, &train).map_err(|why| item.error(why))?;
            Ok(train)
        })?;
        let output = root.or("output", OutputConfig::standard(), |item| OutputConfig::read(item.table()?))?;
        root.finish()?;
        Ok(Self { name, data, classroom, pretrain, methods, train, output })
    }
}

/// Seeds from the command line, checked as those in a file.
fn check_seeds(seeds: &[u64]) -> Result<()> {
    if seeds.is_empty() {
        return Err(Error::request("--seeds: expected at least one seed"));
    }
    for (index, seed) in seeds.iter().enumerate() {
        if i64::try_from(*seed).is_err() {
            return Err(Error::request(format!("--seeds: {seed} is above the largest seed, {}", i64::MAX)));
        }
        if seeds[..index].contains(seed) {
            return Err(Error::request(format!("--seeds: seed {seed} is there twice")));
        }
    }
    Ok(())
}

fn folder_absolute(folder: &Path) -> Result<PathBuf> {
    let current = std::env::current_dir().map_err(|error| Error::reading("the current folder", error))?;
    Ok(current.join(folder))
}

const NAME_LENGTH: usize = 100;

fn fits_file(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

/// Says why `name` cannot be part of a file's name on every system, if so.
fn check_file_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_LENGTH {
        return Err(format!("expected a name of 1 to {NAME_LENGTH} letters, found {}", name.len()));
    }
    if name.starts_with(['.', '-']) || !name.chars().all(fits_file) {
        return Err(format!(
            "\"{name}\" becomes part of file names: expected letters, digits, `-`, `_` and `.`, starting with a letter \
             or digit"
        ));
    }
    Ok(())
}

/// `name` with everything replaced that [`check_file_name`] would refuse.
fn fit_for_file(name: &str) -> String {
    let fit: String = name.chars().map(|letter| if fits_file(letter) { letter } else { '_' }).collect();
    let fit: String = fit.trim_start_matches(['.', '-']).chars().take(NAME_LENGTH).collect();
    if fit.is_empty() { "run".into() } else { fit }
}

#[cfg(test)]
mod tests;
