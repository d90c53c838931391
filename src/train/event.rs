//! What a run tells whoever watches it.

use serde::Serialize;

use super::records::{ClassroomLine, MetricsLine, Phase};
use crate::tape::Lanes;

/// How well a learner does on the training images of the epoch so far.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its role.
    pub role: String,
    /// The method; none for mentors.
    pub method: Option<String>,
    /// The seed.
    pub seed: u64,
    /// Share of images that it got right.
    pub top1: f64,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run is about to begin.
    Started {
        /// The run's folder.
        folder: String,
        /// The data set in words.
        data: String,
        /// Planned memory of the largest stage in bytes: state and arena.
        planned_bytes: usize,
        /// Bytes of the data set.
        data_bytes: usize,
        /// Stages of the run.
        stages: usize,
    },
    /// A stage begins (or is taken up again).
    Stage {
        /// Its number, from 1.
        number: usize,
        /// Pretraining or distillation.
        phase: Phase,
        /// The seeds that are trained side by side; one as a rule.
        seeds: Vec<u64>,
        /// Who learns: roles of mentors, or the student's methods.
        learners: Vec<String>,
        /// Epochs of the stage.
        epochs: u32,
        /// Steps of an epoch.
        steps_per_epoch: usize,
        /// Steps that are done already.
        done: usize,
        /// Planned bytes of this stage.
        planned_bytes: usize,
        /// Operations in one step.
        operations: usize,
        /// How a GPU runs the models of a step; none on the CPU.
        #[serde(skip_serializing_if = "Option::is_none")]
        lanes: Option<Lanes>,
    },
    /// A step is done.
    #[serde(skip)]
    Step {
        /// Steps of the stage that are done.
        done: usize,
    },
    /// How well each learner does on the training images of the epoch so far; every few steps.
    #[serde(skip)]
    Running {
        /// Of every learner, in the order of the stage.
        accuracies: Vec<Running>,
    },
    /// A model finished an epoch.
    Metrics(MetricsLine),
    /// How a method used a mentor in an epoch.
    Classroom(ClassroomLine),
    /// A model's weights are final.
    Tested {
        /// Its role.
        role: String,
        /// The method; none for mentors.
        #[serde(skip_serializing_if = "Option::is_none")]
        method: Option<String>,
        /// The seed.
        seed: u64,
        /// Share of the test split that it gets right.
        top1: f64,
    },
    /// A checkpoint is on disk.
    Checkpoint {
        /// Steps of the stage that it holds.
        step: u64,
    },
    /// Everything is done.
    Finished {
        /// The run's folder.
        folder: String,
    },
}
