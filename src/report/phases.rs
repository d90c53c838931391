//! In which epochs the phases of methods begin, as a run's config says.

use super::chart::Mark;
use crate::distill;
use crate::train::records::{Phase, STUDENT};

/// The beginning of a phase of a method after its first.
pub(super) struct Start {
    /// Whom the method teaches.
    pub(super) phase: Phase,
    pub(super) role: String,
    /// The method's label.
    pub(super) method: String,
    /// Counted from 1.
    number: usize,
    /// Its first epoch, counted from 1.
    epoch: u64,
}

impl Start {
    /// Where it is in a chart, after `who`.
    pub(super) fn mark(&self, who: &str) -> Mark {
        Mark { epoch: self.epoch, text: format!("phase {} of {who} begins with epoch {}", self.number, self.epoch) }
    }
}

/// The starts that lie within the training. What this version cannot read has none.
pub(super) fn starts(config: &toml::Table) -> Vec<Start> {
    let mut all = Vec::new();
    let list = |table: Option<&toml::Value>, key: &str| -> Vec<toml::Value> {
        table.and_then(|table| table.get(key)?.as_array()).cloned().unwrap_or_default()
    };
    let epochs = |table: &str| config.get(table).and_then(|table| table.get("epochs")?.as_integer()).unwrap_or(0);
    let methods = config.get("methods").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    for method in &methods {
        add(&mut all, Phase::Distil, STUDENT, method, epochs("train"));
    }
    for (key, role) in [("assistants", "assistant"), ("peers", "peer")] {
        for (index, mentor) in list(config.get("classroom"), key).iter().enumerate() {
            if let Some(method) = mentor.get("taught_by") {
                add(&mut all, Phase::Assist, &format!("{role}-{}", index + 1), method, epochs("pretrain"));
            }
        }
    }
    all
}

fn add(all: &mut Vec<Start>, phase: Phase, role: &str, method: &toml::Value, epochs: i64) {
    let Some((label, starts)) = read(method) else { return };
    for (index, start) in starts.into_iter().enumerate().filter(|(_, start)| i64::from(*start) < epochs) {
        let (role, method, epoch) = (role.to_string(), label.clone(), u64::from(start) + 1);
        all.push(Start { phase, role, method, number: index + 2, epoch });
    }
}

/// A method's label and the first epochs of its later phases, counted from 0.
fn read(method: &toml::Value) -> Option<(String, Vec<u32>)> {
    let table = method.as_table()?;
    let name = table.get("name")?.as_str()?;
    let label = table.get("label").and_then(toml::Value::as_str).unwrap_or(name);
    let description = distill::find(name)?;
    let chosen = table.iter().filter(|(key, _)| !["name", "label", "weights"].contains(&key.as_str()));
    let values: Option<serde_json::Map<String, serde_json::Value>> =
        chosen.map(|(key, value)| Some((key.clone(), serde_json::to_value(value).ok()?))).collect();
    let hyperparameters = description.from_json(&values?).ok()?;
    Some((label.to_string(), (description.phases)(&hyperparameters)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_begin_where_the_config_says_and_only_within_the_training() {
        let config = "[classroom]\npeers = [\"resnet8\", { model = \"resnet8\", taught_by = { name = \"ca_mkd\", feature_start = 1 } }]\n\
             [pretrain]\nepochs = 4\n[train]\nepochs = 6\n[[methods]]\nname = \"kd\"\n\
             [[methods]]\nname = \"ca_mkd\"\nlabel = \"late\"\nfeature_start = 3\n\
             [[methods]]\nname = \"ca_mkd\"\nlabel = \"never\"\nfeature_start = 6\n";
        let all = starts(&config.parse().unwrap());
        let told: Vec<_> =
            all.iter().map(|one| (one.phase, one.role.as_str(), one.method.as_str(), one.epoch)).collect();
        assert_eq!(told, [(Phase::Distil, "student", "late", 4), (Phase::Assist, "peer-2", "ca_mkd", 2)]);
        assert_eq!(all[0].mark("late").text, "phase 2 of late begins with epoch 4");
    }
}
