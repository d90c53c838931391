//! `kd-engine run`: runs an experiment.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use crate::config::{DeviceRequest, Overrides};

/// Run an experiment: train the mentors, then the student by each method
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A config file, else the name of a preset; without it, the default classroom on the embedded data
    #[arg(conflicts_with = "resume")]
    pub config: Option<String>,
    /// Change one setting; dotted keys (methods.0.tau=4), the value is TOML, else a text. Relative paths start at the
    /// current folder
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value, conflicts_with = "resume")]
    pub sets: Vec<(String, String)>,
    /// Where to compute: auto, cpu, cuda, cuda:N or sim
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// The seeds of the student
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', conflicts_with = "resume")]
    pub seeds: Option<Vec<u64>>,
    /// Train for so many epochs in every phase; ramps and milestones scale with them
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "resume")]
    pub epochs: Option<u32>,
    /// The run's folder, which must not exist yet; otherwise runs/<name>-<number>
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Continue the run in this folder from its newest checkpoint
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// How many threads compute; otherwise one for each core. Results do not depend on it
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Print the resolved config, the plan, the memory and the estimated time; train nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Show no progress, only the result
    #[arg(long)]
    pub quiet: bool,
    /// Print events as JSON lines on stdout instead of progress bars
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// What the arguments change about the config.
    pub fn overrides(&self) -> Overrides {
        Overrides { sets: self.sets.clone(), epochs: self.epochs, seeds: self.seeds.clone() }
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.trim().to_string())),
        _ => Err("expected KEY=VALUE, for instance train.optimizer.lr=0.1".into()),
    }
}
