//! The CIFAR archives, in both versions, and what can be wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use super::idx::gzip;
use crate::config::SourceKind as Source;
use crate::data::{Dataset, open};

/// Planar pixels of image `index`: red counts up, green is constant, blue is the index.
fn planar(index: u8) -> Vec<u8> {
    (0..3072).map(|place| [place as u8, 100, index][place / 1024]).collect()
}

fn expect_pixels(dataset: &Dataset, split: &[u8], indices: &[u8]) {
    assert_eq!((dataset.height, dataset.width, dataset.channels), (32, 32, 3));
    assert_eq!(split.len(), indices.len() * 3072);
    for (image, index) in split.chunks(3072).zip(indices) {
        for (place, pixel) in image.chunks(3).enumerate() {
            assert_eq!(pixel, [place as u8, 100, *index]);
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend([b'U', text.len() as u8]);
    out.extend(text.as_bytes());
}

/// `[(indices of images, labels)]` as Python 2's cPickle writes it in protocol 2.
pub(super) fn batch_pickle(label_keys: &[&str], images: &[u8], labels: &[u8], column_major: bool) -> Vec<u8> {
    let mut out = b"\x80\x02}q\x01(".to_vec();
    text(&mut out, "data");
    out.extend(
        b"q\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01",
    );
    // Shape as BININT1 and BININT2.
    out.extend([b'K', images.len() as u8, b'M', 0, 12, 0x86]);
    out.extend(
        b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
    );
    out.push(if column_major { 0x88 } else { 0x89 });
    out.push(b'T');
    out.extend((3072 * images.len() as u32).to_le_bytes());
    let rows: Vec<Vec<u8>> = images.iter().map(|index| planar(*index)).collect();
    if column_major {
        out.extend((0..3072).flat_map(|place| rows.iter().map(move |row| row[place])));
    } else {
        out.extend(rows.concat());
    }
    out.extend(b"tb");
    for (number, key) in label_keys.iter().enumerate() {
        text(&mut out, key);
        out.extend(b"q\x08](");
        // Coarse labels are a fifth of fine ones.
        let divisor = if *key == "coarse_labels" { 5 } else { 1 };
        labels.iter().for_each(|label| out.extend([b'K', label / divisor]));
        out.extend(b"e");
        out.extend([b'r', number as u8 + 10, 1, 0, 0]);
    }
    text(&mut out, "batch_label");
    out.push(b'q');
    out.push(9);
    text(&mut out, "training batch 1 of 5");
    out.extend(b"u.");
    out
}

pub(super) fn names_pickle(key: &str, names: &[String]) -> Vec<u8> {
    let mut out = b"\x80\x02}q\x01(".to_vec();
    text(&mut out, key);
    out.extend(b"q\x02](");
    names.iter().for_each(|name| text(&mut out, name));
    out.extend(b"eU\x07num_visM\x00\x0cu.");
    out
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class-{class}")).collect()
}

fn records(images: &[u8], labels: &[&[u8]]) -> Vec<u8> {
    images.iter().zip(labels).flat_map(|(index, labels)| [labels.to_vec(), planar(*index)].concat()).collect()
}

type Files = Vec<(String, Vec<u8>)>;

pub(super) fn ten_binary() -> Files {
    let mut files: Files = (1..=5u8)
        .rev()
        .map(|batch| (format!("data_batch_{batch}.bin"), records(&[2 * batch, 2 * batch + 1], &[&[batch], &[9]])))
        .collect();
    files.push(("test_batch.bin".to_string(), records(&[50], &[&[3]])));
    files.push(("batches.meta.txt".to_string(), (names(10).join("\n") + "\n\n").into_bytes()));
    files.push(("readme.html".to_string(), b"hello".to_vec()));
    files
}

pub(super) fn ten_python() -> Files {
    let mut files = vec![("batches.meta".to_string(), names_pickle("label_names", &names(10)))];
    for batch in [4, 1, 3, 2, 5u8] {
        let pickle = batch_pickle(&["labels"], &[2 * batch, 2 * batch + 1], &[batch, 9], batch == 3);
        files.push((format!("data_batch_{batch}"), pickle));
    }
    files.push(("test_batch".to_string(), batch_pickle(&["labels"], &[50], &[3], false)));
    files
}

pub(super) fn hundred_binary() -> Files {
    vec![
        ("train.bin".to_string(), records(&[1, 2], &[&[0, 99], &[19, 0]])),
        ("test.bin".to_string(), records(&[3], &[&[4, 42]])),
        ("fine_label_names.txt".to_string(), names(100).join("\n").into_bytes()),
        ("coarse_label_names.txt".to_string(), names(20).join("\n").into_bytes()),
    ]
}

pub(super) fn hundred_python() -> Files {
    let keys = ["coarse_labels", "fine_labels"];
    vec![
        ("meta".to_string(), names_pickle("fine_label_names", &names(100))),
        ("test".to_string(), batch_pickle(&keys, &[3], &[42], true)),
        ("train".to_string(), batch_pickle(&keys, &[1, 2], &[99, 0], false)),
    ]
}

pub(super) fn tar(files: &Files) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("./cifar/{name}"), content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The files as a folder, a tar and a gzipped tar.
fn lay_out(folder: &Path, files: &Files) -> [PathBuf; 3] {
    let unpacked = folder.join("unpacked");
    fs::create_dir_all(&unpacked).unwrap();
    for (name, content) in files {
        fs::write(unpacked.join(name), content).unwrap();
    }
    let (plain, packed) = (folder.join("set.tar"), folder.join("set.tar.gz"));
    fs::write(&plain, tar(files)).unwrap();
    fs::write(&packed, gzip(&tar(files))).unwrap();
    [unpacked, plain, packed]
}

#[test]
fn ten_is_read_in_both_versions_and_every_packing() {
    for files in [ten_binary(), ten_python()] {
        let folder = tempfile::tempdir().unwrap();
        for path in lay_out(folder.path(), &files) {
            let dataset = open(None, Some(&path)).unwrap();
            assert_eq!(dataset.name, "cifar10");
            assert_eq!(dataset.classes, names(10));
            assert_eq!(dataset.train.labels, [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]);
            assert_eq!(dataset.test.labels, [3]);
            expect_pixels(&dataset, &dataset.train.images, &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
            expect_pixels(&dataset, &dataset.test.images, &[50]);
            assert_eq!(dataset.normalisation().mean, [0.4914, 0.4822, 0.4465]);
        }
    }
}

#[test]
fn hundred_is_read_with_fine_labels() {
    for files in [hundred_binary(), hundred_python()] {
        let folder = tempfile::tempdir().unwrap();
        for path in lay_out(folder.path(), &files) {
            let dataset = open(None, Some(&path)).unwrap();
            assert_eq!(dataset.name, "cifar100");
            assert_eq!(dataset.classes, names(100));
            assert_eq!((dataset.train.labels.as_slice(), dataset.test.labels.as_slice()), (&[99, 0][..], &[42][..]));
            expect_pixels(&dataset, &dataset.train.images, &[1, 2]);
            assert_eq!(dataset.normalisation().std, [0.2675, 0.2565, 0.2761]);
        }
    }
    // Without the names' file, numbers.
    let folder = tempfile::tempdir().unwrap();
    let [unpacked, ..] = lay_out(folder.path(), &hundred_binary()[..2].to_vec());
    assert_eq!(open(None, Some(&unpacked)).unwrap().classes[42], "42");
}

/// Asserts that `files` with `name` replaced fail, from a tar, with all of `parts` in the message.
fn fails_with(source: Source, mut files: Files, name: &str, content: Vec<u8>, parts: &[&str]) {
    files.retain(|(other, _)| other != name);
    files.push((name.to_string(), content));
    let folder = tempfile::tempdir().unwrap();
    let [_, plain, _] = lay_out(folder.path(), &files);
    let error = open(Some(source), Some(&plain)).unwrap_err();
    assert_eq!(error.exit_status(), 2);
    for part in [name].iter().chain(parts) {
        assert!(error.to_string().contains(part), "`{error}` lacks `{part}`");
    }
}

#[test]
fn damaged_binary_files_are_named_with_their_byte() {
    let batch = |labels: [&[u8]; 2]| records(&[1, 2], &labels);
    let name = "data_batch_2.bin";
    let cut = batch([&[1], &[2]])[..5000].to_vec();
    fails_with(Source::Cifar10, ten_binary(), name, cut, &["byte 3073", "1927 bytes are left over"]);
    let label = batch([&[1], &[10]]);
    fails_with(Source::Cifar10, ten_binary(), name, label, &["byte 3073", "label 10", "10 classes"]);
    fails_with(Source::Cifar10, ten_binary(), name, vec![], &["no images"]);
    let fine = batch([&[1, 1], &[1, 100]]);
    fails_with(Source::Cifar100, hundred_binary(), "train.bin", fine, &["byte 3075", "label 100"]);
    let coarse = batch([&[1, 1], &[20, 1]]);
    fails_with(Source::Cifar100, hundred_binary(), "test.bin", coarse, &["byte 3074", "label 20", "20 classes"]);
    let few = b"one\ntwo\n".to_vec();
    fails_with(Source::Cifar10, ten_binary(), "batches.meta.txt", few, &["2 class names", "10"]);
}

#[test]
fn damaged_pickles_are_named_with_their_byte_and_nothing_is_executed() {
    let fails = |content: Vec<u8>, parts: &[&str]| {
        fails_with(Source::Cifar10, ten_python(), "data_batch_3", content, parts);
    };
    let good = batch_pickle(&["labels"], &[1, 2], &[0, 1], false);
    fails(good[..good.len() - 1].to_vec(), &[&format!("byte {}", good.len() - 1), "ends"]);
    fails(good[..1000].to_vec(), &["byte 1000", "ends inside"]);
    fails([good.clone(), vec![0]].concat(), &[&format!("byte {}", good.len()), "unexpected data"]);
    fails(b"\x80\x02cos\nsystem\nU\x04trueq\x01\x85R.".to_vec(), &["byte 2", "`os.system`"]);
    fails(b"\x80\x02c__builtin__\neval\n.".to_vec(), &["`__builtin__.eval`"]);
    fails(b"\x80\x02i".to_vec(), &["byte 2", "0x69"]);
    fails(b"\x80\x02T\xff\xff\xff\xffabc".to_vec(), &["4294967295 bytes", "ends inside"]);
    fails(b"\x80\x01.".to_vec(), &["protocol 1"]);
    fails(b"\x80\x02\x85.".to_vec(), &["byte 2", "stack"]);
    fails(b"\x80\x02h\x07.".to_vec(), &["byte 2", "recalls 7"]);
    fails(b"\x80\x02}.".to_vec(), &["no `data`"]);
    let labels = batch_pickle(&["labels"], &[1, 2], &[0, 1, 2], false);
    fails(labels, &["3 labels for 2 images"]);
    let range = batch_pickle(&["labels"], &[1, 2], &[0, 10], false);
    let byte = range.windows(4).position(|bytes| bytes == [b'K', 0, b'K', 10]).unwrap() + 2;
    fails(range, &[&format!("byte {byte}: label 10"), "10 classes"]);
    let shape = good.windows(3).position(|bytes| bytes == [b'M', 0, 12]).unwrap();
    let mut wrong = good.clone();
    wrong[shape + 1] = 1;
    fails(wrong, &["2 x 3073 bytes, but holds 6144"]);
    let element = good.windows(2).position(|bytes| bytes == b"u1").unwrap();
    let mut wrong = good;
    wrong[element] = b'i';
    fails(wrong, &["type `i1`"]);
}

#[test]
fn missing_and_doubled_batches_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = ten_binary();
    files.retain(|(name, _)| name != "data_batch_4.bin");
    let [unpacked, ..] = lay_out(folder.path(), &files);
    let error = open(None, Some(&unpacked)).unwrap_err().to_string();
    assert!(error.contains("missing data_batch_4 of cifar10"), "{error}");

    let both = tempfile::tempdir().unwrap();
    lay_out(both.path(), &ten_binary());
    let [unpacked, ..] = lay_out(both.path(), &ten_python());
    let error = open(None, Some(&unpacked)).unwrap_err().to_string();
    assert!(error.contains("`batches.meta` and `batches.meta.txt`"), "{error}");
}

#[test]
fn truncated_archives_are_named_with_their_byte() {
    let folder = tempfile::tempdir().unwrap();
    let whole = tar(&hundred_binary());
    let path = folder.path().join("cut.tar");
    // Inside a member, at the end of a member, and before the end mark.
    for (length, part) in
        [(1000, "train.bin: byte 488"), (512 + 6144 + 4 + 508, "byte 7168"), (whole.len() - 1024, "end mark")]
    {
        fs::write(&path, &whole[..length]).unwrap();
        let error = open(Some(Source::Cifar100), Some(&path)).unwrap_err().to_string();
        assert!(error.contains("cut.tar") && error.contains(part), "{length}: {error}");
    }
    let packed = gzip(&whole);
    for length in [packed.len() / 2, packed.len() - 3] {
        fs::write(&path, &packed[..length]).unwrap();
        let error = open(Some(Source::Cifar100), Some(&path)).unwrap_err().to_string();
        assert!(error.contains(&format!("byte {length}: the gzip data is truncated")), "{error}");
    }
}
