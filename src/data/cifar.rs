//! CIFAR-10 and CIFAR-100 as published (<https://www.cs.toronto.edu/~kriz/cifar.html>), binary and "python" version.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::archive::{Member, visit};
use super::dataset::{Dataset, Split, numbered_classes};
use super::normalisation::Normalisation;
use super::order::permute;
use super::pickled::Pickled;
use crate::stream::ByteStream;
use crate::{Error, Result};

/// Height and width of every image.
const SIDE: usize = 32;
/// Bytes of one channel of an image.
const PLANE: usize = SIDE * SIDE;
/// Bytes of one image.
const IMAGE: usize = 3 * PLANE;
/// Number of coarse labels of CIFAR-100.
const COARSE: usize = 20;
/// More than any file of class names has.
const LARGEST_TEXT: u64 = 1 << 20;

/// Which of the two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cifar {
    Ten,
    Hundred,
}

/// What one file of the set holds; training batches are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Train(usize),
    Test,
    Names,
}

/// Pixels and labels of a split while it is read, in the order in which its files come: [N, 32, 32, 3] and [N].
#[derive(Default)]
struct Gathered {
    images: Vec<u8>,
    labels: Vec<u32>,
    /// Which file each image is of, [N].
    parts: Vec<Part>,
}

impl Gathered {
    /// In the order of the files' numbers.
    fn into_split(mut self) -> Split {
        let mut order: Vec<usize> = (0..self.parts.len()).collect();
        order.sort_by_key(|index| self.parts[*index]);
        let labels = order.iter().map(|index| self.labels[*index]).collect();
        permute(&mut self.images, IMAGE, order);
        Split::new(self.images, labels)
    }
}

impl Cifar {
    fn name(self) -> &'static str {
        match self {
            Cifar::Ten => "cifar10",
            Cifar::Hundred => "cifar100",
        }
    }

    fn classes(self) -> usize {
        match self {
            Cifar::Ten => 10,
            Cifar::Hundred => 100,
        }
    }

    /// The files that hold images, without the `.bin` of the binary version.
    fn batches(self) -> &'static [(&'static str, Part)] {
        match self {
            Cifar::Ten => &[
                ("data_batch_1", Part::Train(1)),
                ("data_batch_2", Part::Train(2)),
                ("data_batch_3", Part::Train(3)),
                ("data_batch_4", Part::Train(4)),
                ("data_batch_5", Part::Train(5)),
                ("test_batch", Part::Test),
            ],
            Cifar::Hundred => &[("train", Part::Train(1)), ("test", Part::Test)],
        }
    }

    /// The part that a file of this name holds, and whether it is of the binary version.
    pub(super) fn part(self, base_name: &str) -> Option<(Part, bool)> {
        let (binary_names, python_names) = match self {
            Cifar::Ten => ("batches.meta.txt", "batches.meta"),
            Cifar::Hundred => ("fine_label_names.txt", "meta"),
        };
        if base_name == binary_names || base_name == python_names {
            return Some((Part::Names, base_name == binary_names));
        }
        let stem = base_name.strip_suffix(".bin");
        let wanted = stem.unwrap_or(base_name);
        self.batches().iter().find(|(name, _)| *name == wanted).map(|(_, part)| (*part, stem.is_some()))
    }

    fn label_bytes(self) -> usize {
        match self {
            Cifar::Ten => 1,
            // Coarse, then fine.
            Cifar::Hundred => 2,
        }
    }

    fn normalisation(self) -> Normalisation {
        match self {
            Cifar::Ten => Normalisation::published(&[0.4914, 0.4822, 0.4465], &[0.2470, 0.2435, 0.2616]),
            Cifar::Hundred => Normalisation::published(&[0.5071, 0.4867, 0.4408], &[0.2675, 0.2565, 0.2761]),
        }
    }

    /// Records of label bytes and planar pixels, one after the other.
    fn read_binary(self, mut stream: ByteStream, target: &mut Gathered) -> Result<()> {
        let label_bytes = self.label_bytes();
        let mut record = vec![0; label_bytes + IMAGE];
        loop {
            let start = stream.position();
            let filled = stream.fill(&mut record)?;
            if filled == 0 {
                return Ok(());
            }
            if filled < record.len() {
                let message = format!("{filled} bytes are left over: a record has {}", record.len());
                return Err(stream.error_at(start, message).help("the file is truncated, or of another data set"));
            }
            let (record_labels, pixels) = record.split_at(label_bytes);
            let fine = label_bytes - 1;
            for (index, label) in record_labels.iter().enumerate() {
                let classes = if index == fine { self.classes() } else { COARSE };
                if usize::from(*label) >= classes {
                    return Err(stream.error_at(start + index as u64, out_of_range(i64::from(*label), classes)));
                }
            }
            target.labels.push(u32::from(record_labels[fine]));
            interleave(pixels, &mut target.images);
        }
    }

    /// A pickled dictionary with `data`, [N, 3072], and labels.
    fn read_python(self, stream: ByteStream, target: &mut Gathered) -> Result<()> {
        let mut pickle = Pickled::read(stream)?;
        let array = pickle.take_array("data")?;
        let key = match self {
            Cifar::Ten => "labels",
            Cifar::Hundred => "fine_labels",
        };
        let numbers = pickle.integers(key)?;
        let (rows, columns) = array.extents();
        if columns != IMAGE {
            return Err(pickle.error_about("data", format!("images of {columns} bytes; expected {IMAGE}")));
        }
        if rows != numbers.len() {
            return Err(pickle.error_about(key, format!("{} labels for {rows} images", numbers.len())));
        }
        for (label, place) in numbers {
            match usize::try_from(label) {
                Ok(class) if class < self.classes() => target.labels.push(class as u32),
                _ => return Err(pickle.error_at(place, out_of_range(label, self.classes()))),
            }
        }
        let mut planar = [0; IMAGE];
        for row in 0..rows {
            array.copy_row(row, &mut planar);
            interleave(&planar, &mut target.images);
        }
        Ok(())
    }

    fn read_names(self, member: Member, binary: bool) -> Result<Vec<String>> {
        let mut stream = member.open()?;
        let (place, names) = if binary {
            let text = stream.read_rest(LARGEST_TEXT, "the file of class names")?;
            let text = String::from_utf8_lossy(&text).into_owned();
            let names = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect();
            (stream.name().to_string(), names)
        } else {
            let place = stream.name().to_string();
            let key = match self {
                Cifar::Ten => "label_names",
                Cifar::Hundred => "fine_label_names",
            };
            (place, Pickled::read(stream)?.strings(key)?)
        };
        let names: Vec<String> = names;
        if names.len() != self.classes() {
            let message = format!("{place}: {} class names; {} has {}", names.len(), self.name(), self.classes());
            return Err(Error::request(message));
        }
        Ok(names)
    }
}

fn out_of_range(label: i64, classes: usize) -> String {
    format!("label {label} is out of range: there are {classes} classes, numbered from 0")
}

/// Appends planar pixels [3, 32, 32] as [32, 32, 3].
fn interleave(planar: &[u8], images: &mut Vec<u8>) {
    let (red, rest) = planar.split_at(PLANE);
    let (green, blue) = rest.split_at(PLANE);
    images.extend(red.iter().zip(green).zip(blue).flat_map(|((red, green), blue)| [*red, *green, *blue]));
}

/// Reads all files of the set from the folder or archive at `path`.
pub(super) fn open(path: &Path, set: Cifar) -> Result<Dataset> {
    let mut names = None;
    let (mut train, mut test) = (Gathered::default(), Gathered::default());
    let mut members: BTreeMap<Part, String> = BTreeMap::new();
    visit(path, |member| {
        let Some((part, binary)) = set.part(member.base_name()) else { return Ok(ControlFlow::Continue(())) };
        if let Some(earlier) = members.insert(part, member.name.clone()) {
            let message = format!(
                "{}: both `{earlier}` and `{}` hold the same part of {}",
                path.display(),
                member.name,
                set.name()
            );
            return Err(Error::request(message).help("give the folder of one version"));
        }
        if part == Part::Names {
            names = Some(set.read_names(member, binary)?);
            return Ok(ControlFlow::Continue(()));
        }
        let place = member.name.clone();
        let target = if part == Part::Test { &mut test } else { &mut train };
        let before = target.labels.len();
        let stream = member.open()?;
        if binary {
            set.read_binary(stream, target)?
        } else {
            set.read_python(stream, target)?
        }
        if target.labels.len() == before {
            return Err(Error::request(format!("{}: {place}: byte 0: the file holds no images", path.display())));
        }
        target.parts.resize(target.labels.len(), part);
        Ok(ControlFlow::Continue(()))
    })?;
    let missing: Vec<_> =
        set.batches().iter().filter(|(_, part)| !members.contains_key(part)).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let message = format!("{}: missing {} of {}", path.display(), missing.join(", "), set.name());
        return Err(Error::request(message)
            .help("expected the official archive or its folder, in the binary version (.bin) or the python version"));
    }
    Dataset {
        name: set.name().to_string(),
        height: SIDE,
        width: SIDE,
        channels: 3,
        classes: names.unwrap_or_else(|| numbered_classes(set.classes())),
        train: train.into_split(),
        test: test.into_split(),
        known_normalisation: Some(set.normalisation()),
    }
    .checked()
}
