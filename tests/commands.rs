//! `eval`, `export` and `report`: what they make of the weights and the folder that a run left.

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

/// Writes the teacher's weights to `file` without their card, as PyTorch leaves them.
fn write_bare(file: &Path) {
    let bytes = fs::read(trained().join("out/models/teacher.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    fs::write(file, safetensors::serialize(weights.tensors(), None).unwrap()).unwrap();
}

/// A file without a card, as PyTorch leaves it, is normalised as the data says.
#[test]
fn weights_of_other_programs_are_normalised_as_the_data() {
    let trained = trained();
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("bare.safetensors");
    write_bare(&bare);
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

/// Whether `bytes` hold `text`.
fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What is in such a file is tested where it is made; here that it is the weights asked for, as asked for, and whole.
#[test]
fn trained_models_are_exported() {
    let trained = trained();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let export = |weights: &str, out: &str, more: &[&str]| {
        let arguments = ["export", "--model", "tiny.toml", "--weights", weights, "-o", out];
        assert_eq!(succeeds(trained, &[&arguments[..], more].concat()), format!("model: {out}\n"));
        fs::read(out).unwrap()
    };
    let (teacher, out) = ("out/models/teacher.safetensors", path("model.onnx"));
    let bytes = export(teacher, &out, &[]);
    assert_eq!(export("out", &out, &["--role", "teacher"]), bytes, "the same model, the same bytes, and replaced");
    let weights = fs::read(trained.join(teacher)).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&weights).unwrap();
    for (name, tensor) in weights.tensors() {
        assert!(holds(&bytes, &name), "{name}");
        assert!(bytes.windows(tensor.data().len()).any(|window| window == tensor.data()), "elements of {name}");
    }
    for text in ["images", "logits", "batch", "cross_entropy", "normalised: (pixel / 255 - mean) / std", "[10,10,1]"] {
        assert!(holds(&bytes, text), "{text}");
    }
    let student = export("out", &path("student.onnx"), &["--role", "student-kd-seed2"]);
    assert_ne!(student, bytes);
    let normalising = export(teacher, &out, &["--normalise"]);
    assert!(holds(&normalising, "pixels from 0 to 255") && !holds(&bytes, "pixels from 0 to 255"));
    assert!(holds(&export(teacher, &out, &["--resolution", "12"]), "[12,12,1]"));
    // PyTorch's own file: channels and classes by its shapes.
    write_bare(&folder.path().join("bare.safetensors"));
    assert!(holds(&export(&path("bare.safetensors"), &out, &[]), "[32,32,1]"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left aside");
}

#[test]
fn exports_that_cannot_be_are_explained() {
    let trained = trained();
    let folder = tempfile::tempdir().unwrap();
    let (out, bare) = (folder.path().join("model.onnx"), folder.path().join("bare.safetensors"));
    write_bare(&bare);
    fs::write(&out, "what was here before").unwrap();
    let check = |model: &str, weights: &str, more: &[&str], phrases: &[&str]| {
        let arguments = ["export", "--model", model, "--weights", weights];
        let out = ["-o", out.to_str().unwrap()];
        let out = if more.contains(&"-o") { &[] } else { &out[..] };
        refused(trained, &[&arguments[..], out, more].concat(), phrases);
    };
    let (teacher, bare) = ("out/models/teacher.safetensors", bare.to_str().unwrap());
    check("tiny.toml", "out", &[], &["--role: student-cross_entropy-seed1, "]);
    check("tiny.toml", "out", &["--role", "techer"], &["did you mean `teacher`?"]);
    check("tiny.toml", teacher, &["--role", "teacher"], &["is not a run's folder"]);
    check("tiny.toml", "none.safetensors", &[], &["cannot read none.safetensors"]);
    check("tiny.toml", "config.toml", &[], &["config.toml", "not a safetensors file"]);
    check("resnet9", teacher, &[], &["no model is called `resnet9`"]);
    check("resnet8", teacher, &[], &["do not fit the model", "trained as tiny"]);
    check("resnet8", bare, &[], &["do not fit the model", "conv1.weight: missing"]);
    check("tiny.toml", bare, &["--normalise"], &["do not say how", "without --normalise"]);
    check("tiny.toml", teacher, &["--resolution", "0"], &["--resolution"]);
    check("tiny.toml", teacher, &["-o", "no/such/model.onnx"], &["there is no folder no/such"]);
    check("tiny.toml", teacher, &["-o", "out"], &["is a folder", "model.onnx"]);
    check("tiny.toml", teacher, &["-o", teacher], &["holds the weights"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), "what was here before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left aside");
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

#[test]
fn a_runs_folder_knows_its_data_and_weights_know_their_model() {
    let path = trained();
    let with = |more: &[&str]| {
        let arguments = ["eval", "--json", "--weights", "out", "--role", "student-kd-seed2"];
        let said = succeeds(path, &[&arguments[..], more].concat());
        serde_json::from_str::<Value>(&said).unwrap()
    };
    let (given, known) = (with(&["--model", "tiny.toml", "--data", "data"]), with(&["--model", "tiny.toml"]));
    assert_eq!((&given["top1"], &given["loss"]), (&known["top1"], &known["loss"]));
    // A net of one's own has to be named by its file.
    refused(path, &["eval", "--weights", "out", "--role", "teacher"], &["no model is called `tiny`"]);
    let weights = ["eval", "--model", "tiny.toml", "--weights", "out/models/teacher.safetensors"];
    refused(path, &weights, &["--data is missing"]);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pytorch/narrow_resnet.pth");
    let model = model.to_str().unwrap();
    refused(path, &["eval", "--weights", model, "--data", "data"], &["does not say of which model it is"]);
}

#[test]
fn a_checkpoint_of_pytorch_is_converted_and_read_as_it_is() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let path = |name: &str| fixtures.join(name).to_str().unwrap().to_string();
    let (checkpoint, model) = (path("pytorch/narrow_resnet.pth"), path("parity/narrow_resnet.toml"));
    let folder = tempfile::tempdir().unwrap();
    let said = succeeds(folder.path(), &["import", &checkpoint, "--model", &model, "-o", "out.safetensors"]);
    assert!(said.contains("with 7 classes on images of 3 channels"), "{said}");
    // What PyTorch saved is what the parity case holds.
    let read = |bytes: &[u8]| -> std::collections::BTreeMap<String, Vec<f32>> {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let widened = |view: safetensors::tensor::TensorView| -> Vec<f32> {
            let bytes = view.data();
            match view.dtype() {
                safetensors::Dtype::F16 => {
                    bytes.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
                }
                _ => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            }
        };
        file.iter().map(|(name, view)| (name.to_string(), widened(view))).collect()
    };
    let written = read(&fs::read(folder.path().join("out.safetensors")).unwrap());
    let case = read(&fs::read(path("parity/model-narrow-resnet.safetensors")).unwrap());
    let expected = case.into_iter().filter_map(|(name, data)| Some((name.strip_prefix("param/")?.to_string(), data)));
    assert!(written == expected.collect(), "other numbers than the parity case has");

    refused(
        folder.path(),
        &["import", &checkpoint, "--model", "resnet8", "-o", "x"],
        &["do not fit the model", "more"],
    );
    refused(folder.path(), &["import", &model, "--model", "resnet8", "-o", "x"], &["no checkpoint that torch.save"]);
    let several = path("pytorch/several.pth");
    refused(folder.path(), &["import", &several, "--model", "resnet8", "-o", "x"], &["choose one with --key: a, b"]);
    assert!(!folder.path().join("x").exists());
}
