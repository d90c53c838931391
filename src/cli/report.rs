//! `kd-engine report`: the page about one run, or several side by side.

use std::path::{Path, PathBuf};

use clap::Args;

use super::output::{expect_place, print};
use crate::error::Result;
use crate::report;
use crate::train::folder::REPORT;

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

/// Runs the command.
///
/// # Errors
/// If a folder is not a run's, or the page cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let out = match (&arguments.out, arguments.runs.as_slice()) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.join(REPORT),
        (None, _) => PathBuf::from(REPORT),
    };
    if let Some(out) = &arguments.out {
        expect_place(out, "the report", REPORT)?;
    }
    let folders: Vec<&Path> = arguments.runs.iter().map(PathBuf::as_path).collect();
    report::write(&folders, &out)?;
    print(&format!("report: {}\n", out.display()))
}
