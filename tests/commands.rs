//! `eval` and `report`: what they say about the weights and the folder that a run left.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use kd_engine::random::{Philox, Stream};
use serde_json::Value;
use tempfile::TempDir;

const SIDE: usize = 10;
const CLASSES: usize = 4;

const MODEL: &str = r#"
about = "A tiny net."
[models]
tiny = {}
[network]
layers = [
  { conv = "stem", out = 6, kernel = 3, stride = 2 },
  { batch_norm = "norm" },
  "relu",
  "global_avg_pool",
  { linear = "classifier", out = "classes" },
]
"#;

/// Trains so short that the student is good at nothing, and on values that normalise otherwise than the data's own.
const CONFIG: &str = r#"
name = "tiny"
[data]
source = "idx"
path = "data"
validation = 0.125
mean = [0.25]
std = [0.5]
[classroom]
student = "tiny.toml"
teachers = ["tiny.toml"]
[pretrain]
epochs = 1
batch_size = 16
[[methods]]
name = "cross_entropy"
[[methods]]
name = "kd"
[train]
epochs = 2
batch_size = 16
seeds = [1, 2]
"#;

/// A folder with data, a model, a config, and what a run of it left in `out`; shared by all tests, which only read it.
fn trained() -> &'static Path {
    static TRAINED: OnceLock<TempDir> = OnceLock::new();
    let folder = TRAINED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("tiny.toml"), MODEL).unwrap();
        fs::write(path.join("config.toml"), CONFIG).unwrap();
        write_data(&path.join("data"), CLASSES);
        write_data(&path.join("fewer"), CLASSES - 1);
        succeeds(path, &["run", "config.toml", "--out", "out", "--quiet"]);
        folder
    });
    folder.path()
}

/// An IDX data set: noise, brighter in one row, which is the class's.
fn write_data(folder: &Path, classes: usize) {
    fs::create_dir(folder).unwrap();
    let idx = |extents: &[usize], bytes: &[u8]| {
        let mut file = vec![0, 0, 8, extents.len() as u8];
        extents.iter().for_each(|extent| file.extend((*extent as u32).to_be_bytes()));
        file.extend(bytes);
        file
    };
    for (split, (stem, count)) in [("train", 128), ("t10k", 60)].into_iter().enumerate() {
        let labels: Vec<u8> = (0..count).map(|index| (index % classes) as u8).collect();
        let generator = Philox::new(split as u64, Stream::Split);
        let pixel = |index: usize, pixel: usize| {
            let noise = generator.draw(index as u64, pixel as u64)[0] % 200;
            (noise + if pixel / SIDE == 2 * (index % classes) { 50 } else { 0 }) as u8
        };
        let pixels: Vec<u8> =
            (0..count * SIDE * SIDE).map(|at| pixel(at / (SIDE * SIDE), at % (SIDE * SIDE))).collect();
        fs::write(folder.join(format!("{stem}-labels-idx1-ubyte")), idx(&[count], &labels)).unwrap();
        fs::write(folder.join(format!("{stem}-images-idx3-ubyte")), idx(&[count, SIDE, SIDE], &pixels)).unwrap();
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kd-engine"));
    command.args(arguments).current_dir(folder).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command.output().unwrap()
}

/// The command succeeds and writes nothing to stderr.
#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The command is refused with status 2, says each of `phrases` on stderr and nothing on stdout.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], phrases: &[&str]) {
    let output = run(folder, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {stderr}");
    for phrase in phrases {
        assert!(stderr.contains(phrase), "no {phrase:?} in\n{stderr}");
    }
}

/// `eval --json` of somebody's weights of the run, with more arguments.
#[track_caller]
fn evaluated(role: &str, more: &[&str]) -> Value {
    let mut arguments = vec!["eval", "--model", "tiny.toml", "--weights", "out", "--data", "data", "--json"];
    arguments.extend(["--role", role]);
    arguments.extend(more);
    serde_json::from_str(&succeeds(trained(), &arguments)).unwrap()
}

#[test]
fn evaluation_agrees_exactly_with_the_summary_of_the_run() {
    let summary: Value = serde_json::from_slice(&fs::read(trained().join("out/summary.json")).unwrap()).unwrap();
    let mut compared = 0;
    for model in summary["models"].as_array().unwrap() {
        let values = model["top1"]["last"]["values"].as_array().unwrap();
        let method = model["trained_by"].as_str().unwrap();
        for (seed, expected) in (1..).zip(values) {
            let role = match model["role"].as_str().unwrap() {
                "student" => format!("student-{method}-seed{seed}"),
                role => role.to_string(),
            };
            // Neither how the images are batched nor the number of threads changes anything.
            let document = evaluated(&role, &[]);
            assert_eq!(&document["top1"], expected, "{role}");
            assert_eq!(document, evaluated(&role, &["--batch", "7", "--threads", "1"]), "{role}");
            compared += 1;
        }
    }
    assert_eq!(compared, 1 + 2 * 2);
}

#[test]
fn the_document_says_what_was_measured_and_how() {
    let document = evaluated("teacher", &[]);
    let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["model", "weights", "data", "images", "top1", "top5", "loss", "normalisation"]);
    assert_eq!(document["weights"], Path::new("out/models/teacher.safetensors").display().to_string());
    assert_eq!((document["images"].as_u64(), document["data"].as_str()), (Some(60), Some("data")));
    // Of four classes the right one is always among the first five.
    assert_eq!(document["top5"], 1.0);
    assert!(document["loss"].as_f64().unwrap() > 0.0);
    assert_eq!(document["normalisation"], serde_json::json!({ "from": "weights", "mean": [0.25], "std": [0.5] }));
}

/// A file without a card, as PyTorch leaves it, is normalised as the data says.
#[test]
fn weights_of_other_programs_are_normalised_as_the_data() {
    let trained = trained();
    let bytes = fs::read(trained.join("out/models/teacher.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("bare.safetensors");
    fs::write(&bare, safetensors::serialize(file.tensors(), None).unwrap()).unwrap();
    let weights = bare.to_str().unwrap();
    let arguments = ["eval", "--model", "tiny.toml", "--weights", weights, "--data", "data"];
    let document: Value = serde_json::from_str(&succeeds(trained, &[&arguments[..], &["--json"]].concat())).unwrap();
    assert_eq!(document["normalisation"]["from"], "data");
    assert_ne!(document["normalisation"]["mean"], serde_json::json!([0.25]));
    let text = succeeds(trained, &arguments);
    for phrase in ["top-1", "loss", "60 test images, 4 classes", "of the data: mean"] {
        assert!(text.contains(phrase), "no {phrase:?} in\n{text}");
    }
    assert!(!text.contains("top-5"), "of four classes that says nothing:\n{text}");
}

#[test]
fn requests_that_do_not_fit_are_explained() {
    let trained = trained();
    let check = |model: &str, weights: &str, data: &str, more: &[&str], phrases: &[&str]| {
        let arguments = ["eval", "--model", model, "--weights", weights, "--data", data];
        refused(trained, &[&arguments[..], more].concat(), phrases);
    };
    let teacher = "out/models/teacher.safetensors";
    check("tiny.toml", "out", "data", &[], &["--role: student-cross_entropy-seed1, ", "student-kd-seed2, teacher"]);
    check("tiny.toml", "out", "data", &["--role", "techer"], &["did you mean `teacher`?"]);
    check("tiny.toml", teacher, "data", &["--role", "teacher"], &["is not a run's folder"]);
    check("tiny.toml", "data", "data", &[], &["is not a run's folder"]);
    check("tiny.toml", "none.safetensors", "data", &[], &["cannot read none.safetensors"]);
    check("tiny.toml", teacher, "fewer", &[], &["4 classes", "has 3"]);
    check("tiny.toml", teacher, "cifar-10", &[], &["did you mean `cifar10`?"]);
    check("resnet8", teacher, "data", &[], &["do not fit the model", "trained as tiny"]);
    check("resnet9", teacher, "data", &[], &["no model is called `resnet9`"]);
    check("tiny.toml", teacher, "data", &["--batch", "0"], &["--batch"]);
    check("tiny.toml", teacher, "data", &["--device", "cuda:77"], &["GPU"]);
}

#[test]
fn reports_are_written_of_one_run_and_of_several() {
    let trained = trained();
    let folder = tempfile::tempdir().unwrap();
    let own = trained.join("out").display().to_string();
    let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let said = succeeds(folder.path(), &["report", &own, "-o", "one.html"]);
    assert_eq!(said, "report: one.html\n");
    let lasting = |text: &str| text.lines().filter(|line| !line.starts_with("<footer>")).collect::<Vec<_>>().join("\n");
    let of_run = fs::read_to_string(trained.join("out/report.html")).unwrap();
    assert_eq!(lasting(&page("one.html")), lasting(&of_run), "the same page that the run wrote");
    assert_eq!(succeeds(folder.path(), &["report", &own, &own]), "report: report.html\n");
    assert!(page("report.html").contains("2 runs side by side: out, out #2"));
    refused(folder.path(), &["report", "no-run"], &["no-run does not exist, expected a run's folder"]);
    refused(folder.path(), &["report"], &["<RUN>"]);
    refused(folder.path(), &["report", &own, "-o", "no/such/folder.html"], &["there is no folder no/such"]);
    refused(folder.path(), &["report", &own, "-o", "."], &["is a folder"]);
}
