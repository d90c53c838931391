//! Whole runs of methods that own what they train: AMTML-KD's two stages, and networks that learn together.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::school::{School, stderr};

const CONFIG: &str = r#"
name = "together"

[data]
source = "idx"
path = "data"
validation = 0.125

[classroom]
student = "resnet8"
teachers = ["resnet8", "amtml_resnet8"]

# Long enough for teachers that know something: AMTML-KD's student would learn their mistakes.
[pretrain]
epochs = 4
batch_size = 16

[[methods]]
name = "amtml"
adapter_epochs = 1.0
regularisation = 0.1

[[methods]]
name = "amtml"
label = "one_stage"
two_stages = false
regularisation = 0.1

[[methods]]
name = "amtml"
label = "outcome"
adapter_epochs = 1.0
second_stage = "outcome"

[[methods]]
name = "dkd"
warmup_epochs = 2

[[methods]]
name = "dml"

[[methods]]
name = "one"

[train]
epochs = 3
batch_size = 16
seeds = [1]
optimizer = { name = "sgd", lr = 0.02, momentum = 0.9, weight_decay = 5e-4, nesterov = false }
schedule = { name = "constant" }
"#;

/// Tensors of a saved file by name.
fn tensors(files: &BTreeMap<String, Vec<u8>>, name: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = files.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()));
    let file = SafeTensors::deserialize(bytes).unwrap();
    let widen = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    file.iter().map(|(name, view)| (name.to_string(), widen(view.data()))).collect()
}

/// The losses of a method, epoch by epoch.
fn losses(files: &BTreeMap<String, Vec<u8>>, method: &str) -> Vec<Value> {
    let text = std::str::from_utf8(&files["metrics.jsonl"]).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["method"] == method).collect()
}

#[test]
fn what_methods_own_is_trained_for_as_long_as_they_say_and_saved() {
    let school = School::new();
    school.write("together.toml", CONFIG);
    let run = |out: &str, epochs: &str| {
        let epochs = format!("train.epochs={epochs}");
        school.run(&["run", "together.toml", "--quiet", "--set", &epochs, "--out", out]);
        school.left(out)
    };
    let (first, whole) = (run("first", "1"), run("whole", "3"));
    let of = |files, method: &str| tensors(files, &format!("models/method-{method}-seed1.safetensors"));

    // In the second stage the adapter stays what the first has made of it; the regressors learn on.
    let (after_one, after_three) = (of(&first, "amtml"), of(&whole, "amtml"));
    let (adapter, regressors): (Vec<&String>, Vec<&String>) =
        after_one.keys().partition(|name| name.starts_with("adapter/"));
    assert_eq!(adapter, ["adapter/latent", "adapter/weight"]);
    assert_eq!(regressors, ["regressor/f2/teacher", "regressor/f3/teacher-2"]);
    assert!(adapter.iter().all(|name| after_one[*name] == after_three[*name]));
    assert!(regressors.iter().all(|name| after_one[*name] != after_three[*name]));
    let (early, late) = (of(&first, "one_stage"), of(&whole, "one_stage"));
    assert!(adapter.iter().all(|name| early[*name] == after_one[*name] && early[*name] != late[*name]));
    // The regulariser belongs to the first stage.
    let regularised: Vec<bool> =
        losses(&whole, "amtml").iter().map(|line| !line["losses"]["regulariser"].is_null()).collect();
    assert_eq!(regularised, [true, false, false]);

    // The outcome of the first stage: weights that stay, and no other terms.
    let terms: Vec<bool> = losses(&whole, "outcome").iter().map(|line| !line["losses"]["hint"].is_null()).collect();
    assert_eq!(terms, [true, false, false]);
    assert!(losses(&whole, "outcome").iter().all(|line| line["losses"]["regulariser"].is_null()));
    let text = std::str::from_utf8(&whole["classroom.jsonl"]).unwrap();
    let uses = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_outcome: Vec<Value> = uses.filter(|line| line["method"] == "outcome" && line["epoch"] != 1).collect();
    let weights = |mentor: &str| -> Vec<f64> {
        let own = of_outcome.iter().filter(|line| line["mentor"] == mentor);
        own.map(|line| line["weight"].as_f64().unwrap()).collect()
    };
    let (first_teacher, second_teacher) = (weights("teacher"), weights("teacher-2"));
    assert!(first_teacher.len() == 2 && (first_teacher[0] - first_teacher[1]).abs() < 1e-6, "{first_teacher:?}");
    assert!((first_teacher[0] + second_teacher[0] - 1.0).abs() < 1e-6, "{first_teacher:?} {second_teacher:?}");
    assert!((first_teacher[0] - 0.5).abs() > 1e-6, "the weights are those of the start");

    // A weight that is warmed up is logged as it was.
    let warm: Vec<Value> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    let warm: Vec<&Value> = warm.iter().filter(|line| line["method"] == "dkd").map(|line| &line["weight"]).collect();
    assert_eq!(warm, [0.5, 1.0, 1.0]);

    // Every network starts and ends elsewhere than the student.
    let student = tensors(&whole, "models/student-dml-seed1.safetensors");
    let other = of(&whole, "dml");
    assert_eq!(other.len(), student.len());
    assert!(student.iter().all(|(name, values)| other[&format!("peer-1.{name}")].len() == values.len()));
    assert_ne!(other["peer-1.conv1.weight"], student["conv1.weight"]);
    let branches = of(&whole, "one");
    assert_ne!(branches["branch-2.fc.weight"], branches["branch-3.fc.weight"]);
    assert!(branches.contains_key("gate.bn.weight") && !branches.contains_key("branch-2.conv1.weight"));
    for method in ["amtml", "one_stage", "dml", "one"] {
        let of = |key: &str, line: &Value| line[key].as_f64().or(line["losses"][key].as_f64()).unwrap();
        let lines = losses(&whole, method);
        assert!(lines.iter().all(|line| of("loss", line).is_finite()), "{method}: {lines:?}");
        let whole: Vec<f64> = lines.iter().map(|line| of("loss", line)).collect();
        assert!(whole[2] < whole[0], "{method}: {whole:?}");
    }
}

#[test]
fn a_classroom_that_cannot_give_what_is_needed_is_refused() {
    let school = School::new();
    let refused = |classroom: &str, method: &str, phrase: &str| {
        let (before, rest) = CONFIG.split_once("[classroom]").unwrap();
        let (_, rest) = rest.split_once("[pretrain]").unwrap();
        let (pretrain, rest) = rest.split_once("[[methods]]").unwrap();
        let (_, train) = rest.split_once("[train]").unwrap();
        let text =
            format!("{before}[classroom]\n{classroom}\n[pretrain]{pretrain}[[methods]]\n{method}\n[train]{train}");
        school.write("refused.toml", text);
        let output = school.try_run(&["run", "refused.toml", "--quiet", "--out", "refused"]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        // Long lines are broken.
        let message = stderr(&output).split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(message.contains(phrase), "no {phrase:?} in\n{message}");
    };
    let alone = "student = \"resnet8\"";
    refused(alone, "name = \"amtml\"", "at least one entry in classroom.teachers or classroom.peers");
    refused(alone, "name = \"dml\"\ncohort = \"peers\"", "the classroom has no peers");
    refused("student = \"models.toml:narrow\"", "name = \"one\"", "narrow has no");
    let two = "student = \"resnet8\"\nteachers = [\"models.toml:wide\"]";
    refused(two, "name = \"amtml\"", "teacher: wide has no");
}
