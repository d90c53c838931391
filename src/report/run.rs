//! Reads a run's folder for the page.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::phases::{Start, starts};
use crate::train::folder::{CLASSROOM, CONFIG, METRICS, SUMMARY, TIMING, expect_run};
use crate::train::log::read_lines;
use crate::train::records::{ClassroomLine, MetricsLine, Summary, TimingLine};
use crate::{Error, Result};

/// One run, as far as it has come.
pub(super) struct Run {
    /// What tells it from the other runs on the page.
    pub(super) label: String,
    pub(super) name: String,
    pub(super) config: String,
    pub(super) metrics: Vec<MetricsLine>,
    pub(super) classroom: Vec<ClassroomLine>,
    pub(super) timing: Vec<TimingLine>,
    /// Where the phases of its methods begin.
    pub(super) starts: Vec<Start>,
    /// None before the run is finished.
    pub(super) summary: Option<Summary>,
}

/// Reads the runs that stand side by side.
pub(super) fn read_all(folders: &[&Path]) -> Result<Vec<Run>> {
    if folders.is_empty() {
        return Err(Error::request("no run to report on").help("give at least one run's folder"));
    }
    let mut runs: Vec<Run> = Vec::with_capacity(folders.len());
    for folder in folders {
        let mut run = read(folder)?;
        // Runs that share a folder's name are told apart by a number.
        let twins = runs.iter().filter(|other| other.label.split(" #").next() == Some(&run.label)).count();
        if twins > 0 {
            run.label = format!("{} #{}", run.label, twins + 1);
        }
        runs.push(run);
    }
    Ok(runs)
}

fn read(folder: &Path) -> Result<Run> {
    expect_run(folder)?;
    let text = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|error| Error::reading(&path, error))
    };
    let config = text(CONFIG)?;
    let summary = if folder.join(SUMMARY).is_file() {
        let summary = Summary::from_json(&text(SUMMARY)?);
        Some(summary.map_err(|error| error.within(folder.join(SUMMARY).display()))?)
    } else {
        None
    };
    let parsed = config.parse::<toml::Table>().ok();
    let starts = parsed.as_ref().map(starts).unwrap_or_default();
    let named = parsed.and_then(|config| Some(config.get("name")?.as_str()?.to_string()));
    let label = folder.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into());
    Ok(Run {
        name: summary.as_ref().map(|summary| summary.name.clone()).or(named).unwrap_or_else(|| label.clone()),
        label,
        config,
        metrics: lines(&folder.join(METRICS))?,
        classroom: lines(&folder.join(CLASSROOM))?,
        timing: lines(&folder.join(TIMING))?,
        starts,
        summary,
    })
}

/// A log that may not be there yet.
fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if path.exists() { read_lines(path) } else { Ok(Vec::new()) }
}
