//! Image folders and tars of them: `split/class/file`, PNG or JPEG, all of one size.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;

use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;

use super::archive::visit;
use super::dataset::{Dataset, Split};
use super::order::permute;
use crate::{Error, Result};

/// Images decoded together, in parallel.
const CHUNK: usize = 1024;
/// A chunk ends earlier when its files have this many bytes.
const CHUNK_BYTES: usize = 16 << 20;
/// No image for a classifier is larger, packed or unpacked.
const LARGEST_FILE: u64 = 64 << 20;
const LARGEST_SIDE: u32 = 4096;

const TRAIN: usize = 0;
const TEST: usize = 1;
const VALIDATION: usize = 2;

fn split_of(name: &str) -> Option<usize> {
    match name {
        "train" => Some(TRAIN),
        "test" => Some(TEST),
        "val" | "valid" => Some(VALIDATION),
        _ => None,
    }
}

fn is_image(file: &str) -> bool {
    let extension = file.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
}

/// Split, class and file of a member, if it lies in a split.
fn parts(name: &str) -> Option<(usize, &str, &str)> {
    let mut parts = name.rsplit('/');
    let (file, class, split) = (parts.next()?, parts.next()?, parts.next()?);
    Some((split_of(split)?, class, file))
}

/// Whether a member of this name makes its folder or archive an image folder.
pub(super) fn is_image_of_a_split(name: &str) -> bool {
    !is_litter(name) && parts(name).is_some_and(|(_, _, file)| is_image(file))
}

/// What file managers leave behind.
fn is_litter(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') || matches!(part, "__MACOSX" | "Thumbs.db" | "desktop.ini"))
}

/// A file that was read and is yet to be decoded.
struct Pending {
    split: usize,
    class: u32,
    file: String,
    /// As errors call it.
    name: String,
    bytes: Vec<u8>,
}

/// A decoded image.
struct Picture {
    height: usize,
    width: usize,
    channels: usize,
    pixels: Vec<u8>,
}

/// Decodes one file.
fn decode(name: &str, bytes: &[u8]) -> Result<Picture> {
    let fail = |message: String| Error::request(format!("{name}: {message}"));
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => format,
        _ => return Err(fail("byte 0: this is neither PNG nor JPEG".to_string())),
    };
    // A JPEG decoder fills what is missing with grey; the end mark tells.
    if format == ImageFormat::Jpeg && !bytes.windows(2).rev().any(|pair| pair == [0xff, 0xd9]) {
        return Err(fail(format!("byte {}: the JPEG ends without its end mark: it is truncated", bytes.len())));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(4 * LARGEST_FILE);
    reader.limits(limits);
    let kind = if format == ImageFormat::Png { "PNG" } else { "JPEG" };
    let image = reader
        .decode()
        .map_err(|error| fail(format!("bytes 0 to {}: this {kind} cannot be decoded: {error}", bytes.len())))?;
    let (height, width) = (image.height() as usize, image.width() as usize);
    let opaque = match &image {
        DynamicImage::ImageLumaA8(image) => image.pixels().all(|pixel| pixel.0[1] == 255),
        DynamicImage::ImageRgba8(image) => image.pixels().all(|pixel| pixel.0[3] == 255),
        _ => true,
    };
    if !opaque {
        return Err(fail("the image is partly transparent; expected grey or RGB without transparency".to_string()));
    }
    let (channels, pixels) = match image {
        DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
        image @ DynamicImage::ImageLumaA8(_) => (1, image.into_luma8().into_raw()),
        DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
        image @ DynamicImage::ImageRgba8(_) => (3, image.into_rgb8().into_raw()),
        other => {
            return Err(fail(format!("the image has pixels of type {:?}; expected 8 bits per channel", other.color())));
        }
    };
    Ok(Picture { height, width, channels, pixels })
}

/// Images of one split in the order in which they came.
#[derive(Default)]
struct Gathered {
    images: Vec<u8>,
    /// Class and file name of each image.
    keys: Vec<(u32, String)>,
}

/// What is known so far.
#[derive(Default)]
struct Gathering {
    splits: [Gathered; 3],
    /// Classes by name, numbered as they came.
    classes: BTreeMap<String, u32>,
    /// Height and width, and the name of the image that set them.
    size: Option<(usize, usize, String)>,
    /// 1 until the first image in colour.
    channels: usize,
}

impl Gathering {
    fn class(&mut self, name: &str) -> u32 {
        let next = self.classes.len() as u32;
        match self.classes.get(name) {
            Some(class) => *class,
            None => *self.classes.entry(name.to_string()).or_insert(next),
        }
    }

    /// Decodes the chunk in parallel and takes it in, in its order.
    fn take(&mut self, chunk: &mut Vec<Pending>) -> Result<()> {
        let pictures: Vec<Result<Picture>> =
            chunk.par_iter().map(|pending| decode(&pending.name, &pending.bytes)).collect();
        for (pending, picture) in chunk.drain(..).zip(pictures) {
            let picture = picture?;
            let (height, width, first) =
                self.size.get_or_insert_with(|| (picture.height, picture.width, pending.name.clone()));
            if (*height, *width) != (picture.height, picture.width) {
                return Err(Error::request(format!(
                    "{}: the image is {}x{}, but {first} is {height}x{width}",
                    pending.name, picture.height, picture.width
                ))
                .help("all images of a data set must have one size; resize them first"));
            }
            if picture.channels == 3 && self.channels != 3 {
                self.channels = 3;
                self.splits.iter_mut().for_each(|split| grey_to_colour(&mut split.images));
            }
            let target = &mut self.splits[pending.split];
            if picture.channels == self.channels {
                target.images.extend_from_slice(&picture.pixels);
            } else {
                target.images.extend(picture.pixels.iter().flat_map(|grey| [*grey; 3]));
            }
            target.keys.push((pending.class, pending.file));
        }
        Ok(())
    }
}

/// [N, H, W, 1] to [N, H, W, 3] in place, from the end.
fn grey_to_colour(images: &mut Vec<u8>) {
    let count = images.len();
    images.resize(3 * count, 0);
    for index in (0..count).rev() {
        let grey = images[index];
        images[3 * index..3 * index + 3].fill(grey);
    }
}

/// Reads the image folder, or archive of one, at `path`.
pub(super) fn open(path: &Path) -> Result<Dataset> {
    let mut gathering = Gathering { channels: 1, ..Gathering::default() };
    let (mut chunk, mut chunk_bytes) = (Vec::with_capacity(CHUNK), 0);
    visit(path, |member| {
        if is_litter(&member.name) {
            return Ok(ControlFlow::Continue(()));
        }
        let name = member.name.clone();
        let Some((split, class, file)) = parts(&name) else {
            let in_split = name.split('/').rev().skip(1).any(|part| split_of(part).is_some());
            if in_split && is_image(&name) {
                return Err(Error::request(format!("{}: `{name}` is misplaced", path.display()))
                    .help("images are expected as split/class/file, as in train/cat/1.png"));
            }
            return Ok(ControlFlow::Continue(()));
        };
        if !is_image(file) {
            return Err(Error::request(format!("{}: `{name}` is neither .png nor .jpg", path.display()))
                .help("the folder of a class may hold nothing but its images"));
        }
        let mut stream = member.open()?;
        let bytes = stream.read_rest(LARGEST_FILE, "the image file")?;
        chunk_bytes += bytes.len();
        let class = gathering.class(class);
        chunk.push(Pending { split, class, file: file.to_string(), name: stream.name().to_string(), bytes });
        if chunk.len() == CHUNK || chunk_bytes > CHUNK_BYTES {
            gathering.take(&mut chunk)?;
            chunk_bytes = 0;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    gathering.take(&mut chunk)?;
    assemble(path, gathering)
}

fn assemble(path: &Path, gathering: Gathering) -> Result<Dataset> {
    let Gathering { splits: [train, test, validation], classes: numbers, size, channels } = gathering;
    let missing = |split: &str, names: &str| {
        Error::request(format!("{}: there are no images of the {split} split", path.display()))
            .help(format!("images are expected as split/class/file, this split as {names}"))
    };
    let Some((height, width, _)) = size else { return Err(missing("training", "train/class/file")) };
    if train.keys.is_empty() {
        return Err(missing("training", "train/class/file"));
    }
    let test = match (test.keys.is_empty(), validation.keys.is_empty()) {
        (true, true) => return Err(missing("test", "test/class/file, or val or valid")),
        (true, false) => validation,
        (false, true) => test,
        (false, false) => {
            tracing::warn!("{}: there is a test split, so its val split is not used", path.display());
            test
        }
    };
    let trained: BTreeSet<u32> = train.keys.iter().map(|key| key.0).collect();
    let tested: BTreeSet<u32> = test.keys.iter().map(|key| key.0).collect();
    for (name, _) in numbers.iter().filter(|(_, number)| trained.contains(number) && !tested.contains(number)) {
        tracing::warn!("{}: class `{name}` has no test images", path.display());
    }
    if let Some((class, file)) = test.keys.iter().find(|key| !trained.contains(&key.0)) {
        let name = numbers.iter().find(|(_, number)| *number == class).map_or("", |(name, _)| name);
        let message = format!("{}: class `{name}` has test images ({file}), but no training images", path.display());
        let others = numbers.iter().filter(|(_, number)| trained.contains(number)).map(|(name, _)| name.as_str());
        return Err(Error::request(message).suggest(name, others));
    }
    // Labels follow the names' order; a class that only an unused split has is none.
    let mut labels = vec![u32::MAX; numbers.len()];
    let mut classes = Vec::new();
    for (name, number) in numbers.into_iter().filter(|(_, number)| trained.contains(number)) {
        labels[number as usize] = classes.len() as u32;
        classes.push(name);
    }
    let image_bytes = height * width * channels;
    let train = sorted(path, train, &labels, image_bytes)?;
    let test = sorted(path, test, &labels, image_bytes)?;
    let name = "folder".to_string();
    Dataset { name, height, width, channels, classes, train, test, known_normalisation: None }.checked()
}

/// Brings the images into the order of class and file name.
fn sorted(path: &Path, mut gathered: Gathered, labels: &[u32], image_bytes: usize) -> Result<Split> {
    gathered.keys.iter_mut().for_each(|key| key.0 = labels[key.0 as usize]);
    let keys = &gathered.keys;
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|first, second| keys[*first].cmp(&keys[*second]));
    if let Some(pair) = order.windows(2).find(|pair| keys[pair[0]] == keys[pair[1]]) {
        let message = format!("{}: two images are called {}, in one class and split", path.display(), keys[pair[0]].1);
        return Err(Error::request(message));
    }
    let labels = order.iter().map(|index| keys[*index].0).collect();
    permute(&mut gathered.images, image_bytes, order);
    Ok(Split::new(gathered.images, labels))
}
