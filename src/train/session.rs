//! A run's folder while it is written: logs, checkpoints, and taking both up again.

use std::borrow::Cow;
use std::path::Path;

use super::checkpoint::{Checkpoint, CheckpointStore, Cursor, NamedTensor, digest};
use super::clock;
use super::folder::{CLASSROOM, METRICS, RunFolder, TIMING};
use super::log::LineLog;
use super::records::{ClassroomLine, MetricsLine, Phase, TimingLine};
use super::results::ModelResult;
use super::stage::Stage;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::tape::StateId;
use crate::tensor::DType;

/// The name under which a checkpoint carries the results so far, as JSON.
const RESULTS: &str = "results";

/// A run that is being written.
#[derive(Debug)]
pub struct Session {
    /// The run's folder.
    pub folder: RunFolder,
    store: CheckpointStore,
    metrics: LineLog,
    classroom: LineLog,
    timing: LineLog,
    config: String,
}

/// Where a run stands.
#[derive(Debug)]
pub struct Position {
    /// The stage, from 0.
    pub stage: usize,
    /// Its phase.
    pub phase: Phase,
    /// Its seeds.
    pub seeds: Vec<u64>,
    /// Steps of the stage that are done.
    pub step: usize,
    /// Results of the stages before.
    pub results: Vec<ModelResult>,
    /// State of the stage.
    tensors: Vec<NamedTensor<'static>>,
}

impl Session {
    /// Starts a new run in `out`, or in the next free folder.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn create(out: Option<&Path>, config: &Config) -> Result<Self> {
        let folder = RunFolder::create(out, &config.name)?;
        let text = config.to_toml();
        folder.write_config(&text)?;
        Self::open(folder, config, text)
    }

    /// Takes up the run in `folder` where its newest checkpoint stands; `None`: there is none, it begins anew.
    ///
    /// # Errors
    /// If it is not a run's folder, in use, or written with another config.
    pub fn resume(folder: RunFolder, config: &Config) -> Result<(Self, Option<Position>)> {
        let text = folder.config()?;
        let mut session = Self::open(folder, config, text)?;
        let Some(checkpoint) = session.store.latest()? else {
            session.metrics.truncate_to(0)?;
            session.classroom.truncate_to(0)?;
            return Ok((session, None));
        };
        checkpoint.expect_config(&session.config)?;
        session.metrics.truncate_to(checkpoint.cursor.metrics_length)?;
        session.classroom.truncate_to(checkpoint.cursor.classroom_length)?;
        let mut tensors = checkpoint.tensors;
        let damaged = |what: &str| Error::request(format!("the checkpoint holds no {what}"));
        let results = tensors.iter().position(|(name, ..)| name == RESULTS).ok_or_else(|| damaged("results"))?;
        let results = serde_json::from_slice(&tensors.swap_remove(results).3).map_err(|_| damaged("results"))?;
        let position = Position {
            stage: checkpoint.cursor.stage as usize,
            phase: checkpoint.cursor.phase,
            seeds: match checkpoint.cursor.seeds.is_empty() {
                true => vec![checkpoint.cursor.seed],
                false => checkpoint.cursor.seeds,
            },
            step: checkpoint.cursor.step as usize,
            results,
            tensors,
        };
        Ok((session, Some(position)))
    }

    fn open(folder: RunFolder, config: &Config, text: String) -> Result<Self> {
        Ok(Self {
            store: CheckpointStore::open(&folder.checkpoints(), config.output.checkpoints.keep)?,
            metrics: folder.log(METRICS)?,
            classroom: folder.log(CLASSROOM)?,
            timing: folder.log(TIMING)?,
            config: text,
            folder,
        })
    }

    /// Writes a line of `metrics.jsonl`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn log_metrics(&mut self, line: &MetricsLine) -> Result<()> {
        self.metrics.append(line)
    }

    /// Writes a line of `classroom.jsonl`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn log_classroom(&mut self, line: &ClassroomLine) -> Result<()> {
        self.classroom.append(line)
    }

    /// Writes a line of `timing.jsonl`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn log_timing(&mut self, line: &TimingLine) -> Result<()> {
        self.timing.append(line)
    }

    /// Saves everything that the run needs to go on from here.
    ///
    /// # Errors
    /// If the disk refuses; the checkpoints before stay intact.
    pub fn save(&mut self, stage: &Stage, place: Place, results: &[ModelResult]) -> Result<()> {
        let results = serde_json::to_vec(results).map_err(|error| Error::failed(error.to_string()))?;
        let mut tensors: Vec<NamedTensor<'_>> = saved(stage)
            .map(|id| {
                let entry = stage.state.layout().entry(id);
                let shape = entry.shape.extents().to_vec();
                (entry.name.clone(), entry.dtype, shape, Cow::Borrowed(stage.state.bytes(id)))
            })
            .collect();
        tensors.push((RESULTS.into(), DType::U8, vec![results.len()], Cow::Owned(results)));
        let cursor = Cursor {
            stage: place.stage as u32,
            phase: place.phase,
            method: None,
            seed: stage.seeds()[0],
            seeds: several(stage.seeds()),
            epoch: (place.step / stage.steps_per_epoch()) as u64,
            step: place.step as u64,
            stopped: place.stopped,
            metrics_length: self.metrics.sync()?,
            classroom_length: self.classroom.sync()?,
            config_digest: digest(&self.config),
        };
        self.store.save(&Checkpoint { cursor, tensors })
    }

    /// What a finished run does at the end: nothing superfluous is left.
    ///
    /// # Errors
    /// If the folder cannot be changed.
    pub fn finish(&mut self) -> Result<()> {
        self.metrics.sync()?;
        self.classroom.sync()?;
        self.store.tidy()
    }
}

/// Where a checkpoint is taken.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The stage, from 0.
    pub stage: usize,
    /// Its phase.
    pub phase: Phase,
    /// Steps of the stage that are done.
    pub step: usize,
    /// Whether the run was stopped here.
    pub stopped: bool,
}

impl Position {
    /// Puts the saved state into `stage`.
    ///
    /// # Errors
    /// If the checkpoint does not hold exactly this stage's state.
    pub fn restore(&self, stage: &mut Stage) -> Result<()> {
        let ids: Vec<StateId> = saved(stage).collect();
        for id in &ids {
            let entry = stage.state.layout().entry(*id).clone();
            let tensor = self.tensors.iter().find(|(name, ..)| *name == entry.name);
            let (.., bytes) = tensor
                .filter(|(_, dtype, _, bytes)| *dtype == entry.dtype && bytes.len() == entry.bytes())
                .ok_or_else(|| Error::request(format!("the checkpoint's `{}` does not fit this run", entry.name)))?;
            stage.state.bytes_mut(*id).copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// The seeds of a stage as records list them: not at all where there is only one.
pub(super) fn several(seeds: &[u64]) -> Vec<u64> {
    if seeds.len() > 1 { seeds.to_vec() } else { Vec::new() }
}

/// The state that a checkpoint holds: what learns. Mentors stand in `models/`, the data where it came from, and the clock is
/// set anew in every epoch.
fn saved(stage: &Stage) -> impl Iterator<Item = StateId> + '_ {
    let passing = [clock::PREFIX, "train/", "test/", "mentor/"];
    let entries = stage.state.layout().entries();
    entries
        .filter(move |(_, entry)| !entry.is_external() && !passing.iter().any(|prefix| entry.name.starts_with(prefix)))
        .map(|(id, _)| id)
}
