//! What is learned from: the table `[data]`.

use std::ops::Bound;
use std::path::PathBuf;

use super::reader::{Item, Reader};
use crate::error::Result;

/// What is learned from.
#[derive(Clone, Debug, PartialEq)]
pub struct DataConfig {
    /// The kind of source. None: recognised from what lies at `path`.
    pub source: Option<SourceKind>,
    /// Archive or folder, absolute. None exactly where the source needs none.
    pub path: Option<PathBuf>,
    /// Share of the training split that is held out to select models by, from 0 (none) to below 1.
    pub validation: f64,
    /// Decides which images are held out.
    pub validation_seed: u64,
    /// What is done to training images.
    pub augment: Augment,
    /// Per channel, subtracted from pixels in 0 to 1. None: the published values of a known set, else computed from
    /// the training split.
    pub mean: Option<Vec<f64>>,
    /// Per channel, what pixels are divided by; given together with `mean`.
    pub std: Option<Vec<f64>>,
}

/// What is done to training images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Augment {
    /// Zero pixels around an image, out of which a random window of its size is cut. 0 for no cropping.
    pub crop_padding: u32,
    /// Whether every other image, at random, is mirrored left to right.
    pub flip: bool,
}

/// The kinds of data sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The Fashion-MNIST subset inside the binary.
    Embedded,
    /// A folder of IDX files, plain or `.gz`.
    Idx,
    /// CIFAR-10 in one of its official archives, or unpacked.
    Cifar10,
    /// CIFAR-100 in one of its official archives, or unpacked.
    Cifar100,
    /// `split/class/file` with PNG or JPEG images, as a folder or tar.
    Folder,
    /// The full Fashion-MNIST as Debian's package installs it.
    FashionMnist,
}

impl SourceKind {
    /// Every kind, in the order in which they are listed.
    pub const ALL: [SourceKind; 6] = [
        SourceKind::Embedded,
        SourceKind::Idx,
        SourceKind::Cifar10,
        SourceKind::Cifar100,
        SourceKind::Folder,
        SourceKind::FashionMnist,
    ];

    /// Its name in a config and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SourceKind::Embedded => "embedded",
            SourceKind::Idx => "idx",
            SourceKind::Cifar10 => "cifar10",
            SourceKind::Cifar100 => "cifar100",
            SourceKind::Folder => "folder",
            SourceKind::FashionMnist => "fashion-mnist",
        }
    }

    /// The kind called `name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a path has to say where it is.
    pub fn needs_path(self) -> bool {
        !matches!(self, SourceKind::Embedded | SourceKind::FashionMnist)
    }
}

impl DataConfig {
    pub(super) fn standard() -> Self {
        Self {
            source: Some(SourceKind::Embedded),
            path: None,
            validation: 0.1,
            validation_seed: 0,
            augment: Augment { crop_padding: 0, flip: false },
            mean: None,
            std: None,
        }
    }

    pub(super) fn read(mut table: Reader<'_>) -> Result<Self> {
        let standard = Self::standard();
        let source_item = table.take("source");
        let path_item = table.take("path");
        let names = SourceKind::ALL.map(|kind| (kind.name(), kind));
        let mut source = source_item.as_ref().map(|item| item.one_of("data source", &names)).transpose()?;
        let path = path_item.as_ref().map(Item::file).transpose()?;
        match (source, &source_item, &path_item) {
            (Some(kind), _, Some(path)) if !kind.needs_path() => {
                return Err(path.error(format!("source `{}` takes no path", kind.name())));
            }
            (Some(kind), Some(item), None) if kind.needs_path() => {
                let error = item.error(format!("source `{}` needs data.path, which is missing", kind.name()));
                return Err(error.help("add path = \"...\" to [data], or --set data.path=..."));
            }
            (None, _, None) => source = standard.source,
            _ => {}
        }
        let validation = table.or("validation", standard.validation, |item| item.number(0.0..1.0))?;
        let validation_seed =
            table.or("validation_seed", standard.validation_seed, |item| Ok(item.integer(0..)? as u64))?;
        let augment = table.or("augment", standard.augment, Augment::read)?;
        let per_channel = |item: Item<'_>, low: Bound<f64>| {
            let values = item.list_of(|entry| entry.number((low, Bound::Unbounded)))?;
            if !matches!(values.len(), 1 | 3) {
                return Err(item.error(format!("expected one value per channel (1 or 3), found {}", values.len())));
            }
            Ok(Some(values))
        };
        let mean = table.or("mean", None, |item| per_channel(item, Bound::Unbounded))?;
        let std = table.or("std", None, |item| per_channel(item, Bound::Excluded(0.0)))?;
        match (&mean, &std) {
            (Some(mean), Some(std)) if mean.len() != std.len() => {
                return Err(table.error(format!("mean has {} channels and std {}", mean.len(), std.len())));
            }
            (Some(_), None) => return Err(table.error("data.mean is given without data.std")),
            (None, Some(_)) => return Err(table.error("data.std is given without data.mean")),
            _ => {}
        }
        table.finish()?;
        Ok(Self { source, path, validation, validation_seed, augment, mean, std })
    }
}

impl Augment {
    fn read(item: Item<'_>) -> Result<Self> {
        let mut table = item.table()?;
        let crop_padding = table.or("crop_padding", 0, |item| Ok(item.integer(0..=512)? as u32))?;
        let flip = table.or("flip", false, |item| item.flag())?;
        table.finish()?;
        Ok(Self { crop_padding, flip })
    }
}
