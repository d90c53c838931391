//! What a config may say and what it may not.

mod written;

use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;
use crate::distill::{self, Raw, Setting};

const MINIMAL: &str = "[classroom]\nstudent = \"resnet8\"\n";

fn read_with(text: &str, overrides: &Overrides) -> Result<Config> {
    Config::parse("my.toml", text, "my", Path::new("/somewhere"), overrides)
}

fn read(text: &str) -> Result<Config> {
    read_with(text, &Overrides::default())
}

fn sets(pairs: &[(&str, &str)]) -> Overrides {
    let sets = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Overrides { sets, ..Overrides::default() }
}

/// The error as a user sees it, which has the file's name and line.
fn shown(error: &Error) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::none()).with_width(200);
    handler.render_report(&mut text, error).unwrap();
    text
}

/// Checks that `text` is refused as a wrong request, and that the message has every one of `phrases`.
#[track_caller]
fn refused(text: &str, phrases: &[&str]) {
    let error = read(text).expect_err("should be refused");
    assert_eq!(error.exit_status(), 2);
    let shown = shown(&error);
    for phrase in phrases {
        assert!(shown.contains(phrase), "no {phrase:?} in\n{shown}");
    }
}

#[test]
fn the_documented_example_is_read() {
    let config = read(
        r#"
name = "fashion-classroom"
[data]
source = "embedded"
validation = 0.1
augment = { crop_padding = 2, flip = true }
[classroom]
student = "resnet8"
teachers = ["resnet20"]
peers = ["resnet8", "resnet14", { model = "wrn_16_1", weights = "wrn_16_1.safetensors" }]
[pretrain]
epochs = 8
[[methods]]
name = "cross_entropy"
[[methods]]
name = "classroomkd"
tau = 12.0
[train]
epochs = 8
batch_size = 64
seeds = [1, 2, 3]
optimizer = { name = "sgd", lr = 0.05, momentum = 0.9, weight_decay = 5e-4, nesterov = false }
schedule = { name = "multi_step", milestones = [5, 7], gamma = 0.1 }
precision = "f32"
[output]
checkpoints = { every_epochs = 1, keep = 2 }
"#,
    )
    .unwrap();
    assert_eq!(config.name, "fashion-classroom");
    assert_eq!(config.data.augment, Augment { crop_padding: 2, flip: true });
    let mentors = config.classroom.mentors();
    let roles: Vec<&str> = mentors.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["teacher", "peer-1", "peer-2", "peer-3"]);
    assert_eq!(mentors[3].1.weights.as_deref(), Some(Path::new("/somewhere/wrn_16_1.safetensors")));
    assert_eq!(config.train.schedule.shape, Shape::MultiStep { milestones: vec![5.0, 7.0], gamma: 0.1 });
    assert_eq!(config.train.seeds, [1, 2, 3]);
    assert_eq!(config.methods[1].hyperparameters.number("tau"), 12.0);
    assert_eq!(config.output.checkpoints, Checkpoints { every_epochs: 1, every_steps: 0, keep: 2 });
    assert!(config.train.optimizer.decay_norm_and_bias);
}

#[test]
fn what_is_not_written_has_its_default() {
    let alone = read(MINIMAL).unwrap();
    assert_eq!(alone.name, "my");
    assert_eq!(alone.data.source, Some(SourceKind::Embedded));
    assert_eq!(alone.methods, [MethodConfig::standard("cross_entropy").unwrap()]);
    assert_eq!(alone.train.schedule.shape, Shape::MultiStep { milestones: vec![5.0, 6.0, 7.0], gamma: 0.1 });
    let taught = read("[classroom]\nstudent = \"resnet8\"\npeers = [\"resnet14\"]\n").unwrap();
    assert_eq!(taught.methods.len(), 2);
    // [pretrain] takes nothing over from [train].
    let text = format!("{MINIMAL}[train]\nbatch_size = 128\n");
    assert_eq!(read(&text).unwrap().pretrain.batch_size, 64);
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    refused("[classroom]\nstudent = \n", &["is not TOML", "my.toml:2:"]);
    refused("a = 1\na = 2\n", &["is not TOML", "duplicate key", "my.toml:2:"]);
    refused("[classroom]\nstudent = 1979-05-27\n", &["is a date", "my.toml:2:"]);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    refused(&format!("{MINIMAL}[trian]\nepochs = 8\n"), &["unknown key `trian`", "my.toml:3:2", "`train`"]);
    refused(&format!("{MINIMAL}[train]\nepoch = 8\n"), &["`train.epoch`", "my.toml:4:1", "did you mean `epochs`?"]);
    refused(&format!("{MINIMAL}[data]\naugment = {{ flips = true }}\n"), &["`data.augment.flips`", "`flip`"]);
    refused(
        &format!("{MINIMAL}[train]\noptimizer = {{ name = \"sgd\", learning_rate = 1 }}\n"),
        &["`train.optimizer.learning_rate`", "expected one of: name, lr, momentum"],
    );
    refused(
        &format!("{MINIMAL}[train]\nschedule = {{ name = \"cosine\", milestones = [1] }}\n"),
        &["`train.schedule.milestones`", "schedule `cosine` has no such key", "my.toml:4:"],
    );
    refused(
        &format!("{MINIMAL}[[methods]]\nname = \"cross_entropy\"\ntau = 4\n"),
        &["`methods.0.tau`", "method `cross_entropy` has no such key", "my.toml:5:1"],
    );
    refused(&format!("{MINIMAL}teacher = \"resnet20\"\n"), &["`classroom.teacher`", "did you mean `teachers`?"]);
}

#[test]
fn wrong_types_are_refused() {
    for (line, phrase) in [
        ("epochs = \"8\"", "train.epochs: expected a whole number from 1 to 1000000, found the text \"8\""),
        ("epochs = 8.0", "train.epochs: expected a whole number"),
        ("batch_size = true", "train.batch_size: expected a whole number from 1 to 65536, found true"),
        ("seeds = 1", "train.seeds: expected a list, found 1"),
        ("seeds = [1, \"2\"]", "train.seeds.1: expected a whole number of 0 or more"),
        ("optimizer = \"sgd\"", "train.optimizer: expected a table"),
        ("optimizer = { lr = \"fast\" }", "train.optimizer.lr: expected a number above 0, found the text \"fast\""),
        ("optimizer = { nesterov = 1 }", "train.optimizer.nesterov: expected true or false, found 1"),
        ("precision = 32", "train.precision: expected a text in quotes, found 32"),
        ("schedule = []", "train.schedule: expected a table, found a list"),
        ("seeds_together = 1", "train.seeds_together: expected true, false or \"auto\", found 1"),
        ("seeds_together = \"yes\"", "train.seeds_together: expected true, false or \"auto\", found the text \"yes\""),
    ] {
        refused(&format!("{MINIMAL}[train]\n{line}\n"), &[phrase, "my.toml:4:"]);
    }
    refused("classroom = 3\n", &["classroom: expected a table, found 3"]);
    refused("name = 7\n", &["name: expected a text in quotes"]);
    refused("[classroom]\nstudent = 8\n", &["classroom.student: expected a text in quotes, found 8"]);
    refused("[classroom]\nstudent = \"resnet8\"\npeers = \"resnet8\"\n", &["classroom.peers: expected a list"]);
}

#[test]
fn values_out_of_range_are_refused() {
    for (line, phrase) in [
        ("epochs = 0", "expected a whole number from 1 to 1000000, found 0"),
        ("batch_size = 0", "expected a whole number from 1 to 65536, found 0"),
        ("batch_size = 1000000000", "from 1 to 65536, found 1000000000"),
        ("batch_size = 99999999999999999999", "is not a number we can hold"),
        ("seeds = []", "expected at least one seed"),
        ("seeds = [1, 1]", "seed 1 is there twice"),
        ("seeds = [-1]", "train.seeds.0: expected a whole number of 0 or more, found -1"),
        ("optimizer = { lr = -0.1 }", "train.optimizer.lr: expected a number above 0, found -0.1"),
        ("optimizer = { lr = inf }", "expected a number above 0"),
        ("optimizer = { lr = nan }", "expected a number above 0"),
        ("optimizer = { momentum = 1 }", "expected a number from 0 to below 1, found 1"),
        ("optimizer = { weight_decay = -1e-4 }", "expected a number of 0 or more"),
        ("optimizer = { momentum = 0, nesterov = true }", "needs a momentum above 0"),
        ("optimizer = { name = \"adam\" }", "unknown optimizer `adam`"),
        ("label_smoothing = 1.0", "expected a number from 0 to below 1"),
        ("precision = \"f16\"", "did you mean `bf16`?"),
        ("schedule = \"cosin\"", "did you mean `cosine`?"),
        ("schedule = \"multi_step\"", "needs more than its name"),
        ("schedule = { name = \"multi_step\" }", "`train.schedule.milestones` is missing"),
        ("schedule = { name = \"multi_step\", milestones = [5, 3] }", "milestones ascend, but 3 comes after 5"),
        ("schedule = { name = \"multi_step\", milestones = [3, 3] }", "milestones ascend, but 3 comes after 3"),
        ("schedule = { name = \"multi_step\", milestones = [0] }", "expected a number above 0, found 0"),
        ("schedule = { name = \"multi_step\", milestones = [150] }", "would never be reached in 8 epochs"),
        ("schedule = { name = \"multi_step\", milestones = [5], gamma = 0 }", "gamma: expected a number above 0"),
        ("schedule = { name = \"cosine\", final_lr = 1 }", "final_lr: expected a number from 0 to 0.05, found 1"),
        ("schedule = { name = \"cosine\", warmup_epochs = 9 }", "warmup_epochs: expected a number from 0 to 8"),
        ("schedule = { name = \"one_cycle\", warmup_epochs = 1 }", "schedule `one_cycle` has no such key"),
        ("schedule = { name = \"one_cycle\", pct_start = 2 }", "expected a number from 0 to 1, found 2"),
        ("schedule = { name = \"linear_ramp\", final_lr = 0.01, ramp_epochs = 9 }", "above 0 and up to 8, found 9"),
    ] {
        refused(&format!("{MINIMAL}[train]\n{line}\n"), &[phrase, "my.toml:4:"]);
    }
    refused(&format!("{MINIMAL}[pretrain]\nseeds = [1, 2]\n"), &["mentors are trained once", "train.seeds"]);
    let together = format!("{MINIMAL}[pretrain]\nseeds_together = true\n");
    refused(&together, &["pretrain.seeds_together: mentors have one seed", "train.seeds_together", "my.toml:4:"]);
    refused(&format!("{MINIMAL}[output]\ncheckpoints = {{ keep = 0 }}\n"), &["output.checkpoints.keep"]);
    for name in ["", "a/b", "..", "-x", "a b", "\u{e9}"] {
        refused(&format!("name = \"{name}\"\n{MINIMAL}"), &["name: ", "my.toml:1:"]);
    }
}

#[test]
fn data_that_cannot_be_is_refused() {
    for (line, phrase) in [
        ("validation = 1.0", "data.validation: expected a number from 0 to below 1, found 1"),
        ("validation = -0.1", "data.validation: expected a number from 0 to below 1"),
        ("source = \"cifar-100\"", "did you mean `cifar100`?"),
        ("source = \"mnist\"", "unknown data source `mnist`"),
        ("source = \"cifar10\"", "source `cifar10` needs data.path"),
        ("source = \"embedded\"\npath = \"x\"", "source `embedded` takes no path"),
        ("path = \"\"", "expected a path, found an empty text"),
        ("mean = [0.5]", "data.mean is given without data.std"),
        ("mean = [0.5]\nstd = [0.0]", "data.std.0: expected a number above 0, found 0"),
        ("mean = [0.5, 0.5]\nstd = [1, 1]", "one value per channel (1 or 3), found 2"),
        ("mean = [0.5]\nstd = [1, 1, 1]", "mean has 1 channels and std 3"),
        ("augment = { crop_padding = -2 }", "data.augment.crop_padding: expected a whole number from 0 to 512"),
    ] {
        refused(&format!("{MINIMAL}[data]\n{line}\n"), &[phrase, "my.toml:"]);
    }
    let recognised = read(&format!("{MINIMAL}[data]\npath = \"c100.tar.gz\"\n")).unwrap();
    assert_eq!(recognised.data.source, None);
    assert_eq!(recognised.data.path, Some(PathBuf::from("/somewhere/c100.tar.gz")));
}

#[test]
fn classrooms_and_methods_that_do_not_fit_are_refused() {
    refused("", &["`classroom` is missing"]);
    refused("[classroom]\n", &["`classroom.student` is missing", "my.toml:1:"]);
    refused("[classroom]\nstudent = \"\"\n", &["classroom.student: unknown model ``", "my.toml:2:"]);
    refused("[classroom]\nstudent = \"resnet9\"\n", &["unknown model `resnet9`", "did you mean `resnet", "my.toml:2:"]);
    refused("[classroom]\nstudent = \"transformer\"\n", &["expected one of: resnet8, resnet14"]);
    refused("[classroom]\nstudent = { weights = \"x\" }\n", &["`classroom.student.model` is missing", "my.toml:2:"]);
    refused(&format!("methods = []\n{MINIMAL}"), &["expected at least one method", "my.toml:1:"]);
    for (lines, phrases) in [
        ("name = \"classromkd\"", ["unknown method `classromkd`", "did you mean `classroomkd`?"]),
        ("tau = 4", ["`methods.0.name` is missing", "my.toml:3:"]),
        ("name = \"classroomkd\"", ["needs at least one entry in classroom.teachers or classroom.peers", "my.toml:4:"]),
        ("name = \"kd\"", ["method `kd` needs at least one entry in classroom.teachers", "my.toml:4:"]),
    ] {
        refused(&format!("{MINIMAL}[[methods]]\n{lines}\n"), &phrases);
    }
    let taught = "[classroom]\nstudent = \"resnet8\"\nteachers = [\"resnet20\"]\n";
    for (lines, phrases) in [
        ("tau = -1", ["methods.0.tau: expected a number of 0 or more, found -1", "my.toml:6:"]),
        ("tau = \"12\"", ["methods.0.tau: expected a number of 0 or more, found the text", "my.toml:6:"]),
        ("rank_digits = \"two\"", ["expected a whole number from 0 to 9, or \"none\"", "my.toml:6:"]),
        ("rank_scope = \"sampel\"", ["expected \"batch\" or \"sample\"", "did you mean `sample`?"]),
        ("rank_skope = \"sample\"", ["unknown key `methods.0.rank_skope`", "did you mean `rank_scope`?"]),
        ("mentoring = false\ntemperatures = \"dtkd\"", ["has no meaning with mentoring = false", "my.toml:7:"]),
        ("ranking = \"ordinal\"\ntemperatures = \"dtkd\"", ["has no meaning with ranking = \"ordinal\"", "my.toml:7:"]),
        ("[train]\nlabel_smoothing = 0.1", ["train: label_smoothing: method `classroomkd` takes labels", "my.toml:6:"]),
        ("label = \"a/b\"", ["methods.0.label: \"a/b\" becomes part of file names", "my.toml:6:"]),
    ] {
        refused(&format!("{taught}[[methods]]\nname = \"classroomkd\"\n{lines}\n"), &phrases);
    }
    for (by, phrases) in [
        ("\"dml\"", ["a mentor cannot be taught by `dml`", "my.toml:4:"]),
        ("\"ca_mkd\"", ["`ca_mkd` needs at least 2 entries in classroom.teachers, and there are 1", "my.toml:4:"]),
        ("{ name = \"kd\", temprature = 2 }", ["unknown key `classroom.peers.0.taught_by.temprature`", "my.toml:4:"]),
        ("{ name = \"dkd\", weights = \"w\" }", ["who is taught starts anew", "my.toml:4:"]),
    ] {
        refused(&format!("{taught}peers = [{{ model = \"vgg8\", taught_by = {by} }}]\n"), &phrases);
    }
    let twice = "[[methods]]\nname = \"kd\"\n[[methods]]\nname = \"kd\"\ntemperature = 2\n";
    refused(&format!("{taught}{twice}"), &["two methods are called `kd`", "label = "]);
    let labelled = format!("{taught}{twice}label = \"kd-2\"\n");
    assert_eq!(read(&labelled).unwrap().methods[1].label, "kd-2");
}

#[test]
fn a_mentor_is_taught_as_the_student_is_or_by_values_of_its_own() {
    let classroom = "[classroom]\nstudent = \"resnet8\"\nteachers = [\"resnet56\"]\nassistants = [\"resnet32\", \
                     { model = \"resnet20\", taught_by = \"dkd\" }, \
                     { model = \"resnet14\", taught_by = { name = \"dkd\", warmup_epochs = 6 } }]\n";
    let train = "[pretrain]\nepochs = 12\n[train]\nepochs = 24\n";
    let own = format!("{classroom}{train}[[methods]]\nname = \"dkd\"\nwarmup_epochs = 8\n");
    let warm_ups = |config: &Config| {
        let by = |one: &ModelChoice| one.taught_by.clone().unwrap();
        assert_eq!(by(&config.classroom.assistants[0]).description.name, "takd");
        [1, 2].map(|index| by(&config.classroom.assistants[index]).hyperparameters.epochs("warmup_epochs"))
    };
    assert_eq!(warm_ups(&read(&own).unwrap()), [8.0, 6.0]);
    assert_eq!(warm_ups(&read(&format!("{classroom}{train}")).unwrap()), [20.0, 6.0]);
    // A shorter training shortens the mentors' warm-ups as it shortens the mentors' own training.
    let overrides = Overrides { epochs: Some(3), ..Overrides::default() };
    let shortened = read_with(&own, &overrides).unwrap();
    assert_eq!(warm_ups(&shortened), [2.0, 1.5]);
    assert_eq!(shortened.methods[0].hyperparameters.epochs("warmup_epochs"), 1.0);
    assert_eq!(read(&shortened.to_toml()).unwrap(), shortened);
}

#[test]
fn advice_names_times_that_are_never_reached_and_mentors_that_nobody_asks() {
    let of = |text: &str| read(text).unwrap().advice();
    let classroom = "[classroom]\nstudent = \"resnet8\"\nteachers = [\"resnet20\"]\npeers = [\"resnet14\"]\n";
    let methods = "[[methods]]\nname = \"dkd\"\nwarmup_epochs = 9\n[train]\nepochs = 8\n";
    assert_eq!(
        of(&format!("{classroom}{methods}")),
        [
            "method dkd: warmup_epochs reaches to epoch 9, and train.epochs is 8",
            "classroom.peers are trained, but no method here learns from peers"
        ]
    );
    assert_eq!(of(classroom), [""; 0]);
    let ready = classroom.replace("\"resnet14\"", "{ model = \"resnet14\", weights = \"w\" }");
    assert_eq!(of(&format!("{ready}[[methods]]\nname = \"kd\"\n")), [""; 0]);
    for preset in presets::PRESETS {
        assert_eq!(
            Config::load(Some(preset.name), &Overrides::default()).unwrap().advice(),
            [""; 0],
            "{}",
            preset.name
        );
    }
}

#[test]
fn a_users_own_model_stands_wherever_a_name_can() {
    let text = "[classroom]\nstudent = \"nets/mine.toml\"\npeers = [{ model = \"mine.toml:small\" }]\n";
    let classroom = read(text).unwrap().classroom;
    assert_eq!(classroom.student.model, "/somewhere/nets/mine.toml");
    assert_eq!(classroom.peers[0].model, "/somewhere/mine.toml:small");
}

#[test]
fn set_changes_what_is_written_and_adds_what_is_not() {
    let text = "[classroom]\nstudent = \"resnet8\"\nteachers = [\"resnet20\"]\n[[methods]]\nname = \"classroomkd\"\n";
    let changed = sets(&[
        ("train.epochs", "3"),
        ("train.optimizer.lr", "1e-2"),
        ("methods.0.tau", "4"),
        ("methods.0.rank_digits", "none"),
        ("classroom.teachers.0", "resnet56"),
        ("classroom.peers", "[\"resnet14\", { model = \"vgg8\" }]"),
        ("train.schedule", "{ name = \"cosine\" }"),
        ("name", "mine"),
    ]);
    let config = read_with(text, &changed).unwrap();
    assert_eq!((config.train.epochs, config.train.optimizer.lr), (3, 0.01));
    assert_eq!(config.methods[0].hyperparameters.number("tau"), 4.0);
    assert_eq!(config.methods[0].hyperparameters.count("rank_digits"), None);
    assert_eq!(config.classroom.teachers[0].model, "resnet56");
    assert_eq!(config.classroom.peers[1].model, "vgg8");
    assert_eq!(config.train.schedule.shape, Shape::Cosine { final_lr: 0.0 });
    assert_eq!(config.name, "mine");
    // A path on the command line starts where the command runs, not at the config.
    let config = read_with(text, &sets(&[("data.path", "c10.tar.gz")])).unwrap();
    assert_eq!(config.data.path, Some(std::env::current_dir().unwrap().join("c10.tar.gz")));
}

#[test]
fn set_that_does_not_fit_points_at_itself() {
    let text = "[classroom]\nstudent = \"resnet8\"\npeers = [\"resnet14\"]\n";
    for (key, value, phrases) in [
        ("train.epoch", "3", vec!["unknown key `train.epoch`", "[--set:1:1]", "did you mean `epochs`?"]),
        ("train.epochs", "three", vec!["train.epochs: expected a whole number", "the text \"three\"", "[--set:1:14]"]),
        ("train.epochs", "[1", vec!["found the text \"[1\""]),
        ("classroom.peers.1", "vgg8", vec!["`classroom.peers` is a list of 1", "[--set:1:1]"]),
        ("classroom.peers.x", "vgg8", vec!["`x` is none of its entries"]),
        ("classroom.student.weights", "w", vec!["`classroom.student` is the text \"resnet8\"", "set it as a whole"]),
        ("train..epochs", "1", vec!["the key has an empty part"]),
        ("", "1", vec!["the key has an empty part"]),
    ] {
        let error = read_with(text, &sets(&[(key, value)])).unwrap_err();
        assert_eq!(error.exit_status(), 2);
        let shown = shown(&error);
        for phrase in phrases {
            assert!(shown.contains(phrase), "no {phrase:?} in\n{shown}");
        }
    }
}

#[test]
fn epochs_scale_every_phase_with_its_ramps_and_milestones() {
    let text = format!(
        "{MINIMAL}[pretrain]\nepochs = 100\nschedule = {{ name = \"cosine\", warmup_epochs = 5 }}\n[train]\nepochs = 240\n\
         schedule = {{ name = \"linear_ramp\", final_lr = 0.01, ramp_epochs = 120, milestones = [150, 180, 210] }}\n"
    );
    let overrides = Overrides { epochs: Some(8), ..Overrides::default() };
    let config = read_with(&text, &overrides).unwrap();
    assert_eq!((config.pretrain.epochs, config.train.epochs), (8, 8));
    assert_eq!(config.pretrain.schedule.warmup_epochs, 0.4);
    let expected = Shape::LinearRamp { final_lr: 0.01, ramp_epochs: 4.0, milestones: vec![5.0, 6.0, 7.0], gamma: 0.1 };
    assert_eq!(config.train.schedule.shape, expected);
    for epochs in [1, 3, 7, 1000] {
        let config = read_with(&text, &Overrides { epochs: Some(epochs), ..Overrides::default() }).unwrap();
        assert_eq!(read(&config.to_toml()).unwrap(), config, "{epochs} epochs");
    }
    let none = Overrides { epochs: Some(0), ..Overrides::default() };
    assert!(read_with(&text, &none).unwrap_err().to_string().contains("--epochs"));
}

#[test]
fn seeds_replace_those_of_the_student() {
    let seeds = |seeds: &[u64]| Overrides { seeds: Some(seeds.to_vec()), ..Overrides::default() };
    let config = read_with(MINIMAL, &seeds(&[7, 8])).unwrap();
    assert_eq!((config.train.seeds, config.pretrain.seeds), (vec![7, 8], vec![0]));
    for wrong in [&[][..], &[3, 3], &[u64::MAX]] {
        assert!(read_with(MINIMAL, &seeds(wrong)).unwrap_err().to_string().contains("--seeds"));
    }
}

#[test]
fn load_takes_a_file_before_a_preset_and_suggests_near_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my experiment.toml");
    std::fs::write(&path, format!("{MINIMAL}[data]\npath = \"archive.tar\"\n")).unwrap();
    let config = Config::load(path.to_str(), &Overrides::default()).unwrap();
    assert_eq!(config.name, "my_experiment");
    assert_eq!(config.data.path, Some(folder.path().join("archive.tar")));
    assert_eq!(Config::load(None, &Overrides::default()).unwrap().name, presets::DEFAULT);
    let error = Config::load(Some("fashion-clasroom"), &Overrides::default()).unwrap_err();
    assert!(shown(&error).contains("did you mean the preset `fashion-classroom`?"), "{}", shown(&error));
    assert_eq!(error.exit_status(), 2);
    let error = Config::load(folder.path().to_str(), &Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("is a folder"), "{error}");
}

#[test]
fn every_preset_is_read_and_written_back_the_same() {
    for preset in presets::PRESETS {
        let config = Config::load(Some(preset.name), &Overrides::default()).unwrap();
        assert_eq!(config.name, preset.name);
        assert!(!preset.title().is_empty(), "{} says not what it is for", preset.name);
        let written = config.to_toml();
        let again = read(&written).unwrap_or_else(|error| panic!("{}\n{written}", shown(&error)));
        assert_eq!(again, config, "{written}");
        assert_eq!(again.to_toml(), written);
    }
}

#[test]
fn every_file_of_the_presets_folder_is_a_preset() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_string())
        .collect();
    files.sort();
    let mut names: Vec<&str> = presets::PRESETS.iter().map(|preset| preset.name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
}

#[test]
fn the_method_that_another_builds_on_has_hyperparameters_of_its_own() {
    let start = "name = \"a\"\n[data]\nsource = \"embedded\"\n[classroom]\nstudent = \"resnet8\"\nteachers = [\"resnet14\"]\n\
                 [[methods]]\nname = \"sokd\"\n";
    let base = |text: &str| read(&format!("{start}base = {text}\n"));
    let config = base("{ name = \"review_kd\", weight = 0.6 }").unwrap();
    let own = config.methods[0].hyperparameters.of_method("base").unwrap();
    assert_eq!((own.number("weight"), own.epochs("warmup_epochs")), (0.6, 20.0));
    assert!(
        config.to_toml().contains("base = { name = \"review_kd\", weight = 0.6, warmup_epochs = 20"),
        "{}",
        config.to_toml()
    );
    assert_eq!(read(&config.to_toml()).unwrap(), config);
    assert_eq!(base("\"review_kd\"").unwrap(), base("{ name = \"review_kd\" }").unwrap());
    for (text, phrases) in [
        ("\"revew_kd\"", &["methods.0.base: expected", "did you mean `review_kd`?"][..]),
        ("{ name = \"revew_kd\" }", &["methods.0.base.name: expected", "did you mean `review_kd`?"]),
        ("{ name = \"review_kd\", wieght = 1 }", &["unknown key `methods.0.base.wieght`", "did you mean `weight`?"]),
        ("{ name = \"review_kd\", weight = -1 }", &["methods.0.base.weight: expected a number above 0"]),
        ("{ name = \"fitnet\", weight = 1 }", &["unknown key `methods.0.base.weight`", "keys of sokd"]),
        ("{ weight = 1 }", &["`methods.0.base.name` is missing"]),
    ] {
        refused(&format!("{start}base = {text}\n"), phrases);
    }
}
