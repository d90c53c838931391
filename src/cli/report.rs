//! `kd-engine report`: the page about one run, or several side by side.

use std::path::PathBuf;

use clap::Args;

/// Write the self-contained HTML report of one run, or of several side by side
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Folders of runs
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Where to write it; otherwise report.html in the run's folder, or in the current folder for several runs
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
