//! What a run leaves: the files of the contract, each with the fields that it promises, and the same from equal runs.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::school::{School, assert_same, stderr};

const METHODS: [&str; 3] = ["cross_entropy", "kd", "classroomkd"];
/// 128 training images, 16 of them held out, in batches of 16.
const STEPS: u64 = 7;

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn lines(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<Value> {
    let text = std::str::from_utf8(&files[name]).unwrap();
    assert!(text.ends_with('\n'), "{name}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn share(value: &Value) -> f64 {
    let share = value.as_f64().unwrap();
    assert!((0.0..=1.0).contains(&share), "{value} is no share");
    share
}

#[test]
fn a_run_leaves_the_files_of_the_contract_and_nothing_else() {
    let school = School::new();
    let table = school.run(&["run", "school.toml", "--out", "run", "--quiet"]);
    for phrase in ["teacher", "peer-2", "classroomkd", "report: run/report.html"] {
        assert!(table.contains(phrase), "no {phrase:?} in\n{table}");
    }
    let files = school.left("run");
    let mut expected =
        ["config.toml", "metrics.jsonl", "classroom.jsonl", "timing.jsonl", "summary.json"].map(String::from).to_vec();
    expected.extend(["report.html", "checkpoints/", "models/"].map(String::from));
    for step in [12, 14] {
        let name = format!("checkpoints/step-002-{step:010}/");
        expected.extend(["", "manifest.json", "cursor.json", "state.safetensors"].map(|file| format!("{name}{file}")));
    }
    expected.extend(["teacher", "peer-1", "peer-2"].map(|role| format!("models/{role}.safetensors")));
    for seed in [1, 2] {
        expected.extend(METHODS.map(|method| format!("models/student-{method}-seed{seed}.safetensors")));
    }
    expected.sort();
    assert_eq!(files.keys().cloned().collect::<Vec<_>>(), expected);
    metrics(&files);
    classroom(&files);
    timing(&files);
    summary(&files);
    models(&files);
}

fn metrics(files: &BTreeMap<String, Vec<u8>>) {
    let mut seen = Vec::new();
    for line in lines(files, "metrics.jsonl") {
        let distil = line["phase"] == "distil";
        let mut expected = vec!["phase", "method", "seed", "role", "model", "epoch", "step", "lr", "loss", "losses"];
        expected.extend(["train_top1", "validation_top1"]);
        expected.retain(|key| distil || *key != "method");
        assert_eq!(keys(&line), expected);
        assert_eq!(line["step"].as_u64().unwrap(), STEPS * line["epoch"].as_u64().unwrap());
        let sum: f64 = line["losses"].as_object().unwrap().values().map(|term| term.as_f64().unwrap()).sum();
        let loss = line["loss"].as_f64().unwrap();
        assert!((sum - loss).abs() <= 1e-5 * loss, "the terms of {line} sum to {sum}");
        assert!(line["losses"].get("cross_entropy").is_some() && line["lr"].as_f64().unwrap() > 0.0, "{line}");
        share(&line["train_top1"]);
        share(&line["validation_top1"]);
        seen.push(["phase", "seed", "epoch", "method", "role"].map(|key| line[key].to_string()).join(" "));
    }
    let mut expected = Vec::new();
    for epoch in [1, 2] {
        expected.extend(["teacher", "peer-1", "peer-2"].map(|role| format!("\"pretrain\" 0 {epoch} null \"{role}\"")));
    }
    for (seed, epoch) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        expected.extend(METHODS.map(|method| format!("\"distil\" {seed} {epoch} \"{method}\" \"student\"")));
    }
    assert_eq!(seen, expected);
}

fn classroom(files: &BTreeMap<String, Vec<u8>>) {
    let mut seen = Vec::new();
    for line in lines(files, "classroom.jsonl") {
        let mut expected = vec!["method", "seed", "epoch", "mentor", "rank", "weight", "temperature", "active"];
        expected.retain(|key| line["method"] == "classroomkd" || *key != "rank");
        assert_eq!(keys(&line), expected);
        share(&line["active"]);
        assert!(line["weight"].as_f64().unwrap() >= 0.0 && line["temperature"].as_f64().unwrap() >= 1.0, "{line}");
        seen.push(["seed", "epoch", "method", "mentor"].map(|key| line[key].to_string()).join(" "));
    }
    let mut expected = Vec::new();
    for (seed, epoch) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        expected.push(format!("{seed} {epoch} \"kd\" \"teacher\""));
        let mentors = ["teacher", "peer-1", "peer-2"];
        expected.extend(mentors.map(|mentor| format!("{seed} {epoch} \"classroomkd\" \"{mentor}\"")));
    }
    assert_eq!(seen, expected);
}

fn timing(files: &BTreeMap<String, Vec<u8>>) {
    let lines = lines(files, "timing.jsonl");
    assert_eq!(lines.len(), 6);
    for line in lines {
        let numbers = ["seconds", "step_ms", "images_per_second"];
        assert_eq!(keys(&line), [&["phase", "seed", "epoch"], &numbers[..], &["peak_mib"]].concat());
        numbers.iter().for_each(|key| assert!(line[*key].as_f64().unwrap() > 0.0, "{line}"));
    }
}

fn summary(files: &BTreeMap<String, Vec<u8>>) {
    let summary: Value = serde_json::from_slice(&files["summary.json"]).unwrap();
    assert_eq!(keys(&summary)[..4], ["format", "name", "device", "seeds"]);
    let head = ["format", "name", "device"].map(|key| summary[key].as_str().unwrap());
    assert_eq!(head, ["kd-summary/1", "school", "cpu"]);
    assert_eq!(summary["seeds"], serde_json::json!([1, 2]));
    let models = summary["models"].as_array().unwrap();
    let names = |model: &Value| ["role", "model", "trained_by"].map(|key| model[key].as_str().unwrap().to_string());
    let expected = [
        ["teacher", "wide", "cross_entropy"],
        ["peer-1", "resnet8", "cross_entropy"],
        ["peer-2", "narrow", "cross_entropy"],
        ["student", "narrow", "cross_entropy"],
        ["student", "narrow", "kd"],
        ["student", "narrow", "classroomkd"],
    ];
    assert_eq!(models.iter().map(names).collect::<Vec<_>>(), expected);
    for model in models {
        assert!(model["params"].as_u64().unwrap() > 0);
        let seeds = if model["role"] == "student" { 2 } else { 1 };
        for kind in ["last", "best_validation"] {
            let spread = &model["top1"][kind];
            assert_eq!(keys(spread), ["mean", "std", "values"]);
            let values: Vec<f64> = spread["values"].as_array().unwrap().iter().map(share).collect();
            assert_eq!(values.len(), seeds);
            let mean = values.iter().sum::<f64>() / seeds as f64;
            assert!((share(&spread["mean"]) - mean).abs() < 1e-12);
        }
    }
}

fn models(files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("models/") && !name.ends_with('/')) {
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let names = tensors.names();
        let wanted = if name.contains("peer-1") {
            ["conv1.weight", "layer2.0.downsample.1.running_var", "fc.bias"]
        } else {
            ["stem.weight", "norm.running_mean", "classifier.weight"]
        };
        wanted.iter().for_each(|wanted| assert!(names.contains(wanted), "{name} has no {wanted}: {names:?}"));
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!(metadata.len(), 1, "{name}");
        let card: Value = serde_json::from_str(metadata.values().next().unwrap()).unwrap();
        for key in ["model", "classes", "input", "mean", "std", "trained"] {
            assert!(card.get(key).is_some(), "the card of {name} says nothing of {key}: {card}");
        }
        assert_eq!(card["classes"], 4);
    }
}

#[test]
fn equal_runs_leave_equal_bytes_whatever_the_folder_and_the_threads() {
    let school = School::new();
    school.run(&["run", "school.toml", "--out", "one", "--threads", "1"]);
    let expected = school.lasting("one");
    school.run(&["run", "school.toml", "--out", "below/another", "--threads", "3"]);
    assert_same("three threads", &school.lasting("below/another"), &expected);
    school.run(&["run", "one/config.toml", "--out", "again", "--threads", "2"]);
    assert_same("the resolved config", &school.lasting("again"), &expected);
    // Without --out the folder is the next free one.
    for number in [1, 2] {
        school.run(&["run", "school.toml", "--epochs", "1", "--quiet"]);
        assert!(school.path(&format!("runs/school-{number}/summary.json")).is_file());
    }
    // A finished run has nothing left to do, and stays as it is.
    school.run(&["run", "--resume", "one"]);
    assert_same("resumed after its end", &school.lasting("one"), &expected);
}

/// The same mentors teach the same students, whether they were trained in the run or come from files.
#[test]
fn mentors_come_from_files_and_from_earlier_runs() {
    let school = School::new();
    school.run(&["run", "school.toml", "--out", "first"]);
    let first = school.left("first");
    let set = |text: &str| format!("classroom.{text}");
    let teacher = |weights: &str| set(&format!("teachers=[{{ model = 'models.toml:wide', weights = '{weights}' }}]"));
    let peers = |one: &str, two: &str| {
        let two = format!("{{ model = 'models.toml:narrow', weights = '{two}' }}");
        set(&format!("peers=[{{ model = 'resnet8', weights = '{one}' }}, {two}]"))
    };
    let (file, other) = ("first/models/teacher.safetensors", "first/models/peer-1.safetensors");
    for (out, teacher, peers) in
        [("files", teacher(file), peers(other, "first")), ("runs", teacher("first"), peers("first", "first"))]
    {
        school.run(&["run", "school.toml", "--out", out, "--set", &teacher, "--set", &peers]);
        let files = school.left(out);
        assert!(lines(&files, "metrics.jsonl").iter().all(|line| line["phase"] == "distil"));
        // Weights and what is written beside them: students who learn from the same mentors end the same.
        let models = |files: &BTreeMap<String, Vec<u8>>| -> BTreeMap<String, Vec<u8>> {
            let models = files.iter().filter(|(name, _)| name.starts_with("models/"));
            models.map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
        };
        assert_same(out, &models(&files), &models(&first));
    }
    // One mentor of three is missing: it alone is pretrained.
    school.run(&["run", "school.toml", "--out", "part", "--set", &teacher("first")]);
    let trained = lines(&school.left("part"), "metrics.jsonl");
    let pretrained: Vec<_> =
        trained.iter().filter(|line| line["phase"] == "pretrain").map(|line| &line["role"]).collect();
    assert_eq!(pretrained, ["peer-1", "peer-2", "peer-1", "peer-2"]);
}

#[test]
fn the_command_line_changes_the_config() {
    let school = School::new();
    let set = ["--set", "train.batch_size=8", "--set", "methods.2.tau=4", "--set", "name=changed"];
    let out = ["run", "school.toml", "--out", "run", "--epochs", "1", "--seeds", "7,9"];
    school.run(&[&out[..], &set].concat());
    let config: toml::Table = String::from_utf8(school.left("run")["config.toml"].clone()).unwrap().parse().unwrap();
    assert_eq!(config["name"].as_str(), Some("changed"));
    assert_eq!(config["train"]["batch_size"].as_integer(), Some(8));
    assert_eq!(config["train"]["epochs"].as_integer(), Some(1));
    assert_eq!(config["pretrain"]["epochs"].as_integer(), Some(1));
    assert_eq!(config["train"]["seeds"], toml::Value::from(vec![7, 9]));
    assert_eq!(config["methods"][2]["tau"].as_float(), Some(4.0));
    let trained = lines(&school.left("run"), "metrics.jsonl");
    let seeds: Vec<_> = trained.iter().filter(|line| line["phase"] == "distil").map(|line| &line["seed"]).collect();
    assert_eq!(seeds, [7, 7, 7, 9, 9, 9]);
    assert!(trained.iter().all(|line| line["epoch"] == 1));
}

#[test]
fn a_dry_run_says_what_would_be_done_and_leaves_nothing() {
    let school = School::new();
    let before = school.left(".");
    let said = school.run(&["run", "school.toml", "--dry-run"]);
    assert_same("dry run", &school.left("."), &before);
    let config: toml::Table = said.parse().unwrap();
    assert_eq!(config["train"]["epochs"].as_integer(), Some(2));
    assert_eq!(config["data"]["validation_seed"].as_integer(), Some(0));
    for phrase in ["# pretrain (seed 0): teacher wide, peer-1 resnet8", "2 epochs of 7 steps", "# memory: ", "# time: "]
    {
        assert!(said.contains(phrase), "no {phrase:?} in\n{said}");
    }
    // What it prints is a config that gives the same plan.
    school.write("printed.toml", &said);
    let again = school.run(&["run", "printed.toml", "--dry-run"]);
    assert_eq!(again.parse::<toml::Table>().unwrap(), config);
}

#[test]
fn json_is_events_on_stdout_and_quiet_is_the_result_alone() {
    let school = School::new();
    let output = school.try_run(&["run", "school.toml", "--out", "json", "--json", "--epochs", "1"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[1], kinds[kinds.len() - 1]), ("started", "stage", "finished"));
    let count = |kind: &str| kinds.iter().filter(|other| **other == kind).count();
    assert_eq!([count("stage"), count("metrics"), count("tested")], [3, 9, 9]);
    assert!(events[0]["planned_bytes"].as_u64().unwrap() > 0 && events[0]["folder"] == "json");

    let output = school.try_run(&["run", "school.toml", "--out", "quiet", "--quiet", "--epochs", "1"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
    assert!(String::from_utf8(output.stdout).unwrap().contains("student"));
    assert_same("quiet", &school.lasting("quiet"), &school.lasting("json"));

    let output = school.try_run(&["run", "school.toml", "--out", "lines", "--epochs", "1"]);
    let said = stderr(&output);
    for phrase in ["memory ", " planned, ", "[1/3] pretraining teacher wide", "student by kd", "test accuracy"] {
        assert!(said.contains(phrase), "no {phrase:?} in\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "no colours where there is no terminal");
}

/// Labels do not hide which method it was, and what is about a mentor that is taught says so.
#[test]
fn records_say_which_method_and_who_is_taught() {
    let school = School::new();
    let methods = "methods=[{ name = 'kd', label = 'cross_entropy' }, { name = 'cross_entropy', label = 'plain' }]";
    let peers = "classroom.peers=[{ model = 'models.toml:narrow', taught_by = 'kd' }]";
    let set = ["--set", methods, "--set", peers, "--epochs", "1", "--seeds", "1", "--quiet"];
    let table = school.run(&[&["run", "school.toml", "--out", "run"], &set[..]].concat());
    assert!(table.contains("\ncross_entropy over the student alone: ") && !table.contains("plain over"), "{table}");
    let files = school.left("run");
    let said =
        |line: &Value, keys: &[&str]| keys.iter().map(|key| line[*key].to_string()).collect::<Vec<_>>().join(" ");
    let metrics: Vec<String> = lines(&files, "metrics.jsonl")
        .iter()
        .map(|line| said(line, &["phase", "role", "method", "method_name"]).replace('"', ""))
        .collect();
    let expected = [
        "pretrain teacher null null",
        "assist peer-1 kd null",
        "distil student cross_entropy kd",
        "distil student plain cross_entropy",
    ];
    assert_eq!(metrics, expected);
    let classroom: Vec<String> = lines(&files, "classroom.jsonl")
        .iter()
        .map(|line| said(line, &["phase", "role", "method", "mentor"]).replace('"', ""))
        .collect();
    assert_eq!(classroom, ["assist peer-1 kd teacher", "null null cross_entropy teacher"]);
    let summary: Value = serde_json::from_slice(&files["summary.json"]).unwrap();
    let models: Vec<String> = summary["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| said(line, &["role", "trained_by", "method_name"]).replace('"', ""))
        .collect();
    let expected =
        ["teacher cross_entropy null", "peer-1 kd null", "student cross_entropy kd", "student plain cross_entropy"];
    assert_eq!(models, expected);
    let page = String::from_utf8(files["report.html"].clone()).unwrap();
    assert!(page.contains("% alone (plain)"), "{page}");
}
