//! A model and its weights, as several commands take them.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::{Error, Result};
use crate::train::folder::expect_run;
use crate::train::weights;

/// Which model, and whose weights.
#[derive(Clone, Debug, Args)]
pub struct Trained {
    /// A name of the zoo, or a TOML file that describes a model; otherwise what the weights say they are of
    #[arg(long)]
    pub model: Option<String>,
    /// Weights under PyTorch's names, as safetensors; or the folder of a run, which needs --role
    #[arg(long, value_name = "FILE|RUN")]
    pub weights: PathBuf,
    /// Whose weights of the run's folder: teacher, peer-1, ..., student-METHOD-seedN
    #[arg(long)]
    pub role: Option<String>,
}

impl Trained {
    /// The model that is meant: the one that was named, else that of the weights in `file`.
    ///
    /// # Errors
    /// If neither says it, or the file cannot be read.
    pub fn model(&self, file: &Path) -> Result<String> {
        if let Some(model) = &self.model {
            return Ok(model.clone());
        }
        weights::card(file)?.map(|card| card.model).ok_or_else(|| {
            Error::request(format!("{} does not say of which model it is", file.display()))
                .help("name it: --model NAME, or --model FILE.toml")
        })
    }

    /// The file of weights that is meant. A run's folder holds several, so it needs a role.
    ///
    /// # Errors
    /// If there is a role without a folder, a folder without a role, or no such weights in it.
    pub fn file(&self) -> Result<PathBuf> {
        let path = &self.weights;
        let shown = path.display();
        match &self.role {
            Some(role) if path.is_dir() => weights::locate(path, role),
            Some(_) => Err(Error::request(format!("--role was given, but {shown} is not a run's folder"))
                .help("leave --role out, or give the folder that `kd-engine run` made")),
            None if path.is_dir() => {
                expect_run(path)?;
                let help = match weights::roles(path) {
                    roles if roles.is_empty() => "it has none yet: continue the run with --resume".into(),
                    roles => format!("choose one with --role: {}", roles.join(", ")),
                };
                Err(Error::request(format!("{shown} is a run's folder: it does not say whose weights")).help(help))
            }
            None => Ok(path.clone()),
        }
    }
}
