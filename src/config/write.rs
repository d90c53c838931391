//! Writes a config with every default, so that reading it again gives the same config.

use std::path::Path;

use toml::Value;

use super::Config;
use super::classroom::ModelChoice;
use super::methods::MethodConfig;
use super::schedule::{Schedule, Shape};
use super::train::{AUTO, TrainConfig};
use crate::distill::{Hyperparameters, Setting};

/// A key and its value as TOML.
type Pair = (&'static str, String);

/// The config as TOML.
pub(super) fn to_toml(config: &Config) -> String {
    let mut out = format!("name = {}\n", text(config.name.as_str()));
    let mut table = |heading: &str, pairs: Vec<Pair>| {
        out.push_str(&format!("\n{heading}\n"));
        for (key, value) in pairs {
            out.push_str(&format!("{key} = {value}\n"));
        }
    };
    table("[data]", data(config));
    let choices = |choices: &[ModelChoice]| list(choices.iter().map(model_choice));
    let classroom = &config.classroom;
    let mut members = vec![("student", model_choice(&classroom.student)), ("teachers", choices(&classroom.teachers))];
    if !classroom.assistants.is_empty() {
        members.push(("assistants", choices(&classroom.assistants)));
    }
    members.push(("peers", choices(&classroom.peers)));
    table("[classroom]", members);
    table("[pretrain]", train(&config.pretrain));
    for method in &config.methods {
        table("[[methods]]", self::method(method));
    }
    let mut student = train(&config.train);
    let together = config.train.seeds_together.map_or_else(|| text(AUTO), |flag| flag.to_string());
    student.insert(3, ("seeds_together", together)); // Behind the seeds.
    table("[train]", student);
    let checkpoints = &config.output.checkpoints;
    let checkpoints = inline(vec![
        ("every_epochs", checkpoints.every_epochs.to_string()),
        ("every_steps", checkpoints.every_steps.to_string()),
        ("keep", checkpoints.keep.to_string()),
    ]);
    table("[output]", vec![("checkpoints", checkpoints)]);
    out
}

fn data(config: &Config) -> Vec<Pair> {
    let data = &config.data;
    let mut pairs = Vec::new();
    pairs.extend(data.source.map(|source| ("source", text(source.name()))));
    pairs.extend(data.path.as_deref().map(|path| ("path", path_text(path))));
    pairs.push(("validation", text(data.validation)));
    pairs.push(("validation_seed", data.validation_seed.to_string()));
    let augment =
        vec![("crop_padding", data.augment.crop_padding.to_string()), ("flip", data.augment.flip.to_string())];
    pairs.push(("augment", inline(augment)));
    let per_channel = |values: &Vec<f64>| list(values.iter().map(|value| text(*value)));
    pairs.extend(data.mean.as_ref().map(|mean| ("mean", per_channel(mean))));
    pairs.extend(data.std.as_ref().map(|std| ("std", per_channel(std))));
    pairs
}

fn model_choice(choice: &ModelChoice) -> String {
    let model = text(choice.model.as_str());
    if choice.weights.is_none() && choice.taught_by.is_none() {
        return model;
    }
    let mut pairs = vec![("model", model)];
    pairs.extend(choice.weights.as_deref().map(|weights| ("weights", path_text(weights))));
    pairs.extend(choice.taught_by.as_ref().map(|method| ("taught_by", inline(self::method(method)))));
    inline(pairs)
}

fn method(method: &MethodConfig) -> Vec<Pair> {
    let mut pairs = vec![("name", text(method.description.name)), ("label", text(method.label.as_str()))];
    pairs.extend(hyperparameters(&method.hyperparameters));
    pairs.extend(method.weights.as_deref().map(|weights| ("weights", path_text(weights))));
    pairs
}

fn hyperparameters(values: &Hyperparameters) -> Vec<Pair> {
    let one = |(name, setting)| match (setting, values.of_method(name)) {
        (Setting::Method(method), Some(own)) => {
            let pairs = [("name", text(method))].into_iter().chain(hyperparameters(own));
            (name, inline(pairs.collect()))
        }
        _ => (name, hyperparameter(setting)),
    };
    values.iter().map(one).collect()
}

fn hyperparameter(setting: Setting) -> String {
    match setting {
        Setting::Number(number) => text(number),
        Setting::Count(Some(count)) => count.to_string(),
        Setting::Count(None) => text("none"),
        Setting::Epochs(time) => epochs(time),
        Setting::Milestones(times) => list(times.iter().filter(|time| time.is_finite()).map(|time| epochs(*time))),
        Setting::Flag(flag) => flag.to_string(),
        Setting::Choice(choice) | Setting::Method(choice) => text(choice),
    }
}

fn train(train: &TrainConfig) -> Vec<Pair> {
    let optimizer = &train.optimizer;
    let optimizer = inline(vec![
        ("name", text("sgd")),
        ("lr", text(optimizer.lr)),
        ("momentum", text(optimizer.momentum)),
        ("weight_decay", text(optimizer.weight_decay)),
        ("nesterov", optimizer.nesterov.to_string()),
        ("decay_norm_and_bias", optimizer.decay_norm_and_bias.to_string()),
    ]);
    vec![
        ("epochs", train.epochs.to_string()),
        ("batch_size", train.batch_size.to_string()),
        ("seeds", list(train.seeds.iter().map(u64::to_string))),
        ("optimizer", optimizer),
        ("schedule", schedule(&train.schedule)),
        ("label_smoothing", text(train.label_smoothing)),
        ("precision", text(train.precision.name())),
    ]
}

fn schedule(schedule: &Schedule) -> String {
    let times = |times: &[f64]| list(times.iter().map(|time| epochs(*time)));
    let mut pairs = vec![("name", text(schedule.shape.name()))];
    match &schedule.shape {
        Shape::Constant => {}
        Shape::MultiStep { milestones, gamma } => {
            pairs.extend([("milestones", times(milestones)), ("gamma", text(*gamma))]);
        }
        Shape::Cosine { final_lr } => pairs.push(("final_lr", text(*final_lr))),
        Shape::LinearRamp { final_lr, ramp_epochs, milestones, gamma } => pairs.extend([
            ("final_lr", text(*final_lr)),
            ("ramp_epochs", epochs(*ramp_epochs)),
            ("milestones", times(milestones)),
            ("gamma", text(*gamma)),
        ]),
        Shape::OneCycle { pct_start, div_factor, final_div_factor } => pairs.extend([
            ("pct_start", text(*pct_start)),
            ("div_factor", text(*div_factor)),
            ("final_div_factor", text(*final_div_factor)),
        ]),
    }
    if !matches!(schedule.shape, Shape::OneCycle { .. }) {
        pairs.push(("warmup_epochs", epochs(schedule.warmup_epochs)));
    }
    inline(pairs)
}

/// A time in epochs: whole where it is whole.
fn epochs(time: f64) -> String {
    // 2^53: up to there every whole number is its own f64.
    if time.fract() == 0.0 && time.abs() < 9.0e15 { (time as i64).to_string() } else { text(time) }
}

fn text(value: impl Into<Value>) -> String {
    value.into().to_string()
}

/// Paths in a config were checked to be UTF-8 when they were read.
fn path_text(path: &Path) -> String {
    text(path.to_string_lossy().into_owned())
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn inline(pairs: Vec<Pair>) -> String {
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}
