//! A method with phases, parameters of its own and an optimizer of its own: SoKD searches for a policy, then trains with it.

use serde_json::Value;

use crate::resume::Running;
use crate::school::{School, assert_same, stderr};

const CONFIG: &str = r#"
name = "sokd"

[data]
source = "idx"
path = "data"

[classroom]
student = "resnet8"
teachers = ["resnet8"]

[pretrain]
epochs = 1
batch_size = 16

[[methods]]
name = "sokd"
search_epochs = 1
detection_weight = 1.0
feature_weight = 1.0
heat_classes = 4
area_count = 3
policy_rate = 0.01

[[methods]]
name = "sokd"
label = "released"
search_epochs = 1
detection_weight = 1.0
feature_weight = 1.0
heat_classes = 4
area_count = 3
objective = "unrolled"
estimator = "relax"
unrolled_random_policy = true
relax_repeats_choice = true
translate_by_side = true
overlap = "count2"
held_out = false

[train]
epochs = 2
batch_size = 16
optimizer = { name = "sgd", lr = 0.02, momentum = 0.9, weight_decay = 5e-4, nesterov = false }
seeds = [1]

[output]
checkpoints = { every_epochs = 1, every_steps = 3, keep = 2 }
"#;

/// The elements of a float32 tensor in a file.
fn tensor(school: &School, path: &str, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(school.path(path)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor(name).unwrap_or_else(|error| panic!("{path}: {name}: {error}")).data().to_vec();
    data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn a_policy_is_searched_told_kept_and_used_again() {
    let school = School::new();
    school.write("sokd.toml", CONFIG);
    school.run(&["run", "sokd.toml", "--out", "whole", "--threads", "2", "--quiet"]);

    // It has learned something, in its ranges, and the second phase has left it alone: so has a run of the search alone.
    let policy = "models/method-sokd-seed1.safetensors";
    let learned = tensor(&school, &format!("whole/{policy}"), "policy.probability");
    assert_eq!(learned.len(), 70);
    assert!(learned.iter().any(|p| (p - 0.5).abs() > 1e-3), "{learned:?}");
    assert!(learned.iter().all(|p| (0.0..=1.0).contains(p)), "{learned:?}");
    let summary = String::from_utf8(std::fs::read(school.path("whole/summary.json")).unwrap()).unwrap();
    assert!(summary.contains("sub-policy 1: ") && summary.contains("of steps"), "{summary}");

    // In both phases the terms sum to the loss, but for those that tell users whether the heads have collapsed.
    let metrics = String::from_utf8(std::fs::read(school.path("whole/metrics.jsonl")).unwrap()).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let distilled: Vec<Value> = lines.filter(|line| line["phase"] == "distil").collect();
    assert_eq!(distilled.len(), 4, "{metrics}");
    for line in distilled {
        let of = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{line}"));
        let watched = ["student_heatmap_variance", "teacher_heatmap_variance"];
        assert!(watched.iter().all(|name| of(&line["losses"][name]) > 0.0), "{line}");
        let terms = line["losses"].as_object().unwrap().iter().filter(|(name, _)| !watched.contains(&name.as_str()));
        let sum: f64 = terms.map(|(_, term)| of(term)).sum();
        assert!((sum - of(&line["loss"])).abs() <= 1e-5 * of(&line["loss"]), "the terms of {line} sum to {sum}");
    }

    // Stopped in either phase and gone on, it ends the same.
    for phase in 0..2 {
        let out = format!("stopped-{phase}");
        let mut running = Running::start(&school, &["sokd.toml", "--out", &out, "--threads", "1"]);
        // Pretraining, distillation, and for its second phase the end of an epoch of both.
        (0..2).for_each(|_| running.wait_for("stage"));
        (0..2 * phase).for_each(|_| running.wait_for("metrics"));
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        school.run(&["run", "--resume", &out, "--quiet"]);
        assert_same(&out, &school.lasting(&out), &school.lasting("whole"));
    }

    // A policy that was found serves again, without a search.
    let again = CONFIG.split("[[methods]]").next().unwrap().to_string()
        + &format!(
            "[[methods]]\nname = \"sokd\"\nsearch_epochs = 0\nheat_classes = 4\narea_count = 3\n\
             detection_weight = 1.0\nfeature_weight = 1.0\nweights = \"whole/{policy}\"\n\
             [train]\nepochs = 1\nbatch_size = 16\nseeds = [1]\n"
        );
    school.write("again.toml", again);
    school.run(&["run", "again.toml", "--out", "again", "--quiet"]);
    for name in ["policy.probability", "policy.choice", "policy.magnitude"] {
        let [before, after] = ["whole", "again"].map(|run| tensor(&school, &format!("{run}/{policy}"), name));
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn other_methods_learn_from_augmented_features() {
    let school = School::new();
    let mut config = CONFIG.split("[[methods]]").next().unwrap().to_string();
    let bases = ["at", "review_kd", "crd", "kd", "dkd"];
    for base in bases {
        config += &format!(
            "[[methods]]\nname = \"sokd\"\nlabel = \"{base}\"\nbase = \"{base}\"\nsearch_epochs = 1\n\
             detection_weight = 1.0\nheat_classes = 4\narea_count = 3\n"
        );
    }
    config += "[train]\nepochs = 2\nbatch_size = 16\nseeds = [1]\n\
               optimizer = { name = \"sgd\", lr = 0.01, momentum = 0.9, weight_decay = 5e-4, nesterov = false }\n";
    school.write("bases.toml", config);
    school.run(&["run", "bases.toml", "--out", "bases", "--quiet"]);
    let left = school.left("bases");
    for base in bases {
        assert!(left.contains_key(&format!("models/method-{base}-seed1.safetensors")), "{base}");
    }
}

#[test]
fn what_the_classroom_cannot_give_is_named() {
    let school = School::new();
    school.write("sokd.toml", CONFIG.replace("student = \"resnet8\"", "student = \"models.toml:narrow\""));
    let output = school.try_run(&["run", "sokd.toml", "--out", "none"]);
    assert_ne!(output.status.code(), Some(0));
    let message = stderr(&output);
    assert!(message.contains("student: narrow has no feature `f2`") && message.contains("f0, f1"), "{message}");
}
