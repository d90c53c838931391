//! Several seeds side by side: the same results as one after the other, and a run that comes back to them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::resume::Running;
use crate::school::{School, assert_same, stderr};

const TOGETHER: [&str; 2] = ["--set", "train.seeds_together=true"];
const APART: [&str; 2] = ["--set", "train.seeds_together=false"];

fn text<'a>(files: &'a BTreeMap<String, Vec<u8>>, name: &str) -> &'a str {
    std::str::from_utf8(&files[name]).unwrap()
}

/// What a run left that does not say how it was done: everything but the config, the checkpoints and the time. The lines of
/// the logs in an order of their own.
fn results(school: &School, run: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = school.lasting(run);
    files.retain(|name, _| name != "config.toml" && !name.starts_with("checkpoints/"));
    // The page shows the config.
    let page: Vec<&str> =
        text(&files, "report.html").lines().filter(|line| !line.starts_with("seeds_together = ")).collect();
    let page = page.join("\n").into_bytes();
    files.insert("report.html".to_string(), page);
    for log in ["metrics.jsonl", "classroom.jsonl"] {
        let mut lines: Vec<&str> = text(&files, log).lines().collect();
        lines.sort_unstable();
        let sorted = lines.join("\n").into_bytes();
        files.insert(log.to_string(), sorted);
    }
    files
}

fn with<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

#[test]
fn seeds_side_by_side_end_as_one_after_the_other() {
    let school = School::new();
    let base = ["run", "school.toml", "--seeds", "3,1,2", "--quiet"];
    school.run(&with(&[&base, &APART, &["--out", "apart", "--threads", "1"]]));
    school.run(&with(&[&base, &TOGETHER, &["--out", "together", "--threads", "2"]]));
    let (apart, together) = (results(&school, "apart"), results(&school, "together"));
    assert_same("three seeds side by side", &together, &apart);
    let models = together.keys().filter(|name| name.starts_with("models/student-")).count();
    assert_eq!(models, 3 * 3, "every seed's student by every method");

    // Their lines stand epoch by epoch, and their checkpoint says whom it holds.
    let files = school.left("together");
    let lines = text(&files, "metrics.jsonl").lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found: Vec<(u64, u64)> = lines
        .filter(|line| line["phase"] == "distil" && line["method"] == "kd")
        .map(|line| (line["epoch"].as_u64().unwrap(), line["seed"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, [(1, 3), (1, 1), (1, 2), (2, 3), (2, 1), (2, 2)]);
    let cursor: Value = serde_json::from_str(text(&files, "checkpoints/step-001-0000000014/cursor.json")).unwrap();
    assert_eq!((&cursor["seed"], &cursor["seeds"]), (&serde_json::json!(3), &serde_json::json!([3, 1, 2])));
    let timing: Vec<Value> =
        text(&files, "timing.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(timing.len(), 4, "an epoch takes its time once, whatever learns in it");
    assert_eq!(timing[3]["seeds"], serde_json::json!([3, 1, 2]));
}

#[test]
fn seeds_side_by_side_are_taken_up_where_they_were() {
    let school = School::new();
    let base = with(&[&["school.toml"], &TOGETHER]);
    school.run(&with(&[&["run", "--out", "whole", "--quiet"], &base]));
    let whole = school.lasting("whole");
    // Checkpoints come after steps 3, 6, 7, 9, 12 and 14 of a stage; the second stage is the student's.
    for checkpoints in [7, 8, 9, 11] {
        let out = format!("stopped-{checkpoints}");
        let mut running = Running::start(&school, &with(&[&base, &["--out", &out]]));
        (0..checkpoints).for_each(|_| running.wait_for("checkpoint"));
        running.signal("-TERM");
        let output = running.child.wait_with_output().unwrap();
        assert!([Some(0), Some(130)].contains(&output.status.code()), "{}", stderr(&output));
        if output.status.code() == Some(130) {
            school.run(&["run", "--resume", &out, "--quiet"]);
        }
        assert_same(&out, &school.lasting(&out), &whole);
    }
}

/// What was begun side by side goes on so, also where the config would leave them apart now: on a CPU.
#[test]
fn a_checkpoint_decides_how_its_seeds_go_on() {
    let school = School::new();
    let arguments = ["school.toml", "--device", "sim", "--epochs", "1", "--out", "run"];
    let mut running = Running::start(&school, &arguments);
    // Three of the mentors' stage, one of the student's.
    (0..4).for_each(|_| running.wait_for("checkpoint"));
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let files = school.left("run");
    let cursors: Vec<&String> = files.keys().filter(|name| name.ends_with("/cursor.json")).collect();
    let cursor: Value = serde_json::from_str(text(&files, cursors.last().unwrap())).unwrap();
    assert_eq!(cursor["seeds"], serde_json::json!([1, 2]), "on a GPU seeds learn side by side where they fit");
    let lines = school.run(&["run", "--resume", "run", "--device", "cpu", "--json"]);
    let stages: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == "stage")
        .map(|event| event["seeds"].clone())
        .collect();
    assert_eq!(stages, [serde_json::json!([1, 2])]);
}

#[test]
fn seeds_side_by_side_on_the_simulator_end_as_one_after_the_other() {
    let school = School::new();
    let base = ["run", "school.toml", "--device", "sim", "--epochs", "1", "--quiet"];
    school.run(&with(&[&base, &APART, &["--out", "apart"]]));
    school.run(&with(&[&base, &["--out", "auto"]]));
    assert!(school.path("auto/checkpoints/step-001-0000000007").exists(), "two seeds in the second stage");
    assert_same("two seeds side by side", &results(&school, "auto"), &results(&school, "apart"));
}

/// Where they do not fit into the device's memory they are trained apart, unless the config insists.
#[test]
fn seeds_that_do_not_fit_together_are_trained_apart() {
    let school = School::new();
    let base =
        ["run", "school.toml", "--device", "sim", "--seeds", "1,2,3,4", "--dry-run", "--set", "train.batch_size=4"];
    // 77 thousand weights with their velocities: 0.6 MB of every seed.
    let alone = ["--set", "classroom={ student = 'resnet8' }", "--set", "methods=[{ name = 'cross_entropy' }]"];
    let run = |memory: &str, more: &[&str]| {
        let mut command = school.command(&with(&[&base, &alone, more]));
        command.env("KD_SIM_MEMORY", memory).output().unwrap()
    };
    let stages = |output: std::process::Output| {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap().lines().filter(|line| line.starts_with("# distil (seed")).count()
    };
    assert_eq!(stages(run("100000000", &[])), 1);
    assert_eq!(stages(run("2000000", &[])), 4);
    assert_eq!(stages(run("100000000", &APART)), 4);
    let output = run("2000000", &TOGETHER);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let message = stderr(&output);
    for phrase in ["train.batch_size = 4 with 4 seeds together needs", "--set train.seeds_together=false"] {
        assert!(message.contains(phrase), "no {phrase:?} in\n{message}");
    }
}
