//! What a run writes about itself, field by field in the order of the contract.

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

use super::log::serialize_per_class;
use crate::{Error, Result};

/// Which part of a run a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Mentors learn from the labels.
    Pretrain,
    /// Assistants and peers are taught by the mentors before them.
    Assist,
    /// The student learns by a method.
    Distil,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Pretrain => "pretrain",
            Phase::Assist => "assist",
            Phase::Distil => "distil",
        })
    }
}

/// Numbers by name, in the order they were put in; an object in JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedValues(pub Vec<(String, f64)>);

impl Serialize for NamedValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for NamedValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = NamedValues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedValues, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(NamedValues(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// One line of `metrics.jsonl`: one model after one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsLine {
    /// Pretraining or distillation.
    pub phase: Phase,
    /// The label of the method by which the model is taught; left out in pretraining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The method's own name, where the config labels it otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method_name: Option<String>,
    /// Seed of the model's weights and of the order of the images.
    pub seed: u64,
    /// `teacher`, `peer-1`, ..., `student`.
    pub role: String,
    /// The model's name in the zoo.
    pub model: String,
    /// Epochs finished, from 1.
    pub epoch: u64,
    /// Steps finished in this phase.
    pub step: u64,
    /// The learning rate of the epoch's last step.
    pub lr: f64,
    /// The loss that was minimised: mean over the epoch's steps.
    pub loss: f64,
    /// Its terms, weighted as they enter the sum, and what methods watch besides: means over the epoch's steps.
    pub losses: NamedValues,
    /// Fraction of the (augmented) training images of this epoch that were classified rightly.
    pub train_top1: f64,
    /// Fraction of the validation split, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_top1: Option<f64>,
}

impl MetricsLine {
    /// Whether the line is about the student alone.
    pub fn is_alone(&self) -> bool {
        self.role == STUDENT && self.method_name.as_ref().or(self.method.as_ref()).is_some_and(|name| name == ALONE)
    }
}

/// One line of `classroom.jsonl`: one mentor over one epoch of a method; means over the steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassroomLine {
    /// `assist` where a mentor is taught; left out where it is the student.
    #[serde(default = "distil", skip_serializing_if = "is_distil")]
    pub phase: Phase,
    /// Who is taught; left out where it is the student.
    #[serde(default = "student", skip_serializing_if = "is_student")]
    pub role: String,
    /// The label of the method that asks the mentor.
    pub method: String,
    /// The seed of who is taught.
    pub seed: u64,
    /// From 1.
    pub epoch: u64,
    /// The mentor's role: `teacher`, `peer-1`, ...
    pub mentor: String,
    /// The mentor's rank, for methods that rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<f64>,
    /// The weight of the mentor's loss term.
    pub weight: f64,
    /// The temperature used with the mentor, for methods that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Share of the steps (or samples) in which the mentor was asked.
    pub active: f64,
}

fn distil() -> Phase {
    Phase::Distil
}

fn is_distil(phase: &Phase) -> bool {
    *phase == Phase::Distil
}

fn student() -> String {
    STUDENT.into()
}

fn is_student(role: &str) -> bool {
    role == STUDENT
}

/// One line of `timing.jsonl`: how fast one epoch went. Not the same from run to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimingLine {
    /// Pretraining or distillation.
    pub phase: Phase,
    /// Left out in pretraining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The seed that was trained; the first of several.
    pub seed: u64,
    /// All seeds, where several were trained side by side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<u64>,
    /// From 1.
    pub epoch: u64,
    /// Wall-clock time of the epoch with its evaluation, in seconds.
    pub seconds: f64,
    /// Median time of a step, in milliseconds.
    pub step_ms: f64,
    /// Training images per second, evaluation left aside.
    pub images_per_second: f64,
    /// The process's peak resident size so far, in MiB.
    pub peak_mib: f64,
}

/// The method of weights that were loaded and do not say how they were trained.
pub const LOADED: &str = "loaded";
/// The role of the student.
pub const STUDENT: &str = "student";
/// The method's name of a student that learns from the labels alone.
const ALONE: &str = "cross_entropy";

/// `summary.json`: what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`Summary::FORMAT`].
    pub format: String,
    /// The experiment's name.
    pub name: String,
    /// The device in words.
    pub device: String,
    /// Seeds of the student.
    pub seeds: Vec<u64>,
    /// Names of the classes, in the order of the labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Mentors first, then the student once per method.
    pub models: Vec<SummaryModel>,
}

impl Summary {
    /// The format's name and version.
    pub const FORMAT: &str = "kd-summary/1";
    /// The method's name of a student that learns from the labels alone.
    pub const ALONE: &str = ALONE;

    /// The student alone, what every method is compared with; none where it was not trained.
    pub fn alone(&self) -> Option<&SummaryModel> {
        self.models.iter().find(|model| model.is_alone())
    }

    /// The summary as it stands in the file, one model per line.
    ///
    /// # Errors
    /// A number that is not finite, with its field.
    pub fn to_json(&self) -> Result<String> {
        let models: Result<Vec<String>> = self.models.iter().map(super::log::json_line).collect();
        let head = super::log::json_line(&Self { models: Vec::new(), ..self.clone() })?;
        let head = head.strip_suffix("[]}").expect("the models stand last");
        Ok(format!("{head}[\n{}\n]}}\n", models?.join(",\n")))
    }

    /// Reads what [`Summary::to_json`] wrote.
    ///
    /// # Errors
    /// Not JSON, not a summary, or of another format.
    pub fn from_json(text: &str) -> Result<Self> {
        let summary: Self = serde_json::from_str(text).map_err(|error| Error::request(error.to_string()))?;
        if summary.format != Self::FORMAT {
            return Err(Error::request(format!("the format is `{}`, expected `{}`", summary.format, Self::FORMAT)));
        }
        Ok(summary)
    }
}

/// One row of the summary: a mentor, or the student by one method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryModel {
    /// `teacher`, `peer-1`, ..., `student`.
    pub role: String,
    /// The model's name in the zoo.
    pub model: String,
    /// Trainable parameters.
    pub params: u64,
    /// The method's label; `cross_entropy` for mentors pretrained in the run.
    pub trained_by: String,
    /// The method's own name, where the config labels it otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method_name: Option<String>,
    /// Fractions of the test split classified rightly.
    pub top1: Accuracies,
    /// Top-1 per class, each the mean over the seeds; null for a class without test images.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "serialize_per_class")]
    pub per_class: Vec<Option<f64>>,
    /// What the method has learned of its own, in a few words each, for every seed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learned: Vec<Vec<String>>,
}

impl SummaryModel {
    /// The name of the method that it was trained by. Where a summary does not say it, the label is the name.
    pub fn method(&self) -> &str {
        self.method_name.as_ref().unwrap_or(&self.trained_by)
    }

    /// Whether this is the student.
    pub fn is_student(&self) -> bool {
        self.role == STUDENT
    }

    /// The seed of the `index`-th value, where the summary says it: mentors have seeds of their own.
    pub fn seed_of(&self, index: usize, summary: &Summary) -> Option<u64> {
        summary.seeds.get(index).copied().filter(|_| self.is_student())
    }

    /// Whether this is the student alone, whatever the method's label.
    pub fn is_alone(&self) -> bool {
        self.is_student() && self.method() == ALONE
    }
}

/// Test accuracy of the last weights, and of those that were best on the validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracies {
    /// After the last epoch.
    pub last: Spread,
    /// After the epoch with the best validation accuracy; left out without a validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_validation: Option<Spread>,
}

/// A quantity over seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (divided by n - 1). 0 for a single value, of which no spread is known.
    pub std: f64,
    /// One per seed.
    pub values: Vec<f64>,
}

impl Spread {
    /// Mean and sample standard deviation of `values`, summed in their order.
    ///
    /// # Panics
    /// Without any value: a fault of the caller.
    pub fn of(values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "a spread needs at least one value");
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let std = if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        Self { mean, std, values }
    }

    /// The standard deviation where there are values enough to know one.
    pub fn known_std(&self) -> Option<f64> {
        (self.values.len() > 1).then_some(self.std)
    }
}

#[cfg(test)]
mod tests;
