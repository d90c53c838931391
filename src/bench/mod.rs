//! How fast kernels and whole training steps are on this machine, next to what its arithmetic and memory allow.

pub mod kernel;
pub mod machine;
pub mod profile;
pub mod step;
pub mod timing;

use serde::Serialize;

use crate::config::{Precision, presets};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::zoo;
use crate::train::records::Phase;
use kernel::KernelCase;
use machine::Machine;
use profile::ProfileLine;
use timing::Effort;

/// The nets whose training steps are measured when nothing else is asked for.
pub const NETS: [&str; 8] =
    ["resnet8", "resnet20", "resnet8x4", "wrn_16_2", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2"];

/// The presets whose classroom steps are measured when nothing else is asked for.
const PRESETS: [&str; 4] = [presets::DEFAULT, "fashion-quick", "cifar100-protocol", "cifar100-protocol-mobile"];

/// The batch of training steps and kernels where none is given.
pub const BATCH: usize = 64;

/// Something that can be measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Benchmark {
    /// A whole training step of one model on its own.
    TrainStep {
        /// A name of the zoo.
        model: String,
        /// Images of a step.
        batch: usize,
        /// What it computes in.
        precision: Precision,
    },
    /// A whole step in a preset's classroom: of the student's lesson, or of all mentors that are trained there.
    ClassroomStep {
        /// Which of the two.
        phase: Phase,
        /// A preset's name.
        preset: String,
        /// Images of a step; the preset's own where none is given.
        batch: usize,
        /// What it computes in.
        precision: Precision,
    },
    /// One layer's passes.
    Kernel(KernelCase),
}

/// What was measured of a [`Benchmark`].
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The benchmark's name.
    pub name: String,
    /// Images of one step over the median time; of whole steps only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_second: Option<f64>,
    /// Median time of a replay in milliseconds.
    pub median_ms: f64,
    /// Time of the fastest replay in milliseconds.
    pub fastest_ms: f64,
    /// How many replays were timed.
    pub replays: usize,
    /// Billions of floating-point operations per second; of steps, 6 per multiply-add of a learner's forward pass and
    /// 2 per one of a frozen mentor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gflops: Option<f64>,
    /// Billions of bytes read and written per second, each tensor counted once; of kernels only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gigabytes_per_second: Option<f64>,
    /// The least time that this machine's arithmetic and memory allow, over the median; of steps, of the arithmetic
    /// alone.
    pub share_of_roofline: f64,
    /// Bytes of state and arena of a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_bytes: Option<usize>,
    /// Time by operation and shape, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<ProfileLine>,
}

impl Benchmark {
    /// Its name: `train-step/<model>/b<batch>/<precision>`, `classroom-step/<preset>/b<batch>/<precision>`,
    /// `pretrain-step/<preset>/b<batch>/<precision>` or `kernel/<pass>/<shape>/b<batch>/f32`.
    pub fn name(&self) -> String {
        match self {
            Self::TrainStep { model, batch, precision } => format!("train-step/{model}/b{batch}/{}", precision.name()),
            Self::ClassroomStep { phase, preset, batch, precision } => {
                let kind = if *phase == Phase::Pretrain { "pretrain-step" } else { "classroom-step" };
                format!("{kind}/{preset}/b{batch}/{}", precision.name())
            }
            Self::Kernel(case) => case.name(),
        }
    }

    /// Measures it.
    ///
    /// # Errors
    /// If what is measured cannot be built, for instance because the batch is too large.
    pub fn measure(&self, processor: &Processor, machine: &Machine, effort: Effort, profile: bool) -> Result<Entry> {
        match self {
            Self::TrainStep { model, batch, precision } => {
                let stage = step::train_step(processor, model, *batch, *precision)?;
                step::measure(self.name(), stage, *batch, machine, effort, profile)
            }
            Self::ClassroomStep { phase, preset, batch, precision } => {
                let stage = step::classroom_step(processor, *phase, preset, *batch, *precision)?;
                step::measure(self.name(), stage, *batch, machine, effort, profile)
            }
            Self::Kernel(case) => case.measure(processor, machine, effort),
        }
    }
}

/// The benchmarks whose names contain `filter`: of the standard ones, else of those for all models and presets, the
/// training of their mentors among them. Kernels are measured in float32 alone.
///
/// # Errors
/// If there is none.
pub fn select(filter: Option<&str>, batch: Option<usize>, precision: Precision) -> Result<Vec<Benchmark>> {
    let filter = filter.unwrap_or("");
    let chosen = |all: Vec<Benchmark>| -> Vec<Benchmark> {
        all.into_iter().filter(|benchmark| benchmark.name().contains(filter)).collect()
    };
    let models = NETS.iter().map(|net| net.to_string()).collect();
    let standard = chosen(of(models, &PRESETS, &[Phase::Distil], batch, precision)?);
    if !standard.is_empty() {
        return Ok(standard);
    }
    let all_presets: Vec<&str> = presets::PRESETS.iter().map(|preset| preset.name).collect();
    let every = of(zoo::names(), &all_presets, &[Phase::Distil, Phase::Pretrain], batch, precision)?;
    let names: Vec<String> = every.iter().map(Benchmark::name).collect();
    let found = chosen(every);
    if found.is_empty() {
        return Err(Error::request(format!("no benchmark's name contains `{filter}`"))
            .suggest(filter, names.iter().map(String::as_str)));
    }
    Ok(found)
}

fn of(
    models: Vec<String>,
    presets: &[&str],
    phases: &[Phase],
    batch: Option<usize>,
    precision: Precision,
) -> Result<Vec<Benchmark>> {
    let steps =
        models.into_iter().map(|model| Benchmark::TrainStep { model, batch: batch.unwrap_or(BATCH), precision });
    let mut all: Vec<Benchmark> = steps.collect();
    for preset in presets {
        let config = step::preset_config(preset)?;
        for phase in phases.iter().copied() {
            let own = if phase == Phase::Pretrain { &config.pretrain } else { &config.train };
            let batch = batch.unwrap_or(own.batch_size);
            all.push(Benchmark::ClassroomStep { phase, preset: preset.to_string(), batch, precision });
        }
    }
    if precision == Precision::F32 {
        all.extend(kernel::cases(&NETS, batch.unwrap_or(BATCH))?.into_iter().map(Benchmark::Kernel));
    }
    Ok(all)
}
