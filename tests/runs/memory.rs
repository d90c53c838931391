//! The memory that a run says it needs is what it takes: at most 1.3 times the printed plan and the data, and 64 MiB.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::school::{SIDE, School, idx};

const MIB: u64 = 1024 * 1024;

/// Runs to the end and compares the largest resident size with what the run has said.
fn expect_planned(school: &School, arguments: &[&str]) {
    let mut command = school.command(&["run", "--json", "--threads", "2"]);
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let events = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || -> Vec<Value> {
        events.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    });
    // The system's own high-water mark, so that nothing between two looks is missed.
    let mut peak = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak = mark.map_or(peak, |mark| 1024 * mark.parse::<u64>().unwrap());
        match child.try_wait().unwrap() {
            Some(ended) => break ended,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    assert!(ended.success(), "{arguments:?}");
    let events = reader.join().unwrap();
    let said = |key: &str| events[0][key].as_u64().unwrap();
    let planned = said("planned_bytes") + said("data_bytes");
    let limit = planned * 13 / 10 + 64 * MIB;
    println!("{arguments:?}: planned {} MiB, peak {} MiB, limit {} MiB", planned / MIB, peak / MIB, limit / MIB);
    assert!(peak > 0 && peak <= limit, "{arguments:?}: peak {peak}, planned {planned}, limit {limit}");
}

#[test]
fn peak_memory_is_what_the_plan_says() {
    let school = School::new();
    expect_planned(&school, &["school.toml", "--out", "small"]);

    // Large activations.
    let count = 600;
    let labels: Vec<u8> = (0..count).map(|index| (index % 4) as u8).collect();
    for stem in ["train", "t10k"] {
        let pixels: Vec<u8> = (0..count * 4 * SIDE * SIDE).map(|index| (index % 251) as u8).collect();
        school.write(&format!("data/{stem}-images-idx3-ubyte"), idx(&[count, 2 * SIDE, 2 * SIDE], &pixels));
        school.write(&format!("data/{stem}-labels-idx1-ubyte"), idx(&[count], &labels));
    }
    let small = ["--epochs", "1", "--seeds", "1", "--set", "pretrain.batch_size=256", "--set", "train.batch_size=256"];
    let classroom = "classroom={ student = 'resnet8', teachers = ['resnet20'], peers = ['resnet14'] }";
    let large = ["school.toml", "--out", "activations", "--set", classroom];
    expect_planned(&school, &[&large[..], &small].concat());

    // Large weights: saving, resuming from and lending them must not double them.
    let heavy = r#"
        about = "Many weights, little work."
        [models]
        heavy = {}
        [network]
        layers = [
          "global_avg_pool",
          { conv = "up", out = 2048, kernel = 1 },
          "relu",
          { conv = "mix", out = 6144, kernel = 1 },
          "relu",
          { linear = "classifier", out = "classes" },
        ]
    "#;
    school.write("heavy.toml", heavy);
    let few = ["--set", "train.batch_size=256", "--set", "pretrain.batch_size=256", "--epochs", "1", "--seeds", "1"];
    let methods = ["--set", "methods=[{ name = 'kd' }]", "--set", "output.checkpoints.every_steps=1"];
    let classroom = "classroom={ student = 'models.toml:narrow', teachers = ['heavy.toml'] }";
    let pretrained = [&["school.toml", "--out", "heavy", "--set", classroom][..], &few, &methods].concat();
    expect_planned(&school, &pretrained);
    let classroom = "classroom={ student = 'heavy.toml', teachers = [{ model = 'heavy.toml', weights = 'heavy' }] }";
    let lent = [&["school.toml", "--out", "lent", "--set", classroom][..], &few, &methods].concat();
    expect_planned(&school, &lent);
    expect_planned(&school, &["--resume", "lent"]);
}
