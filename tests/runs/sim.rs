//! Whole runs on the simulator: the kernels that ship train as the CPU does, and what goes wrong on a device is said and
//! costs nothing.

use serde_json::Value;

use crate::school::{School, assert_same, stderr};

/// One epoch, one seed: some steps of every stage.
const SHORT: [&str; 7] = ["run", "school.toml", "--epochs", "1", "--seeds", "1", "--quiet"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SHORT.iter().copied().chain(more.iter().copied()).collect()
}

/// The metrics' lines as JSON.
fn metrics(school: &School, run: &str) -> Vec<Value> {
    let left = school.left(run);
    let text = String::from_utf8(left["metrics.jsonl"].clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events of a run on a simulator that has `memory` bytes.
fn events(school: &School, out: &str, memory: Option<u64>) -> Vec<Value> {
    let mut command = school.command(&[&SHORT[..6], &["--json", "--device", "sim", "--out", out]].concat());
    if let Some(memory) = memory {
        command.env("KD_SIM_MEMORY", memory.to_string());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn simulator_trains_as_the_cpu_does_and_twice_the_same() {
    let school = School::new();
    school.run(&with(&["--device", "cpu", "--out", "cpu"]));
    let first = events(&school, "first", None);
    // Models side by side leave something to the driver: with no more than they need themselves, the largest stage runs
    // one model after the other.
    let memory = first[0]["planned_bytes"].as_u64().unwrap() + first[0]["data_bytes"].as_u64().unwrap();
    let second = events(&school, "second", Some(memory));
    let lanes = |events: &[Value]| -> Vec<String> {
        events.iter().filter_map(|event| event["lanes"].as_str()).map(str::to_string).collect()
    };
    assert_eq!(lanes(&first), ["overlapping", "overlapping"]);
    assert!(lanes(&second).contains(&"sequential".to_string()), "{:?}", lanes(&second));
    assert_same("two runs on the simulator", &school.lasting("second"), &school.lasting("first"));
    let (expected, found) = (metrics(&school, "cpu"), metrics(&school, "first"));
    assert_eq!(expected.len(), found.len());
    for (expected, found) in expected.iter().zip(&found) {
        for key in ["phase", "role", "method", "epoch", "step", "lr"] {
            assert_eq!(expected[key], found[key]);
        }
        let (a, b) = (expected["loss"].as_f64().unwrap(), found["loss"].as_f64().unwrap());
        // A step rounds 2^-24 in some thousand places; 14 steps with learning rates of 0.05 let it grow.
        assert!((a - b).abs() <= 1e-3 * a.abs(), "{expected}\n{found}");
    }
}

#[test]
fn lost_device_is_said_and_the_run_goes_on_later() {
    let school = School::new();
    school.run(&with(&["--device", "sim", "--out", "whole"]));
    let mut command = school.command(&with(&["--device", "sim", "--out", "lost"]));
    let output = command.env("KD_SIM_LOST_AFTER", "1500").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains("the device is lost") && message.contains("--resume"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    school.run(&["run", "--resume", "lost", "--device", "sim", "--quiet"]);
    assert_same("resumed after the device was lost", &school.lasting("lost"), &school.lasting("whole"));
}

#[test]
fn too_little_memory_on_the_device_is_said_before_anything_is_written() {
    let school = School::new();
    let mut command = school.command(&with(&["--device", "sim", "--out", "none", "--set", "pretrain.batch_size=96"]));
    let output = command.env("KD_SIM_MEMORY", "4000000").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains("pretrain.batch_size = 96 needs"), "{message}");
    assert!(message.contains("the largest batch that fits is"), "{message}");
    assert!(!school.path("none").exists());
}
