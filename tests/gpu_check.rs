//! `scripts/gpu-check` goes from start to end on the simulator, and does not say that all is well when it is not.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kd-engine");

fn gpu_check(arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu-check");
    let mut command = Command::new("python3");
    command.arg(script).args(arguments).env_remove("OUT").stdin(Stdio::null());
    command.output().expect("python3 runs")
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A stage's results.
fn results(out: &Path, stage: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(out.join(format!("{stage}.json"))).unwrap()).unwrap()
}

fn outcomes(results: &Value) -> Vec<(&str, &str)> {
    let steps = results["steps"].as_array().unwrap().iter();
    steps.map(|step| (step["name"].as_str().unwrap(), step["outcome"].as_str().unwrap())).collect()
}

/// A program in the place of kd-engine.
fn program(folder: &TempDir, script: &str) -> String {
    let path = folder.path().join("kd-engine");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_string()
}

#[test]
fn all_stages_run_from_start_to_end_on_the_simulator() {
    let folder = tempfile::tempdir().unwrap();
    let (carried, out) = (folder.path().join("carried"), folder.path().join("out"));
    let carried = carried.to_str().unwrap();
    let case = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/loss-classroomkd.safetensors");
    let packed = gpu_check(&["pack", carried, "--binary", PROGRAM, "--cases", case]);
    assert!(packed.status.success(), "{}", said(&packed));
    let out_name = out.to_str().unwrap();
    let output = gpu_check(&["all", "--device", "sim", "--from", carried, "--out", out_name, "--commit", "abc1234"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    for stage in ["correct", "bench", "peers", "accuracy"] {
        let results = results(&out, stage);
        assert_eq!((&results["finished"], &results["passed"]), (&true.into(), &true.into()), "{results}");
        assert_eq!((&results["device"], &results["commit"]), (&"sim".into(), &"abc1234".into()));
        assert!(results["date"].as_str().unwrap().ends_with("UTC"));
        assert!(out.join(format!("{stage}.log")).is_file());
    }
    let correct = results(&out, "correct");
    for name in ["golden values", "doctor", "parity loss-classroomkd", "two runs"] {
        assert!(outcomes(&correct).contains(&(name, "passed")), "{name}: {correct}");
    }
    for name in ["compute-sanitizer memcheck", "compute-sanitizer racecheck"] {
        assert!(outcomes(&correct).contains(&(name, "skipped")), "{name}: {correct}");
    }
    let golden: Value = serde_json::from_str(&fs::read_to_string(out.join("golden.json")).unwrap()).unwrap();
    assert_eq!((&golden["format"], &golden["device"]), (&"kd-golden/1".into(), &"sim".into()));
    // On the simulator a kernel is counted, a step is run.
    let bench = results(&out, "bench");
    let counted = bench["steps"].as_array().unwrap().iter().find(|step| step["name"] == "kernel/add_b2").unwrap();
    assert!(counted["entries"][0]["loads"]["least"].as_u64().unwrap() > 0, "{bench}");
    let accuracy = results(&out, "accuracy");
    let step = &accuracy["steps"][0];
    assert_eq!((&step["name"], &step["epochs"]), (&"small f32".into(), &1.into()), "{accuracy}");
    assert_eq!(step["models"].as_array().unwrap().len(), 3, "{accuracy}");
    let summary = fs::read_to_string(out.join("summary.md")).unwrap();
    assert!(summary.contains("two runs | passed") && summary.contains("no measurement"), "{summary}");
}

/// The names of a stage's steps on a GPU, none of which runs.
fn steps_on_a_gpu(stage: &str) -> Vec<String> {
    let output = gpu_check(&[stage, "--list", "--device", "cuda", "--binary", PROGRAM]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.strip_prefix(&format!("{stage}: ")).unwrap().to_string()).collect()
}

#[test]
fn every_classroom_and_net_is_measured_here_and_in_pytorch() {
    let (bench, peers) = (steps_on_a_gpu("bench"), steps_on_a_gpu("peers"));
    let classrooms =
        ["classroomkd-MobileNetV2-ResNet50", "classroomkd-resnet20-resnet56", "classroomkd-wrn_16_2-wrn_40_2"];
    let nets = ["resnet20", "resnet56", "wrn_16_2", "wrn_40_2", "wrn_28_10", "vgg13", "MobileNetV2", "ShuffleV2"];
    let mut wanted: Vec<(String, String, u32)> = Vec::new();
    for batch in [64, 512] {
        wanted.extend(classrooms.map(|name| (format!("classroom-step/{name}"), name.to_string(), batch)));
        let name = classrooms[0];
        wanted.push((format!("pretrain-step/{name}"), format!("pretrain {name}"), batch));
    }
    for batch in [64, 128, 512, 2048] {
        wanted.extend(nets.map(|name| (format!("train-step/{name}"), name.to_string(), batch)));
    }
    for (ours, theirs, batch) in wanted {
        for precision in ["bf16", "tf32", "f32"] {
            let step = format!("{ours}/b{batch}/{precision}");
            assert!(bench.contains(&step), "{step} is not measured");
        }
        for variant in ["eager", "amp", "graphs", "compile", "compile-graphs"] {
            let step = format!("{theirs} b{batch} pytorch {variant}");
            assert!(peers.contains(&step), "{step} is not measured");
        }
        assert!(peers.contains(&format!("{theirs} b{batch} kd-engine bf16")), "{theirs} b{batch}");
    }
    // Kernels and layers.
    for step in ["workload/add:*", "kernel/conv2d_dgrad/*/b64/bf16", "kernel/batch_norm+relu/*/b512/f32"] {
        assert!(bench.iter().any(|one| one == step), "{step} is not measured");
    }
    // What PyTorch is asked for it has: every net of every classroom is written down in nets.py.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let nets_file = fs::read_to_string(root.join("benches/peers/nets.py")).unwrap();
    let mut models: Vec<String> = nets.map(String::from).into();
    for classroom in classrooms {
        let preset = fs::read_to_string(root.join(format!("presets/{classroom}.toml"))).unwrap();
        let preset: toml::Value = toml::from_str(&preset).unwrap();
        let classroom = &preset["classroom"];
        let names = ["teachers", "peers"].iter().flat_map(|key| classroom[*key].as_array().unwrap());
        models.extend(names.chain([&classroom["student"]]).map(|name| name.as_str().unwrap().to_string()));
    }
    for model in models {
        // Once as a net, once with its parameters.
        assert_eq!(nets_file.matches(&format!("    \"{model}\": ")).count(), 2, "{model} is not in nets.py");
    }
}

#[test]
fn a_program_that_fails_fails_every_step_that_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let (binary, out) = (program(&folder, "echo 'error: it broke' >&2; exit 1"), folder.path().join("out"));
    let out_name = out.to_str().unwrap();
    let output = gpu_check(&["correct", "--device", "sim", "--binary", &binary, "--out", out_name]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let results = results(&out, "correct");
    assert_eq!((&results["finished"], &results["passed"]), (&true.into(), &false.into()));
    for (name, outcome) in outcomes(&results) {
        assert_eq!(outcome, if name.starts_with("compute-sanitizer") { "skipped" } else { "failed" }, "{name}");
    }
    assert!(results["steps"][0]["reason"].as_str().unwrap().contains("it broke"), "{results}");
    assert!(fs::read_to_string(out.join("correct.log")).unwrap().contains("error: it broke"));
}

#[test]
fn a_stage_without_time_is_not_a_stage_that_passed() {
    let folder = tempfile::tempdir().unwrap();
    let (binary, out) = (program(&folder, "sleep 600"), folder.path().join("out"));
    let out_name = out.to_str().unwrap();
    let request = ["bench", "--device", "sim", "--binary", &binary, "--out", out_name, "--minutes", "0.12"];
    let output = gpu_check(&request);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(outcomes(&results(&out, "bench")).iter().all(|(_, outcome)| *outcome == "unfinished"));
}

#[test]
fn no_measurement_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let (binary, out) = (program(&folder, "echo '{\"entries\": []}'"), folder.path().join("out"));
    let out_name = out.to_str().unwrap();
    for request in [&["bench"][..], &["bench", "--only", "no such step"]] {
        let output = gpu_check(&[request, &["--device", "sim", "--binary", &binary, "--out", out_name]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    }
}

#[test]
fn a_wrong_request_is_said_before_anything_runs() {
    for (arguments, word) in [
        (&["everything"][..], "everything"),
        (&["correct", "--from", "/no/such/folder"], "/no/such/folder"),
        (&["correct", "--binary", "/no/such/program"], "/no/such/program"),
        (&["correct", "--binary", PROGRAM, "--device", "gpu"], "gpu"),
        (&["pack"], "where to"),
    ] {
        let output = gpu_check(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(word), "{}", said(&output));
    }
}
