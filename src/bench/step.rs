//! Whole training steps on synthetic images: batch assembly from bytes with crop and flip, forward, loss, backward,
//! update, as a run replays them.

use std::path::Path;
use std::sync::Arc;

use super::Entry;
use super::machine::Machine;
use super::profile;
use super::timing::{Effort, Times};
use crate::config::{Config, Optimizer, Precision, Schedule, Shape, SourceKind, TrainConfig, presets};
use crate::data::Normalisation;
use crate::distill::{Taps, cross_entropy};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::Network;
use crate::ops::batch::Augmentation;
use crate::random::{Philox, Stream};
use crate::train::design::Design;
use crate::train::enrolment::{Enrolment, Faculty};
use crate::train::material::{Images, Material};
use crate::train::records::Phase;
use crate::train::run::Run;
use crate::train::stage::Stage;

/// Images of the synthetic training split: their bytes are larger than the caches, as those of a data set are.
const IMAGES: usize = 16_384;

/// Steps of which a profile is made.
const PROFILED: usize = 15;

/// Images of noise with labels of noise, `[height, width, channels]` each.
pub fn synthetic([height, width, channels]: [usize; 3], classes: usize, batch: usize) -> Material {
    let generator = Philox::new(1, Stream::Split);
    let images = |count: usize, lane: u64| -> Images {
        let bytes = count * height * width * channels;
        let words = (0..bytes.div_ceil(16) as u64).flat_map(|index| generator.draw(lane, index));
        let mut pixels: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        pixels.truncate(bytes);
        let labels = (0..count as u32).map(|index| index.wrapping_mul(7919) % classes as u32).collect();
        Images { pixels: Arc::new(pixels), labels: Arc::new(labels) }
    };
    let learned = IMAGES.max(4 * batch);
    Material {
        name: "noise".to_string(),
        shape: [height, width, channels],
        classes: (0..classes).map(|class| class.to_string()).collect(),
        normalisation: Normalisation { mean: vec![0.5; channels], std: vec![0.25; channels] },
        train: images(learned, 0),
        test: images(batch, 1),
        learn: (0..learned as u32).collect(),
        validation: Vec::new(),
    }
}

/// One model that learns 100 classes from labels: images of 32x32x3, padding 4, SGD with momentum 0.9 and weight
/// decay 5e-4 on all parameters.
///
/// # Errors
/// For a model that is not there, or a batch that no memory holds.
pub fn train_step(processor: &Processor, model: &str, batch: usize, precision: Precision) -> Result<Stage> {
    let material = synthetic([32, 32, 3], 100, batch);
    let config = TrainConfig {
        epochs: 1,
        batch_size: batch,
        seeds: vec![1],
        seeds_together: None,
        // A small rate: noise cannot be learned, and numbers that overflow would end the measurement.
        optimizer: Optimizer {
            lr: 1e-3,
            momentum: 0.9,
            weight_decay: 5e-4,
            nesterov: false,
            decay_norm_and_bias: true,
        },
        schedule: Schedule { shape: Shape::Constant, warmup_epochs: 0.0 },
        label_smoothing: 0.0,
        precision,
    };
    let enrolment = Enrolment {
        role: "student".to_string(),
        network: material.network(model)?,
        method: None,
        phases: Vec::new(),
        taps: Taps::default(),
        teach: Box::new(cross_entropy::record),
    };
    let augmentation = Augmentation { crop_padding: 4, flip: true };
    let design = Design::new(processor, &material, &config, augmentation, &[1], vec![enrolment], Faculty::default())?;
    let mut stage = design.allocate(&material)?;
    let model = stage.learners[0].model.clone();
    model.initialise(&mut stage.state, 1, 0);
    Ok(stage)
}

/// The student's lesson in a preset's classroom, or the training of all its mentors, on synthetic images of its data's
/// shape.
///
/// # Errors
/// For a preset that is not there, or whose images have no fixed shape.
pub fn classroom_step(
    processor: &Processor,
    phase: Phase,
    preset: &str,
    batch: usize,
    precision: Precision,
) -> Result<Stage> {
    let mut config = preset_config(preset)?;
    for train in [&mut config.train, &mut config.pretrain] {
        train.batch_size = batch;
        train.optimizer.lr = 1e-3;
        train.schedule = Schedule { shape: Shape::Constant, warmup_epochs: 0.0 };
        train.precision = precision;
    }
    let (shape, classes) = match config.data.source {
        Some(SourceKind::Embedded | SourceKind::Idx | SourceKind::FashionMnist) => ([28, 28, 1], 10),
        Some(SourceKind::Cifar10) => ([32, 32, 3], 10),
        Some(SourceKind::Cifar100) => ([32, 32, 3], 100),
        Some(SourceKind::Folder) | None => {
            return Err(Error::request(format!("the images of preset {preset} have no fixed shape to measure with")));
        }
    };
    Run::with_material(config, synthetic(shape, classes, batch), processor)?.rehearse(phase)
}

/// The config of a preset; nothing that it names is opened.
///
/// # Errors
/// If the preset is wrong.
pub fn preset_config(name: &str) -> Result<Config> {
    let known = || presets::PRESETS.iter().map(|preset| preset.name);
    let preset = presets::PRESETS
        .iter()
        .find(|preset| preset.name == name)
        .ok_or_else(|| Error::request(format!("there is no preset called `{name}`")).suggest(name, known()))?;
    Config::parse(&format!("preset {name}"), preset.text, name, Path::new("/"), &Default::default())
}

/// Times replays of `stage`'s training step, by the clock of a GPU where it runs on one, and profiles some more if that is asked for.
pub(super) fn measure(
    name: String,
    mut stage: Stage,
    processor: &Processor,
    machine: &Machine,
    effort: Effort,
    with_profile: bool,
) -> Result<Entry> {
    let (batch, precision) = (stage.config().batch_size, stage.config().precision);
    let steps = stage.steps_per_epoch();
    let mut step = 0;
    let mut next = || {
        step = (step + 1) % steps;
        step
    };
    let times = match processor.gpu() {
        // A device without limits keeps no time: there the host's clock says how long trying takes.
        Some(device) if device.limits()?.is_some() => {
            Times::on_device(effort.step, &**device, || stage.step(0, next()))?
        }
        _ => Times::measure(effort.step, || {
            effort.clock.time(|| {
                stage.step(0, next())?;
                stage.look()
            })
        })?,
    };
    stage.look()?;
    let profile = match with_profile {
        true => {
            let replays: Vec<_> = (0..PROFILED).map(|_| stage.profile(0, next())).collect::<Result<_>>()?;
            profile::aggregate(&replays, machine, precision)
        }
        false => Vec::new(),
    };
    let macs = |network: &Network| network.macs() * batch as u64;
    let learned: u64 = stage.learners.iter().map(|learner| macs(&learner.model.network)).sum();
    let frozen: u64 = stage.mentors.iter().map(|mentor| macs(&mentor.network)).sum();
    let flops = 6 * learned + 2 * frozen;
    Ok(Entry {
        name,
        images_per_second: Some(batch as f64 / times.median()),
        median_ms: times.median() * 1e3,
        fastest_ms: times.fastest() * 1e3,
        replays: times.count(),
        gflops: Some(flops as f64 / times.median() / 1e9),
        gigabytes_per_second: None,
        share_of_roofline: machine.least_seconds(precision, flops, 0) / times.median(),
        planned_bytes: Some(stage.memory().bytes()),
        profile,
    })
}
