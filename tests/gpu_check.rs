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

    for stage in ["correct", "bench", "peers"] {
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
    let summary = fs::read_to_string(out.join("summary.md")).unwrap();
    assert!(summary.contains("two runs | passed") && summary.contains("no measurement"), "{summary}");
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
