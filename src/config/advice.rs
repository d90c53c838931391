//! What a config may say and hardly mean.

use super::Config;
use super::methods::MethodConfig;
use crate::distill::{Needs, Setting, Use};

impl Config {
    /// Warnings, a sentence each: times of methods that reach beyond the training, and mentors that are trained for nobody.
    pub fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        for method in &self.methods {
            late(method, "train.epochs", self.train.epochs, &mut advice);
        }
        for method in self.taught_by() {
            late(method, "pretrain.epochs", self.pretrain.epochs, &mut advice);
        }
        let uses = |part: fn(&Needs) -> Use| {
            self.methods.iter().chain(self.taught_by()).any(|method| part(&method.description.needs) != Use::Unused)
        };
        let classroom = &self.classroom;
        for (name, choices, used) in [
            ("teachers", &classroom.teachers, uses(|needs| needs.teachers)),
            ("assistants", &classroom.assistants, uses(|needs| needs.assistants)),
            ("peers", &classroom.peers, uses(|needs| needs.peers)),
        ] {
            if choices.iter().any(|choice| choice.weights.is_none()) && !used {
                advice.push(format!("classroom.{name} are trained, but no method here learns from {name}"));
            }
        }
        advice
    }

    /// The methods by which mentors are taught.
    fn taught_by(&self) -> impl Iterator<Item = &MethodConfig> {
        self.classroom.assistants.iter().chain(&self.classroom.peers).filter_map(|choice| choice.taught_by.as_ref())
    }
}

/// Times of a method that are not reached in `epochs`, which stand under `key`.
fn late(method: &MethodConfig, key: &str, epochs: u32, advice: &mut Vec<String>) {
    let last = f64::from(epochs);
    for (name, setting) in method.hyperparameters.iter() {
        let time = match setting {
            Setting::Epochs(time) => time,
            Setting::Milestones(times) => times.into_iter().filter(|time| time.is_finite()).fold(0.0, f64::max),
            _ => continue,
        };
        if time > last {
            let label = &method.label;
            advice.push(format!("method {label}: {name} reaches to epoch {time}, and {key} is {epochs}"));
        }
    }
}
