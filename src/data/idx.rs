//! The IDX format of MNIST (<https://yann.lecun.com/exdb/mnist>): big-endian header, then bytes; plain or gzip.

use std::ops::ControlFlow;
use std::path::Path;

use super::archive::visit;
use super::dataset::{Dataset, Split, numbered_classes};
use super::normalisation::Normalisation;
use crate::stream::ByteStream;
use crate::{Error, Result};

/// Magic number of unsigned bytes in three dimensions, [N, H, W].
const IMAGES: u32 = 0x0803;
/// Magic number of unsigned bytes in one dimension, [N].
const LABELS: u32 = 0x0801;
/// Larger images are a damaged header.
const LARGEST_SIDE: u32 = 4096;

/// What a set in IDX files is, where it is known beforehand.
pub(super) struct Known {
    /// The source's name.
    pub(super) name: &'static str,
    /// Class names; `None`: as many as there are labels, numbered.
    pub(super) classes: Option<&'static [&'static str]>,
    /// The published normalisation.
    pub(super) normalisation: Option<Normalisation>,
}

/// The part of a data set that one IDX file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    TrainImages,
    TrainLabels,
    TestImages,
    TestLabels,
}

impl Part {
    const ALL: [Part; 4] = [Part::TrainImages, Part::TrainLabels, Part::TestImages, Part::TestLabels];

    fn stem(self) -> &'static str {
        match self {
            Part::TrainImages => "train-images-idx3-ubyte",
            Part::TrainLabels => "train-labels-idx1-ubyte",
            Part::TestImages => "t10k-images-idx3-ubyte",
            Part::TestLabels => "t10k-labels-idx1-ubyte",
        }
    }

    /// The part that a file of this name holds, in either spelling (`-idx3` or `.idx3`), with or without `.gz`.
    pub(super) fn of(base_name: &str) -> Option<Part> {
        let stem = base_name.strip_suffix(".gz").unwrap_or(base_name).replace(".idx", "-idx");
        Part::ALL.into_iter().find(|part| part.stem() == stem)
    }
}

/// Whether these are the first bytes of an IDX file.
pub(super) fn is_magic(start: &[u8]) -> bool {
    matches!(start, [0, 0, 8, 1..=4, ..])
}

/// Pixels of one file.
pub(super) struct Images {
    name: String,
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

impl Images {
    fn count(&self) -> usize {
        self.pixels.len() / (self.height * self.width)
    }
}

/// Labels of one file.
pub(super) struct Labels {
    name: String,
    labels: Vec<u8>,
}

/// Byte of the first label in its file.
const LABELS_START: usize = 8;

/// Reads one file of images.
pub(super) fn read_images(mut stream: ByteStream) -> Result<Images> {
    expect_magic(&mut stream, IMAGES, "images (three dimensions of unsigned bytes)")?;
    let count = stream.big_endian("the number of images")?;
    if count == 0 {
        return Err(stream.error_at(4, "the file declares zero images"));
    }
    let mut side = |what| {
        let start = stream.position();
        match stream.big_endian(what)? {
            side @ 1..=LARGEST_SIDE => Ok(side),
            side => Err(stream.error_at(start, format!("{what} is {side}; expected 1 to {LARGEST_SIDE}"))),
        }
    };
    let (height, width) = (side("the height of the images")?, side("the width of the images")?);
    // At most 2^32 · 2^24: fits.
    let bytes = u64::from(count) * u64::from(height) * u64::from(width);
    let what = format!("{count} images of {height}x{width}");
    let pixels = stream.read_declared(bytes, &what)?;
    stream.expect_end(&what)?;
    Ok(Images { name: stream.name().to_string(), height: height as usize, width: width as usize, pixels })
}

/// Reads one file of labels.
pub(super) fn read_labels(mut stream: ByteStream) -> Result<Labels> {
    expect_magic(&mut stream, LABELS, "labels (one dimension of unsigned bytes)")?;
    let count = stream.big_endian("the number of labels")?;
    if count == 0 {
        return Err(stream.error_at(4, "the file declares zero labels"));
    }
    let what = format!("{count} labels");
    let labels = stream.read_declared(u64::from(count), &what)?;
    stream.expect_end(&what)?;
    Ok(Labels { name: stream.name().to_string(), labels })
}

fn expect_magic(stream: &mut ByteStream, expected: u32, what: &str) -> Result<()> {
    match stream.big_endian("the IDX magic number")? {
        magic if magic == expected => Ok(()),
        magic => Err(stream.error_at(
            0,
            format!("the magic number is 0x{magic:08x}; expected 0x{expected:08x}, which marks an IDX file of {what}"),
        )),
    }
}

/// Puts the four files together.
pub(super) fn assemble(train: (Images, Labels), test: (Images, Labels), known: Known) -> Result<Dataset> {
    if (train.0.height, train.0.width) != (test.0.height, test.0.width) {
        return Err(Error::request(format!(
            "{}: images are {}x{}, but those of {} are {}x{}",
            test.0.name, test.0.height, test.0.width, train.0.name, train.0.height, train.0.width
        )));
    }
    let (height, width) = (train.0.height, train.0.width);
    let classes = match known.classes {
        Some(names) => names.iter().map(|name| name.to_string()).collect(),
        None => numbered_classes(count_classes(&train.1)?),
    };
    let train = split(train, classes.len())?;
    let test = split(test, classes.len())?;
    let (name, known_normalisation) = (known.name.to_string(), known.normalisation);
    Dataset { name, height, width, channels: 1, classes, train, test, known_normalisation }.checked()
}

/// The largest label plus one; a gap below it (other than at 0: some sets count from 1) is a damaged label.
fn count_classes(train: &Labels) -> Result<usize> {
    let mut seen = [false; 256];
    for label in &train.labels {
        seen[usize::from(*label)] = true;
    }
    let end = seen.iter().rposition(|seen| *seen).map_or(0, |largest| largest + 1);
    if let Some(gap) = (1..end).find(|label| !seen[*label]) {
        let byte = LABELS_START + train.labels.iter().position(|label| usize::from(*label) > gap).unwrap_or(0);
        return Err(Error::request(format!(
            "{}: byte {byte}: label {} stands here, but no image has label {gap}; \
             labels must be numbered without gaps from 0 or 1",
            train.name,
            train.labels[byte - LABELS_START]
        )));
    }
    Ok(end)
}

fn split((images, labels): (Images, Labels), classes: usize) -> Result<Split> {
    if images.count() != labels.labels.len() {
        return Err(Error::request(format!(
            "{}: byte 4: there are {} labels for the {} images of {}",
            labels.name,
            labels.labels.len(),
            images.count(),
            images.name
        )));
    }
    if let Some(index) = labels.labels.iter().position(|label| usize::from(*label) >= classes) {
        return Err(Error::request(format!(
            "{}: byte {}: label {} is out of range: there are {classes} classes, numbered from 0",
            labels.name,
            LABELS_START + index,
            labels.labels[index]
        )));
    }
    Ok(Split::new(images.pixels, labels.labels.into_iter().map(u32::from).collect()))
}

/// Reads the four files of a folder (or of an archive of it).
pub(super) fn open(path: &Path, known: Known) -> Result<Dataset> {
    let (mut train_images, mut train_labels, mut test_images, mut test_labels) = (None, None, None, None);
    let mut names: [Option<String>; 4] = Default::default();
    visit(path, |member| {
        let Some(part) = Part::of(member.base_name()) else { return Ok(ControlFlow::Continue(())) };
        if let Some(earlier) = names[part as usize].replace(member.name.clone()) {
            return Err(Error::request(format!(
                "{}: both `{earlier}` and `{}` hold the same part of the data set",
                path.display(),
                member.name
            ))
            .help("leave one of the two"));
        }
        match part {
            Part::TrainImages => train_images = Some(read_images(member.open()?)?),
            Part::TrainLabels => train_labels = Some(read_labels(member.open()?)?),
            Part::TestImages => test_images = Some(read_images(member.open()?)?),
            Part::TestLabels => test_labels = Some(read_labels(member.open()?)?),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let (Some(train_images), Some(train_labels), Some(test_images), Some(test_labels)) =
        (train_images, train_labels, test_images, test_labels)
    else {
        let missing: Vec<_> =
            Part::ALL.iter().filter(|part| names[**part as usize].is_none()).map(|part| part.stem()).collect();
        let message = format!("{}: missing {}", path.display(), missing.join(", "));
        return Err(Error::request(message).help("an IDX data set is four files, each plain or .gz"));
    };
    assemble((train_images, train_labels), (test_images, test_labels), known)
}
