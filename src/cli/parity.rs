//! `kd-engine parity`: replays what another implementation computed.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::DeviceRequest;

/// Replay parity cases: compare losses, gradients and training steps with what PyTorch computed
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Files in the kd-parity/1 format
    #[arg(required = true, value_name = "CASE")]
    pub cases: Vec<PathBuf>,
    /// Where to compute: auto, cpu, cuda, cuda:N or sim
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// Replay in this type alone; otherwise in every type the case is judged in
    #[arg(long)]
    pub dtype: Option<Dtype>,
    /// Relative tolerance instead of the format's
    #[arg(long, value_parser = tolerance)]
    pub rtol: Option<f64>,
    /// Absolute tolerance instead of the format's
    #[arg(long, value_parser = tolerance)]
    pub atol: Option<f64>,
    /// How many threads compute; otherwise one for each core
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// What a case is replayed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// 32-bit floating point
    F32,
    /// 64-bit floating point
    F64,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected a number of 0 or more".into()),
    }
}
