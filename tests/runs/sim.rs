//! Whole runs on the simulator: the kernels that ship train as the CPU does, and what goes wrong on a device is said and
//! costs nothing.

use std::collections::BTreeMap;

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

/// The student's cross-entropy with the labels in the last epoch, by method, one for each seed. What a method adds to it
/// counts the mentors that it asks, whose number jumps where two networks do almost equally well.
fn last_losses(lines: &[Value]) -> BTreeMap<String, Vec<f64>> {
    let last = lines.iter().filter_map(|line| line["epoch"].as_u64()).max().unwrap();
    let mut losses: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["phase"] == "distil" && line["epoch"] == last) {
        losses.entry(line["method"].as_str().unwrap().to_string()).or_default().push(label_loss(line));
    }
    losses
}

fn label_loss(line: &Value) -> f64 {
    line["losses"]["cross_entropy"].as_f64().unwrap_or_else(|| panic!("no cross-entropy in {line}"))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Half of the digits cost nothing that three seeds would show: the mean cross-entropy in bf16 is within the standard
/// deviation of float32's seeds, for every method; and bf16 does compute something else. The rate is one at which nets of
/// one seed stay together: at ten times of it, bf16 parted from float32 by as much as seeds part from each other.
#[test]
fn bf16_follows_float32_within_the_spread_of_seeds() {
    let school = School::new();
    let train = |out: &str, device: &str, precision: &str| {
        let precision = ["train", "pretrain"].map(|key| format!("{key}.precision={precision}"));
        let set = [
            "train.optimizer.lr=0.01",
            "pretrain.optimizer.lr=0.01",
            "train.batch_size=8",
            "pretrain.batch_size=8",
            "classroom.student=resnet8",
        ];
        let set = set.into_iter().chain(precision.iter().map(String::as_str)).flat_map(|value| ["--set", value]);
        let run =
            ["run", "school.toml", "--seeds", "1,2,3", "--epochs", "2", "--quiet", "--out", out, "--device", device];
        school.run(&run.into_iter().chain(set).collect::<Vec<_>>());
        last_losses(&metrics(&school, out))
    };
    let (exact, found) = (train("f32", "cpu", "f32"), train("bf16", "sim", "bf16"));
    // Four classes: who knows nothing has ln 4 = 1.386.
    assert!(exact.len() == 3 && mean(&exact["cross_entropy"]) < 1.36, "nothing is learned: {exact:?}");
    for (method, exact) in &exact {
        let found = &found[method];
        let deviation = exact.iter().map(|loss| (loss - mean(exact)).powi(2)).sum::<f64>() / (exact.len() - 1) as f64;
        let (off, spread) = ((mean(found) - mean(exact)).abs(), deviation.sqrt());
        println!("{method}: {found:.4?}, in float32 {exact:.4?}; off by {off:.4}, spread {spread:.4}");
        assert!(off <= spread, "{method}: {found:?} in place of {exact:?}");
        assert!(found != exact, "bf16 computes as float32 does");
    }
}

/// The device runs ahead of the host, which looks at the epoch's end only here: it still names the step in which it happened,
/// and saves nothing of it.
#[test]
fn a_loss_that_is_not_finite_is_named_as_on_the_cpu() {
    let school = School::new();
    let sets = ["--set", "train.optimizer.lr=1e30", "--set", "output.checkpoints.every_steps=0"];
    let said = ["cpu", "sim"].map(|device| {
        let output = school.try_run(&with(&[&sets[..], &["--device", device, "--out", device]].concat()));
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        stderr(&output).lines().filter(|line| line.contains("no longer a finite number")).collect::<Vec<_>>().join("\n")
    });
    assert!(said[0].contains("in epoch 1, step "), "{}", said[0]);
    assert_eq!(said[1], said[0]);
    let left = school.left("sim");
    let saved: Vec<&String> = left.keys().filter(|name| name.starts_with("checkpoints/step-")).collect();
    assert!(!saved.is_empty() && saved.iter().all(|name| name.starts_with("checkpoints/step-000-")), "{saved:?}");
    assert_eq!(metrics(&school, "sim").iter().filter(|line| line["phase"] == "distil").count(), 0);
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
