//! What is measured on a GPU, here and in PyTorch: the classrooms and nets that the project is judged by.

use super::kernel;
use super::{Benchmark, cold, fits, step};
use crate::config::Precision;
use crate::error::{Error, Result};
use crate::train::records::Phase;

/// Classrooms: MobileNetV2 with ResNet50, resnet20 with resnet56, wrn_16_2 with wrn_40_2, each with its peers.
pub const CLASSROOMS: [&str; 3] =
    ["classroomkd-MobileNetV2-ResNet50", "classroomkd-resnet20-resnet56", "classroomkd-wrn_16_2-wrn_40_2"];

/// Nets on their own; the last is judged with the other wide ones.
pub const NETS: [&str; 9] =
    ["resnet20", "resnet56", "wrn_16_2", "wrn_40_2", "wrn_28_10", "vgg13", "MobileNetV2", "ShuffleV2", "ResNet50"];

/// Nets whose layers are measured one by one: those above, and the other mentors.
const LAYERS_OF: [&str; 10] = [
    "resnet20",
    "resnet56",
    "wrn_16_2",
    "wrn_40_2",
    "wrn_28_10",
    "vgg13",
    "MobileNetV2",
    "ShuffleV2",
    "ShuffleV1",
    "ResNet50",
];

/// Batches of classrooms, of nets, and of layers.
const CLASSROOM_BATCHES: [usize; 2] = [64, 512];
const NET_BATCHES: [usize; 4] = [64, 128, 512, 2048];
const LAYER_BATCHES: [usize; 2] = [64, 512];

/// In this order; half an hour may not be enough for all of it.
const PRECISIONS: [Precision; 3] = [Precision::Bf16, Precision::Tf32, Precision::F32];

/// What is measured on a GPU, most important first: in each precision the classrooms, the training of the first one's
/// mentors, the nets; then every kernel on its workload, and every layer.
///
/// # Errors
/// If a preset or net is not there: a fault of ours.
pub fn gpu() -> Result<Vec<Benchmark>> {
    let mut all = Vec::new();
    for precision in PRECISIONS {
        for batch in CLASSROOM_BATCHES {
            let mut classroom = |phase, preset: &str| {
                all.push(Benchmark::ClassroomStep { phase, preset: preset.to_string(), batch, precision });
            };
            CLASSROOMS.iter().for_each(|preset| classroom(Phase::Distil, preset));
            classroom(Phase::Pretrain, CLASSROOMS[0]);
        }
        for batch in NET_BATCHES {
            all.extend(NETS.map(|net| Benchmark::TrainStep { model: net.to_string(), batch, precision }));
        }
    }
    all.extend(cold::benchmarks(super::BATCH));
    for batch in LAYER_BATCHES {
        for precision in PRECISIONS {
            all.extend(kernel::cases(&LAYERS_OF, batch, precision)?.into_iter().map(Benchmark::Kernel));
        }
    }
    // What a preset is made of is looked at only when it is measured: here it is seen that all are there.
    CLASSROOMS.iter().try_for_each(|preset| step::preset_config(preset).map(|_| ()))?;
    Ok(all)
}

/// A suite by its name, of which only what `filter` fits.
///
/// # Errors
/// If there is no such suite, or nothing in it has such a name.
pub fn select(suite: &str, filter: Option<&str>) -> Result<Vec<Benchmark>> {
    if suite != "gpu" {
        return Err(Error::request(format!("there is no suite called `{suite}`")).help("there is `gpu`"));
    }
    let filter = filter.unwrap_or("");
    let chosen: Vec<Benchmark> = gpu()?.into_iter().filter(|benchmark| fits(&benchmark.name(), filter)).collect();
    match chosen.is_empty() {
        true => Err(Error::request(format!("nothing in the suite gpu has a name with `{filter}`"))),
        false => Ok(chosen),
    }
}
