//! What a user meets at the command line: results on stdout, one clear message on stderr, the exit status.

use std::process::{Command, Output, Stdio};

fn kd_engine(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kd-engine"));
    command.args(arguments).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    kd_engine(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The command succeeds and writes nothing to stderr.
#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    stdout(&output).to_string()
}

/// The command is refused with status 2, says each of `phrases` on stderr and nothing on stdout.
#[track_caller]
fn refused(arguments: &[&str], phrases: &[&str]) {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    for phrase in phrases {
        assert!(stderr(&output).contains(phrase), "no {phrase:?} in\n{}", stderr(&output));
    }
    assert!(!stderr(&output).contains('\u{1b}'), "colours without a terminal:\n{}", stderr(&output));
}

/// What is read on screens of 100 columns fits there.
#[track_caller]
fn assert_narrow(list: &str) {
    let widest = list.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(widest.chars().count() <= 100, "{} columns:\n{widest}", widest.chars().count());
}

#[test]
fn presets_are_listed_and_shown() {
    let list = succeeds(&["presets"]);
    assert_narrow(&list);
    assert!(list.lines().any(|line| line.starts_with("fashion-classroom ")), "{list}");
    let shown = succeeds(&["presets", "show", "fashion-classroom"]);
    assert!(shown.contains("name = \"fashion-classroom\""), "{shown}");
    refused(&["presets", "show", "fashion-clasroom"], &["error: ", "did you mean `fashion-classroom`?"]);
}

#[test]
fn methods_are_listed_for_people_and_programs() {
    let list = succeeds(&["methods"]);
    for phrase in ["classroomkd: ", "arXiv 2409.20237", "tau = 12.0", "needs: a teacher"] {
        assert!(list.contains(phrase), "no {phrase:?} in\n{list}");
    }
    assert_narrow(&list);
    // One method by its name.
    let one = succeeds(&["methods", "sokd"]);
    assert!(one.starts_with("sokd: ") && list.contains(&one) && !one.contains("classroomkd"), "{one}");
    let two: serde_json::Value = serde_json::from_str(&succeeds(&["methods", "kd", "dml", "--json"])).unwrap();
    let two: Vec<&serde_json::Value> =
        two["methods"].as_array().unwrap().iter().map(|method| &method["name"]).collect();
    assert_eq!(two, ["kd", "dml"]);
    refused(&["methods", "skod"], &["there is no method `skod`", "did you mean `sokd`?"]);
    let document: serde_json::Value = serde_json::from_str(&succeeds(&["methods", "--json"])).unwrap();
    let methods = document["methods"].as_array().unwrap();
    let names: Vec<&str> = methods.iter().map(|method| method["name"].as_str().unwrap()).collect();
    // Every method that the engine promises, by the name that configs have for it.
    let promised = "classroomkd amtml sokd kd dkd dist dtkd logit_std mlkd fitnet at sp rkd pkt vid nst ofd crd review_kd sim_kd \
                    avg_kd ca_mkd eb_kd takd dgkd dml one cross_entropy";
    let missing: Vec<&str> = promised.split_whitespace().filter(|name| !names.contains(name)).collect();
    assert_eq!((missing.len(), names.len()), (0, promised.split_whitespace().count()), "{missing:?} of {names:?}");
    assert_eq!(methods[1]["needs"]["teacher"], "required");
    let temperature = &methods[1]["hyperparameters"][0];
    assert_eq!((temperature["name"].as_str(), temperature["default"].as_f64()), (Some("temperature"), Some(4.0)));
}

#[test]
fn models_are_listed_for_people_and_programs() {
    let list = succeeds(&["models"]);
    assert!(list.lines().any(|line| line.starts_with("resnet8 ") && line.contains(" 83,892 ")), "{list}");
    assert_narrow(&list);
    let read = |arguments: &[&str]| -> serde_json::Value { serde_json::from_str(&succeeds(arguments)).unwrap() };
    let document = read(&["models", "--json"]);
    let models = document["models"].as_array().unwrap();
    let resnet20 = models.iter().find(|model| model["name"] == "resnet20").unwrap();
    assert_eq!(resnet20["params"], 278_324);
    assert_eq!(resnet20["features"][1], serde_json::json!({ "name": "f1", "shape": [16, 32, 32] }));
    let grey = read(&["models", "resnet8", "--json", "--channels", "1", "--classes", "10", "--resolution", "28"]);
    assert_eq!(grey["models"].as_array().unwrap().len(), 1);
    assert_eq!(grey["models"][0]["features"][0]["shape"], serde_json::json!([16, 28, 28]));
    refused(&["models", "resnet9"], &["error: no model is called `resnet9`", "did you mean"]);
    refused(&["models", "--resolution", "0"], &["--resolution"]);
}

#[test]
fn wrong_usage_ends_with_status_2() {
    refused(&[], &["Usage: kd-engine"]);
    refused(&["preset"], &["unrecognized subcommand 'preset'", "presets"]);
    refused(&["methods", "--jsno"], &["unexpected argument '--jsno'", "--json"]);
    refused(&["presets", "show"], &["<NAME>"]);
}

#[test]
fn help_and_version_are_results() {
    assert!(succeeds(&["--help"]).contains("presets"));
    assert!(succeeds(&["--version"]).starts_with("kd-engine "));
}

/// As in `kd-engine presets | head -1`: the reader goes away before all is written.
#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = kd_engine(&["methods"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = kd_engine(&["methods"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: cannot write standard output"), "{}", stderr(&output));
}

#[test]
fn benchmarks_are_listed_by_name() {
    let list = succeeds(&["bench", "--list"]);
    for name in [
        "train-step/resnet20/b64/f32",
        "classroom-step/fashion-classroom/",
        "kernel/conv2d_wgrad/32x32x16-16-k3-s1-g1/b64/f32",
        "kernel/batch_norm+relu/32x32x16/b64/f32",
    ] {
        assert!(list.lines().any(|line| line.starts_with(name)), "no {name} in\n{list}");
    }
    // Not one of the standard ones, so it has to be named.
    assert!(!list.contains("resnet56"), "{list}");
    assert_eq!(succeeds(&["bench", "--list", "--batch", "8", "train-step/resnet56"]), "train-step/resnet56/b8/f32\n");
    assert_eq!(
        succeeds(&["bench", "--list", "--batch", "8", "pretrain-step/fashion-quick/"]),
        "pretrain-step/fashion-quick/b8/f32\n"
    );
    refused(&["bench", "--precision", "bf16", "train-step/resnet8/"], &["the cpu computes in f32 alone"]);
    refused(&["bench", "--precision", "f16", "train-step/resnet8/"], &["expected f32, tf32 or bf16"]);
    refused(&["bench", "train-step/resnet21/b64/f32"], &["did you mean `train-step/resnet20/b64/f32`?"]);
    refused(&["bench", "--cpu-time", "--threads", "2", "train-step/resnet8/"], &["--threads 1"]);
}

#[test]
fn the_suite_for_gpus_is_listed_without_one() {
    let list = succeeds(&["bench", "--suite", "gpu", "--list"]);
    for name in ["classroom-step/classroomkd-resnet20-resnet56/b512/bf16", "train-step/wrn_28_10/b2048/tf32"] {
        assert!(list.lines().any(|line| line == name), "no {name}");
    }
    assert_eq!(
        succeeds(&["bench", "--suite", "gpu", "--list", "train-step/vgg13/b64/bf16"]),
        "train-step/vgg13/b64/bf16\n"
    );
    refused(&["bench", "--suite", "cpu"], &["there is no suite called `cpu`"]);
    refused(&["bench", "--suite", "gpu", "--device", "cpu"], &["measured on a GPU"]);
    refused(&["bench", "--suite", "gpu", "--list", "resnet21"], &["nothing in the suite gpu"]);
}

#[test]
fn the_simulator_counts_kernels() {
    assert_eq!(succeeds(&["bench", "--device", "sim", "--list", "kernel/add_"]), "kernel/add_bf16\nkernel/add_f32\n");
    let document: serde_json::Value =
        serde_json::from_str(&succeeds(&["bench", "--device", "sim", "--json", "kernel/add_f32"])).unwrap();
    let entry = &document["entries"][0];
    assert_eq!((&document["device"], &entry["name"]), (&"sim".into(), &"kernel/add_f32".into()));
    // Eight images of 32x32x16 floats: read twice, written once, in sectors of 32 bytes.
    assert_eq!((&entry["loads"]["touched"], &entry["loads"]["least"]), (&32768.into(), &32768.into()));
    assert_eq!((&entry["stores"]["touched"], &entry["class"]), (&16384.into(), &"memory".into()));
    let table = succeeds(&["bench", "--device", "sim", "kernel/conv_tensor_fprop_64x64"]);
    assert!(table.contains("conv_tensor_fprop_64x64_bf16") && table.contains("ldmatrix"), "{table}");
    refused(&["bench", "--device", "sim", "kernel/conv2d_fprop/8x8x64-64-k3"], &["sim keeps no time"]);
    refused(&["bench", "--write", "x.toml", "--device", "cpu"], &["--device sim"]);
}

#[test]
fn a_benchmark_says_images_per_second() {
    let arguments = ["bench", "--json", "--profile", "--seconds", "0", "--batch", "2", "--threads", "1"];
    let measured = |filter: &str| -> serde_json::Value {
        serde_json::from_str(&succeeds(&[&arguments[..], &[filter]].concat())).unwrap()
    };
    let document = measured("train-step/resnet8/");
    assert_eq!((&document["device"], &document["threads"]), (&"cpu".into(), &1.into()));
    let entries = document["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{document}");
    let (entry, number) = (&entries[0], |key: &str| entries[0][key].as_f64().unwrap());
    assert_eq!(entry["name"], "train-step/resnet8/b2/f32");
    let images = 2.0 / number("median_ms") * 1e3;
    assert!((number("images_per_second") / images - 1.0).abs() < 1e-6, "{entry}");
    assert!(number("fastest_ms") <= number("median_ms") && number("gflops") > 0.0, "{entry}");
    let operations = entry["profile"].as_array().unwrap();
    assert!(operations.iter().any(|line| line["operation"] == "conv2d_wgrad" && line["count"] == 2), "{entry}");

    // A teacher and a peer learn at once.
    let document = measured("pretrain-step/fashion-quick/");
    assert_eq!(document["entries"][0]["name"], "pretrain-step/fashion-quick/b2/f32");
    assert!(document["entries"][0]["images_per_second"].as_f64().unwrap() > 0.0, "{document}");

    let document = measured("kernel/conv2d_dgrad/8x8x64-64-k3-s1-g1/");
    let entry = &document["entries"][0];
    assert_eq!(entry["name"], "kernel/conv2d_dgrad/8x8x64-64-k3-s1-g1/b2/f32");
    assert!(entry["gigabytes_per_second"].as_f64().unwrap() > 0.0, "{entry}");
    assert!(entry["images_per_second"].is_null(), "{entry}");
}
