//! Bad input is one clear error with status 2, before anything is written.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::school::{SIDE, School, assert_same, idx, stderr};

/// The request is refused: status 2, nothing on stdout, each of `phrases` on stderr, and no file is made or changed.
#[track_caller]
fn refused(school: &School, arguments: &[&str], phrases: &[&str]) {
    let before = school.left(".");
    let output = school.try_run(&[&["run"][..], arguments].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}:\n{said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    for phrase in [&["error: "][..], phrases].concat() {
        assert!(said.contains(phrase), "{arguments:?}: no {phrase:?} in\n{said}");
    }
    for phrase in ["panicked", "fault of kd-engine", "\u{1b}"] {
        assert!(!said.contains(phrase), "{arguments:?}:\n{said}");
    }
    assert_same(&format!("{arguments:?}"), &school.left("."), &before);
}

/// As [`refused`], for the school's config with one setting changed.
#[track_caller]
fn refused_set(school: &School, set: &str, phrases: &[&str]) {
    refused(school, &["school.toml", "--set", set], phrases);
}

#[test]
fn configs() {
    let school = School::new();
    refused_set(&school, "train.bach_size=8", &["train.bach_size", "did you mean `batch_size`?"]);
    refused_set(&school, "trian.epochs=8", &["trian", "did you mean `train`?"]);
    refused_set(&school, "methods.2.tua=8", &["method `classroomkd` has no such key", "did you mean `tau`?"]);
    refused_set(&school, "train.epochs=many", &["train.epochs", "whole number"]);
    refused_set(&school, "train.optimizer.lr='fast'", &["train.optimizer.lr", "number"]);
    refused_set(&school, "train.optimizer.lr=nan", &["train.optimizer.lr"]);
    refused_set(&school, "data.augment.flip=1", &["data.augment.flip", "true or false"]);
    refused_set(&school, "methods.0.name='classromkd'", &["classromkd", "did you mean `classroomkd`?"]);
    refused_set(&school, "classroom.student='resnet9'", &["resnet9", "did you mean `resnet8`?"]);
    refused_set(&school, "classroom.student='models.toml:narow'", &["student", "narow", "narrow"]);
    refused_set(&school, "data.source='cifar11'", &["cifar11", "did you mean `cifar10`?"]);
    refused_set(&school, "train.precision=bf16", &["train.precision", "f32"]);
    refused_set(&school, "classroom.teachers=[]", &["method `kd` needs", "classroom.teachers"]);
    refused_set(&school, "name='../up'", &["name", "file names"]);
    for (seeds, phrase) in [("1,1", "twice"), ("x", "--seeds"), ("", "--seeds")] {
        refused(&school, &["school.toml", "--seeds", seeds], &[phrase]);
    }
    refused(&school, &["school.tmol"], &["school.tmol"]);
    refused(&school, &["fashion-clasroom"], &["did you mean the preset `fashion-classroom`?"]);
    refused(&school, &["data"], &["data is a folder, not a config"]);
    refused(&school, &["school.toml", "--device", "cuda:77"], &["GPU"]);
    refused(&school, &["school.toml", "--device", "gpu"], &["--device", "auto, cpu, cuda"]);
    refused(&school, &["school.toml", "--epochs", "0"], &["--epochs"]);
    refused(&school, &["school.toml", "--threads", "0"], &["--threads"]);
    refused(&school, &["--resume", "data"], &["data is not a run's folder", "config.toml"]);
    refused(&school, &["--resume", "nowhere"], &["nowhere does not exist"]);
    refused(&school, &["--resume", "data", "--dry-run"], &["--dry-run"]);
    // In a file, the line is shown.
    let text = fs::read_to_string(school.path("school.toml")).unwrap();
    school.write("wrong.toml", text.replace("crop_padding = 1", "crop_pading = 1"));
    refused(&school, &["wrong.toml"], &["wrong.toml:8", "crop_pading = 1", "did you mean `crop_padding`?"]);
    school.write("wrong.toml", text.replace("[train]", "[train"));
    refused(&school, &["wrong.toml"], &["wrong.toml:27", "[train"]);
    school.write("wrong.toml", [&text.as_bytes()[..40], &[0xff, 0xfe]].concat());
    refused(&school, &["wrong.toml"], &["wrong.toml", "UTF-8"]);
}

#[test]
fn batches_that_are_empty_absurd_or_too_large() {
    let school = School::new();
    refused_set(&school, "train.batch_size=0", &["train.batch_size", "from 1", "found 0"]);
    refused_set(&school, "train.batch_size=-4", &["train.batch_size", "-4"]);
    refused_set(&school, "train.batch_size=1000000000", &["train.batch_size", "1000000000"]);
    refused_set(&school, "train.batch_size=113", &["batch_size is 113", "only 112 images to learn from"]);
    refused_set(&school, "pretrain.batch_size=113", &["batch_size is 113", "only 112 images to learn from"]);
    refused_set(&school, "data.validation=0.99", &["leaves nothing to train on"]);
}

/// Nothing is allocated for a plan that the machine has no room for; the largest batch that fits is named, and does fit.
#[cfg(target_os = "linux")]
#[test]
fn batches_too_large_for_the_memory() {
    let school = School::new();
    // 36 MiB and more per image of a batch, and many images: more than half a terabyte.
    let huge = r#"
        about = "A thousand layers."
        [models]
        huge = {}
        [network]
        layers = [
          { repeat = 1000, as = "layer", layers = [{ conv = "conv{layer}", out = 64, kernel = 1 }, "relu"] },
          "global_avg_pool",
          { linear = "fc", out = "classes" },
        ]
    "#;
    school.write("huge.toml", huge);
    let count = 20_000;
    school.write("data/train-images-idx3-ubyte", idx(&[count, SIDE, SIDE], &vec![7; count * SIDE * SIDE]));
    let labels: Vec<u8> = (0..count).map(|index| (index % 4) as u8).collect();
    school.write("data/train-labels-idx1-ubyte", idx(&[count], &labels));
    let alone = ["--set", "classroom={ student = 'huge.toml' }", "--set", "methods=[{ name = 'cross_entropy' }]"];
    let huge = [&["school.toml", "--set", "train.batch_size=16384"][..], &alone].concat();
    refused(
        &school,
        &huge,
        &["train.batch_size = 16384 needs", "of memory, but only", "the largest batch that fits is"],
    );
    refused(&school, &[&huge[..], &["--dry-run"]].concat(), &["of memory, but only"]);
}

#[test]
fn data_that_is_damaged_or_mislabelled() {
    let school = School::new();
    let whole = fs::read(school.path("data/train-images-idx3-ubyte")).unwrap();
    let name = "data/train-images-idx3-ubyte";
    let end = whole.len() - 1;
    school.write(name, &whole[..end]);
    refused(&school, &["school.toml"], &["train-images-idx3-ubyte", &format!("byte {end}")]);
    school.write(name, [&whole[..], &[0]].concat());
    refused(&school, &["school.toml"], &["train-images-idx3-ubyte", &format!("byte {}", whole.len())]);
    school.write(name, [&[0, 0, 9], &whole[3..]].concat());
    refused(&school, &["school.toml"], &["train-images-idx3-ubyte", "byte 0", "0x00000903"]);
    // Packed and cut.
    fs::remove_file(school.path(name)).unwrap();
    refused(&school, &["school.toml"], &["data: missing train-images"]);
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(&whole).unwrap();
    let packed = packer.finish().unwrap();
    school.write(&format!("{name}.gz"), &packed[..packed.len() / 2]);
    refused(&school, &["school.toml"], &["train-images-idx3-ubyte.gz", "byte "]);
    school.write(&format!("{name}.gz"), &packed);

    // A label that no training image has, and a gap among them.
    let labels = fs::read(school.path("data/t10k-labels-idx1-ubyte")).unwrap();
    let mut wrong = labels.clone();
    wrong[8 + 5] = 9;
    school.write("data/t10k-labels-idx1-ubyte", wrong);
    refused(&school, &["school.toml"], &["t10k-labels-idx1-ubyte", "byte 13", "label 9", "4 classes"]);
    school.write("data/t10k-labels-idx1-ubyte", &labels[..labels.len() - 1]);
    refused(&school, &["school.toml"], &["t10k-labels-idx1-ubyte", "byte "]);
    school.write("data/t10k-labels-idx1-ubyte", &labels);

    // A whole archive that is cut, with its kind told or recognised.
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    archive.append_dir_all("data", school.path("data")).unwrap();
    let archive = archive.into_inner().unwrap().finish().unwrap();
    school.write("data.tar.gz", &archive);
    school.run(&["run", "school.toml", "--set", "data.path=data.tar.gz", "--dry-run"]);
    school.write("data.tar.gz", &archive[..archive.len() / 2]);
    refused_set(&school, "data.path=data.tar.gz", &["data.tar.gz", "byte "]);
    refused_set(&school, "data.path=nowhere.tar.gz", &["nowhere.tar.gz"]);
    refused_set(&school, "data.source=cifar10", &["data"]);
    refused_set(&school, "data.mean=[0.5, 0.5, 0.5]", &["data.mean"]);
}

#[test]
fn weights_that_do_not_fit() {
    let school = School::new();
    school.run(&["run", "school.toml", "--out", "first", "--epochs", "1", "--seeds", "1"]);
    let peers =
        |model: &str, weights: &str| format!("classroom.peers=[{{ model = '{model}', weights = '{weights}' }}]");
    let narrow = "first/models/peer-2.safetensors";
    // Another net: names and shapes.
    let differs = ["peer-1", "trained as narrow", "do not fit the model", "conv1.weight: missing", "more differences"];
    refused_set(&school, &peers("resnet8", narrow), &differs);
    let differs = ["do not fit", "stem.weight: shape [6, 1, 3, 3], expected [12, 1, 3, 3]", "more differences"];
    refused_set(&school, &peers("models.toml:wide", narrow), &differs);
    // Cut, not there, not weights at all, not finite.
    let whole = fs::read(school.path(narrow)).unwrap();
    school.write("cut.safetensors", &whole[..whole.len() - 10]);
    let at = format!("ends at byte {}", whole.len() - 10);
    refused_set(&school, &peers("models.toml:narrow", "cut.safetensors"), &["cut.safetensors", &at]);
    refused_set(&school, &peers("models.toml:narrow", "none.safetensors"), &["none.safetensors"]);
    refused_set(&school, &peers("models.toml:narrow", "school.toml"), &["school.toml", "not a safetensors file"]);
    refused_set(&school, &peers("models.toml:narrow", "data"), &["data", "neither a weights file nor a run's folder"]);
    let mut broken = whole.clone();
    broken[whole.len() - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    school.write("broken.safetensors", broken);
    refused_set(&school, &peers("models.toml:narrow", "broken.safetensors"), &["NaN", "finite"]);
    // A run that has no such role, and one that is not finished.
    let three = "classroom.peers=['resnet8', 'resnet8', { model = 'resnet8', weights = 'first' }]";
    refused_set(&school, three, &["has no weights of `peer-3`", "did you mean `peer-"]);
    fs::create_dir(school.path("unfinished")).unwrap();
    fs::copy(school.path("first/config.toml"), school.path("unfinished/config.toml")).unwrap();
    refused_set(&school, &peers("resnet8", "unfinished"), &["not finished", "--resume"]);
    // Another number of classes: three of the four.
    let cut = |name: &str, extents: &[usize], size: usize| {
        let bytes = fs::read(school.path(name)).unwrap();
        let kept = (0..).zip(bytes[4 + 4 * extents.len()..].chunks(size)).filter(|(index, _)| index % 4 < 3);
        let kept: Vec<u8> = kept.flat_map(|(_, chunk)| chunk.iter().copied()).collect();
        school.write(name, idx(extents, &kept));
    };
    for (stem, count) in [("train", 96), ("t10k", 30)] {
        cut(&format!("data/{stem}-images-idx3-ubyte"), &[count, SIDE, SIDE], SIDE * SIDE);
        cut(&format!("data/{stem}-labels-idx1-ubyte"), &[count], 1);
    }
    let differs = ["classifier.weight: shape [4, 12], expected [3, 12]", "trained for 4 classes, the data has 3"];
    refused_set(&school, &peers("models.toml:narrow", narrow), &differs);
}

#[test]
fn folders_that_cannot_be_written() {
    let school = School::new();
    // Below a file: nobody can write there, not even an administrator.
    refused(&school, &["school.toml", "--out", "school.toml/run"], &["school.toml/run cannot be written", "--out"]);
    refused(&school, &["school.toml", "--out", "school.toml"], &["school.toml is a file"]);
    refused(&school, &["school.toml", "--out", "data"], &["data is not empty"]);
    school.write("runs", "in the way");
    refused(&school, &["school.toml"], &["the output folder runs cannot be written"]);
}

/// Not bad input, but as clear: training that runs away ends with status 1, and what was saved stays whole.
#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let school = School::new();
    let output = school.try_run(&["run", "school.toml", "--out", "run", "--set", "train.optimizer.lr=1e30"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let phrases =
        ["error: student (narrow) by ", "no longer a finite number, in epoch 1, step ", "last checkpoint is intact"];
    phrases.iter().for_each(|phrase| assert!(said.contains(phrase), "no {phrase:?} in\n{said}"));
    let left = school.left("run");
    assert!(!left.contains_key("summary.json"));
    assert!(left.contains_key("models/teacher.safetensors"), "{:?}", left.keys());
    assert!(left.keys().all(|name| !name.contains(".tmp-")), "{:?}", left.keys());
    // The checkpoint is whole: the run goes on from it, and meets the same end.
    let again = school.try_run(&["run", "--resume", "run"]);
    assert_eq!(again.status.code(), Some(1));
    let last = |said: &str| said.lines().filter(|line| line.contains("error: ")).map(String::from).collect::<Vec<_>>();
    assert_eq!(last(&stderr(&again)), last(&said));
    assert!(!stderr(&again).contains("pretraining") || stderr(&again).contains("by cross_entropy, kd"), "{said}");
    assert_same("resumed", &school.lasting("run"), &{
        let mut left = left;
        left.remove("timing.jsonl");
        left
    });
}
