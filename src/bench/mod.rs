//! How fast kernels and whole training steps are on this machine, next to what its arithmetic and memory allow.

pub mod class;
pub mod cold;
pub mod counts;
pub mod kernel;
pub mod ledger;
pub mod machine;
pub mod occupancy;
pub mod profile;
pub mod step;
pub mod suite;
pub mod timing;

use serde::Serialize;

use crate::config::{Precision, presets};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::zoo;
use crate::ops::workloads::workloads;
use crate::train::records::Phase;
use kernel::KernelCase;
use machine::Machine;
use profile::ProfileLine;
use timing::{Effort, Times};

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
    /// Every kernel of a workload ([`crate::ops::workloads`]) on its own; for GPUs.
    Workload {
        /// Its name.
        workload: String,
        /// Images.
        batch: usize,
    },
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

impl Entry {
    /// Of work that took `times`, `flops` and `bytes` each time.
    fn of_kernel(name: String, times: &Times, flops: u64, bytes: u64, machine: &Machine, precision: Precision) -> Self {
        // Events have steps, of which a small kernel may take none.
        let median = times.median().max(1e-9);
        Self {
            name,
            images_per_second: None,
            median_ms: times.median() * 1e3,
            fastest_ms: times.fastest() * 1e3,
            replays: times.count(),
            gflops: (flops > 0).then(|| flops as f64 / median / 1e9),
            gigabytes_per_second: Some(bytes as f64 / median / 1e9),
            share_of_roofline: machine.least_seconds(precision, flops, bytes) / median,
            planned_bytes: None,
            profile: Vec::new(),
        }
    }
}

impl Benchmark {
    /// Its name: `train-step/<model>/b<batch>/<precision>`, `classroom-step/<preset>/b<batch>/<precision>`,
    /// `pretrain-step/<preset>/b<batch>/<precision>`, `kernel/<pass>/<shape>/b<batch>/<precision>` or
    /// `workload/<workload>/b<batch>`.
    pub fn name(&self) -> String {
        match self {
            Self::TrainStep { model, batch, precision } => format!("train-step/{model}/b{batch}/{}", precision.name()),
            Self::ClassroomStep { phase, preset, batch, precision } => {
                let kind = if *phase == Phase::Pretrain { "pretrain-step" } else { "classroom-step" };
                format!("{kind}/{preset}/b{batch}/{}", precision.name())
            }
            Self::Kernel(case) => case.name(),
            Self::Workload { workload, batch } => format!("workload/{workload}/b{batch}"),
        }
    }

    /// Whether it can be measured on `processor` at all.
    ///
    /// # Errors
    /// For kernels on the simulator, which keeps no time, and workloads on the CPU.
    pub fn check(&self, processor: &Processor) -> Result<()> {
        let keeps_time = processor.gpu().map_or(Ok(true), |gpu| gpu.limits().map(|limits| limits.is_some()))?;
        let for_gpus = matches!(self, Self::Workload { .. }) && processor.gpu().is_none();
        if keeps_time && !for_gpus || matches!(self, Self::TrainStep { .. } | Self::ClassroomStep { .. }) {
            return Ok(());
        }
        let name = self.name();
        Err(Error::request(match for_gpus {
            true => format!("{name} is work for a GPU"),
            false => format!("{processor} keeps no time to measure {name} with"),
        })
        .help("`kd-engine bench --device sim kernel/NAME` counts what a kernel does"))
    }

    /// Measures it: one entry, of a workload one for each of its kernels. A GPU is timed by its own events; kernels there
    /// with a cold L2 cache.
    ///
    /// # Errors
    /// If what is measured cannot be built, for instance because the batch is too large.
    pub fn measure(
        &self,
        processor: &Processor,
        machine: &Machine,
        effort: Effort,
        profile: bool,
    ) -> Result<Vec<Entry>> {
        let entry = match self {
            Self::TrainStep { model, batch, precision } => {
                let stage = step::train_step(processor, model, *batch, *precision)?;
                step::measure(self.name(), stage, processor, machine, effort, profile)
            }
            Self::ClassroomStep { phase, preset, batch, precision } => {
                let stage = step::classroom_step(processor, *phase, preset, *batch, *precision)?;
                step::measure(self.name(), stage, processor, machine, effort, profile)
            }
            Self::Kernel(case) => case.measure(processor, machine, effort),
            Self::Workload { workload, batch } => {
                let case = workloads(*batch).into_iter().find(|case| case.name == *workload);
                let case = case.ok_or_else(|| Error::request(format!("there is no workload `{workload}`")))?;
                return cold::workload(&case, &self.name(), processor, machine, effort);
            }
        };
        Ok(vec![entry?])
    }
}

/// Whether `filter` fits a name: it contains the filter, where `*` stands for anything.
pub fn fits(name: &str, filter: &str) -> bool {
    let mut rest = name;
    filter.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// The benchmarks that `filter` fits: of the standard ones, else of those for all models and presets, the
/// training of their mentors among them, and for a GPU the workloads.
///
/// # Errors
/// If there is none.
pub fn select(
    filter: Option<&str>,
    batch: Option<usize>,
    precision: Precision,
    on_gpu: bool,
) -> Result<Vec<Benchmark>> {
    let filter = filter.unwrap_or("");
    let chosen = |all: Vec<Benchmark>| -> Vec<Benchmark> {
        all.into_iter().filter(|benchmark| fits(&benchmark.name(), filter)).collect()
    };
    let models = NETS.iter().map(|net| net.to_string()).collect();
    let standard = chosen(of(models, &PRESETS, &[Phase::Distil], batch, precision)?);
    if !standard.is_empty() {
        return Ok(standard);
    }
    let all_presets: Vec<&str> = presets::PRESETS.iter().map(|preset| preset.name).collect();
    let mut every = of(zoo::names(), &all_presets, &[Phase::Distil, Phase::Pretrain], batch, precision)?;
    if on_gpu {
        every.extend(cold::benchmarks(batch.unwrap_or(BATCH)));
    }
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
    all.extend(kernel::cases(&NETS, batch.unwrap_or(BATCH), precision)?.into_iter().map(Benchmark::Kernel));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_fit_parts_in_order() {
        let name = "kernel/conv2d_fprop/32x32x16-16-k3-s1-g1/b64/bf16";
        for filter in ["", "fprop", "kernel/*/b64/bf16", "kernel/conv2d_fprop/*", "*b64*"] {
            assert!(fits(name, filter), "{filter}");
        }
        for filter in ["dgrad", "bf16*kernel", "kernel/*/b64/f32", "b64*b64"] {
            assert!(!fits(name, filter), "{filter}");
        }
    }

    // The lists of the suite are of what there is, and all of it can be measured.
    #[test]
    fn the_suite_has_every_classroom_and_net_at_every_batch() {
        let names: Vec<String> = suite::gpu().unwrap().iter().map(Benchmark::name).collect();
        for name in [
            "classroom-step/classroomkd-MobileNetV2-ResNet50/b64/bf16",
            "classroom-step/classroomkd-wrn_16_2-wrn_40_2/b512/tf32",
            "pretrain-step/classroomkd-MobileNetV2-ResNet50/b512/f32",
            "train-step/wrn_28_10/b2048/bf16",
            "workload/add: 32x32x16 bf16/b64",
            "kernel/conv2d_wgrad/32x32x160-160-k3-s1-g1/b512/bf16",
        ] {
            assert!(names.iter().any(|one| one == name), "{name}");
        }
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len(), "names are unique");
        let zoo = zoo::names();
        assert!(suite::NETS.iter().all(|net| zoo.iter().any(|name| name == net)));
        assert!(suite::select("cpu", None).is_err());
        assert!(suite::select("gpu", Some("resnet21")).is_err());
        assert_eq!(suite::select("gpu", Some("train-step/resnet20/*bf16")).unwrap().len(), 4);
    }
}
