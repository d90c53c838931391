//! `kd-engine bench`: how fast kernels and whole training steps are on this machine.

use std::num::NonZeroUsize;

use clap::Args;

use crate::config::DeviceRequest;

/// Measure kernels and whole training steps on this machine
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Only benchmarks whose name contains this, such as train-step/resnet20
    pub filter: Option<String>,
    /// List the benchmarks, measure nothing
    #[arg(long)]
    pub list: bool,
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
