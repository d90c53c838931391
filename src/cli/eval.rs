//! `kd-engine eval`: how well a model with weights does on the test split.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use crate::config::DeviceRequest;

/// Measure top-1, top-5 and loss of a model with weights on the test split
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A name of the zoo, or a TOML file that describes a model
    #[arg(long)]
    pub model: String,
    /// Weights under PyTorch's names, as safetensors
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// A data source's name (embedded, fashion-mnist) or the path of an archive or folder
    #[arg(long, value_name = "SRC")]
    pub data: String,
    /// Images of one step
    #[arg(long, default_value = "256")]
    pub batch_size: NonZeroUsize,
    /// Where to compute: auto, cpu, cuda, cuda:N or sim
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// How many threads compute; otherwise one for each core
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}
