//! What a run would do: its stages, their memory, and how long they would take here.

use std::time::{Duration, Instant};

use super::course::StagePlan;
use super::design::MemoryPlan;
use super::records::Phase;
use super::run::{Run, learners};
use crate::error::Result;

/// What a run would do.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The data set in words.
    pub data: String,
    /// Bytes of the data set.
    pub data_bytes: usize,
    /// Each stage.
    pub stages: Vec<StageForecast>,
}

/// What a stage would do.
#[derive(Clone, Debug)]
pub struct StageForecast {
    /// Pretraining or distillation.
    pub phase: Phase,
    /// The seeds that are trained side by side; one as a rule.
    pub seeds: Vec<u64>,
    /// Who learns.
    pub learners: Vec<String>,
    /// Epochs of the stage.
    pub epochs: u32,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// What it needs.
    pub memory: MemoryPlan,
    /// Estimated time, from a few steps that were tried on throw-away weights.
    pub time: Duration,
}

impl Forecast {
    /// The largest stage's planned bytes.
    pub fn planned_bytes(&self) -> usize {
        self.stages.iter().map(|stage| stage.memory.bytes()).max().unwrap_or(0)
    }
}

impl Run {
    /// Says what the run would do; trains nothing that is kept.
    ///
    /// # Errors
    /// If a stage cannot be recorded, or does not fit into memory.
    pub fn forecast(&self) -> Result<Forecast> {
        let mut stages: Vec<StageForecast> = Vec::new();
        let mut known = Vec::new();
        for plan in self.course(None)?.stages {
            if let Some((like, _)) =
                known.iter().rfind(|(_, before): &&(StageForecast, StagePlan)| before.is_like(&plan))
            {
                stages.push(StageForecast { seeds: plan.seeds, ..like.clone() });
                continue;
            }
            let mut stage = self.record(&plan)?;
            self.initialise(&mut stage)?;
            let mut times = Vec::new();
            for step in 0..4.min(stage.steps_per_epoch()) {
                let start = Instant::now();
                stage.step(0, step)?;
                stage.look()?;
                times.push(start.elapsed());
            }
            times.sort_unstable();
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            // Evaluation is a forward pass: about a third of a step.
            let epoch = stage.steps_per_epoch() as f64 + stage.evaluation_batches() as f64 / 3.0;
            let forecast = StageForecast {
                phase: plan.phase,
                seeds: plan.seeds.clone(),
                learners: learners(&stage),
                epochs: stage.config().epochs,
                steps_per_epoch: stage.steps_per_epoch(),
                memory: stage.memory(),
                time: Duration::from_secs_f64(median.as_secs_f64() * epoch * f64::from(stage.config().epochs)),
            };
            stages.push(forecast.clone());
            known.push((forecast, plan));
        }
        Ok(Forecast { data: self.material.describe(), data_bytes: self.material.bytes(), stages })
    }
}
