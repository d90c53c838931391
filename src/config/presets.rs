//! The ready experiments inside the binary: the files of `presets/`.

use crate::error::{Error, Result};

/// A ready experiment.
#[derive(Debug)]
pub struct Preset {
    /// Its name: what `run` takes for a config.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The preset that `run` takes when no config is given.
pub const DEFAULT: &str = "fashion-classroom";

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        &[$(Preset { name: $name, text: include_str!(concat!("../../presets/", $name, ".toml")) }),*]
    };
}

/// Every preset, in the order in which they are listed.
pub const PRESETS: &[Preset] = presets![
    "fashion-classroom",
    "fashion-quick",
    "fashion-methods",
    "fashion-ablations",
    "fashion-full",
    "fashion-systems",
    "fashion-amtml",
    "fashion-amtml-ablations",
    "fashion-sokd",
    "fashion-sokd-ablations",
    "fashion-baselines",
    "folder-systems",
    "cifar10-resnet20",
    "cifar10-MobileNetV2",
    "cifar100-protocol",
    "cifar100-protocol-mobile",
    "classroomkd-MobileNetV2-ResNet50",
    "classroomkd-MobileNetV2-vgg13",
    "classroomkd-resnet20-resnet56",
    "classroomkd-resnet20-resnet110",
    "classroomkd-resnet32-resnet110",
    "classroomkd-vgg8-vgg13",
    "classroomkd-vgg8-vgg13-new",
    "classroomkd-ShuffleV1-resnet32x4",
    "classroomkd-ShuffleV1-wrn_40_2",
    "classroomkd-ShuffleV1-wrn_40_2-betterpeers",
    "classroomkd-ShuffleV1-wrn_40_2-new",
    "classroomkd-ShuffleV2-resnet32x4",
    "classroomkd-wrn_16_2-wrn_40_2",
    "classroomkd-wrn_16_2-wrn_40_2-betterpeers",
    "classroomkd-wrn_40_1-wrn_40_2",
    "classroomkd-ablations",
    "pair-wrn_16_2-wrn_40_2",
    "pair-wrn_40_1-wrn_40_2",
    "pair-resnet20-resnet56",
    "pair-resnet20-resnet110",
    "pair-resnet32-resnet110",
    "pair-resnet8x4-resnet32x4",
    "pair-vgg8-vgg13",
    "pair-MobileNetV2-vgg13",
    "pair-MobileNetV2-ResNet50",
    "pair-vgg8-ResNet50",
    "pair-ShuffleV1-resnet32x4",
    "pair-ShuffleV2-resnet32x4",
    "pair-ShuffleV1-wrn_40_2",
    "sokd-resnet8x4-resnet32x4",
    "sokd-resnet20-resnet56",
    "sokd-resnet32-resnet110",
    "sokd-wrn_16_2-wrn_40_2",
    "sokd-wrn_40_1-wrn_40_2",
    "sokd-vgg8-vgg13",
    "sokd-MobileNetV2-vgg13",
    "sokd-MobileNetV2-ResNet50",
    "sokd-ShuffleV1-resnet32x4",
    "sokd-ShuffleV2-resnet32x4",
    "sokd-ShuffleV1-wrn_40_2",
    "sokd-ablations",
    "amtml-heterogeneous",
    "amtml-resnets",
    "amtml-ablations",
    "many-teachers",
    "assistants",
    "online",
];

impl Preset {
    /// What it is for: the comment it starts with, up to the first full stop.
    pub fn title(&self) -> String {
        let comment: Vec<&str> = self.text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
        let comment = comment.join(" ");
        comment.split_once(". ").map_or(comment.trim_end_matches('.'), |(first, _)| first).to_string()
    }
}

/// The preset called `name`.
///
/// # Errors
/// Where there is none, with the nearest.
pub fn find(name: &str) -> Result<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
        Error::request(format!("there is no preset `{name}`")).suggest(name, PRESETS.iter().map(|preset| preset.name))
    })
}
