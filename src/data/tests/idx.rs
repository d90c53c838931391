//! IDX files, the embedded set, and what can be wrong with them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use flate2::{Compression, write::GzEncoder};

use crate::Error;
use crate::config::SourceKind as Source;
use crate::data::embedded;
use crate::data::{open, open_named};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn images(count: u32, height: u32, width: u32) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 3];
    for number in [count, height, width] {
        file.extend(number.to_be_bytes());
    }
    file.extend((0..count * height * width).map(|index| index as u8));
    file
}

pub(super) fn labels(labels: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 1];
    file.extend((labels.len() as u32).to_be_bytes());
    file.extend(labels);
    file
}

const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// A folder of four training images of 2x3 and two test images.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = [images(4, 2, 3), labels(&[0, 1, 2, 1]), images(2, 2, 3), labels(&[2, 0])];
    for (name, file) in NAMES.iter().zip(files) {
        fs::write(folder.path().join(name), file).unwrap();
    }
    folder
}

fn failure(folder: &Path) -> Error {
    let error = open(None, Some(folder)).unwrap_err();
    assert_eq!(error.exit_status(), 2);
    error
}

/// Asserts that the folder, with `name` replaced by `content`, fails with all of `parts` in the message.
fn fails_with(name: &str, content: &[u8], parts: &[&str]) {
    let folder = folder();
    fs::write(folder.path().join(name), content).unwrap();
    let message = failure(folder.path()).to_string();
    for part in [name].iter().chain(parts) {
        assert!(message.contains(part), "`{message}` lacks `{part}`");
    }
}

#[test]
fn folder_is_read_in_every_spelling() {
    let plain = folder();
    let expected = open(None, Some(plain.path())).unwrap();
    assert_eq!((expected.name.as_str(), expected.height, expected.width, expected.channels), ("idx", 2, 3, 1));
    assert_eq!(expected.classes, ["0", "1", "2"]);
    assert_eq!(expected.train.labels, [0, 1, 2, 1]);
    assert_eq!(*expected.train.images, (0..24).collect::<Vec<u8>>());
    assert_eq!(expected.test.labels, [2, 0]);
    assert_eq!(expected.bytes(), 24 + 12 + 4 * (4 + 2));
    assert_eq!(expected.known_normalisation, None);

    let spelled = tempfile::tempdir().unwrap();
    for name in NAMES {
        let content = gzip(&fs::read(plain.path().join(name)).unwrap());
        fs::write(spelled.path().join(name.replace("-idx", ".idx") + ".gz"), content).unwrap();
    }
    assert_eq!(open(Some(Source::Idx), Some(spelled.path())).unwrap(), expected);

    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("nested", plain.path()).unwrap();
    let file = plain.path().join("set.tar.gz");
    fs::write(&file, gzip(&archive.into_inner().unwrap())).unwrap();
    assert_eq!(open_named(file.to_str().unwrap()).unwrap(), expected);
}

#[test]
fn damaged_files_are_named_with_their_byte() {
    let whole = images(4, 2, 3);
    fails_with(NAMES[0], &whole[..30], &["byte 30", "ends inside"]);
    fails_with(NAMES[0], &whole[..10], &["byte 10", "the height of the images"]);
    fails_with(NAMES[0], &[whole.clone(), vec![7]].concat(), &["byte 40", "unexpected data"]);
    fails_with(NAMES[0], &labels(&[0, 1]), &["byte 0", "0x00000801", "0x00000803"]);
    fails_with(NAMES[0], &images(0, 2, 3), &["byte 4", "zero images"]);
    fails_with(NAMES[0], &images(4, 0, 3), &["byte 8", "height", "is 0"]);
    fails_with(NAMES[1], &labels(&[0, 1, 2]), &["3 labels", "4 images"]);
    fails_with(NAMES[1], &labels(&[0, 1, 200, 1]), &["byte 10", "label 200", "label 2"]);
    fails_with(NAMES[3], &labels(&[0, 3]), &["byte 9", "label 3", "3 classes"]);
    fails_with(NAMES[2], &images(2, 3, 2), &["3x2", "2x3"]);
}

#[test]
fn declared_sizes_cost_no_memory() {
    let mut huge = images(1, 1, 1);
    huge[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    huge[8..12].copy_from_slice(&4096u32.to_be_bytes());
    huge[12..16].copy_from_slice(&4096u32.to_be_bytes());
    fails_with(NAMES[0], &huge, &["byte 17", "4294967295 images of 4096x4096"]);
}

#[test]
fn damaged_gzip_is_named_with_its_byte() {
    let packed = gzip(&images(4, 2, 3));
    let truncated = &packed[..packed.len() - 5];
    fails_with(NAMES[0], truncated, &[&format!("byte {}", truncated.len()), "gzip"]);
    let mut damaged = packed.clone();
    let sum = damaged.len() - 8;
    damaged[sum] ^= 1;
    fails_with(NAMES[0], &damaged, &["gzip", "damaged"]);
}

#[test]
fn missing_and_doubled_files_are_named() {
    let missing = folder();
    fs::remove_file(missing.path().join(NAMES[2])).unwrap();
    let message = failure(missing.path()).to_string();
    assert!(message.contains(NAMES[2]) && !message.contains(NAMES[0]), "{message}");
    let doubled = folder();
    fs::write(doubled.path().join("t10k-labels.idx1-ubyte"), labels(&[0, 0])).unwrap();
    let message = failure(doubled.path()).to_string();
    assert!(message.contains("t10k-labels.idx1-ubyte") && message.contains(NAMES[3]), "{message}");
}

#[test]
fn embedded_set_is_whole_and_shared() {
    let dataset = open(None, None).unwrap();
    assert!(Arc::ptr_eq(&dataset, &open_named("embedded").unwrap()));
    assert_eq!((dataset.height, dataset.width, dataset.channels), (28, 28, 1));
    assert_eq!((dataset.train.len(), dataset.test.len()), (8000, 2000));
    for (split, each) in [(&dataset.train, 800), (&dataset.test, 200)] {
        for class in 0..10 {
            assert_eq!(split.labels.iter().filter(|label| **label == class).count(), each);
        }
    }
    assert_eq!(dataset.classes[9], "Ankle boot");
    assert_eq!(dataset.bytes(), 10_000 * (28 * 28 + 4));
    // The subset's own statistics are near those published for the whole.
    let (own, published) = (super::super::Normalisation::of(&dataset.train, 1), dataset.normalisation());
    assert_eq!((published.mean[0], published.std[0]), (0.2860, 0.3530));
    assert!((own.mean[0] - published.mean[0]).abs() < 0.01 && (own.std[0] - published.std[0]).abs() < 0.01);
}

#[test]
fn installed_set_is_read_from_its_folder_or_the_package_is_named() {
    let dataset = embedded::installed(folder().path()).unwrap();
    assert_eq!((dataset.name.as_str(), dataset.classes.len()), ("fashion-mnist", 10));
    assert!(dataset.known_normalisation.is_some());
    let error = embedded::installed(Path::new("no/such/folder")).unwrap_err();
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("dataset-fashion-mnist"), "{help}");
}

#[test]
fn requests_that_fit_nothing_are_errors() {
    let error = open_named("embeded").unwrap_err();
    assert_eq!(miette::Diagnostic::help(&error).unwrap().to_string(), "did you mean `embedded`?");
    let error = open_named("fashon-mnist").unwrap_err();
    assert_eq!(miette::Diagnostic::help(&error).unwrap().to_string(), "did you mean `fashion-mnist`?");
    assert!(open_named("idx").unwrap_err().to_string().contains("needs a path"));
    let folder = folder();
    assert!(open(Some(Source::Embedded), Some(folder.path())).unwrap_err().to_string().contains("takes no path"));
    let one_file = folder.path().join(NAMES[0]);
    assert!(open(None, Some(&one_file)).unwrap_err().to_string().contains("one IDX file"));
    let text = folder.path().join("notes.txt");
    fs::write(&text, "hello").unwrap();
    assert!(open(None, Some(&text)).unwrap_err().to_string().contains("no tar archive"));
    let empty = tempfile::tempdir().unwrap();
    assert!(failure(empty.path()).to_string().contains("no data set of a known kind"));
}
