//! How the student is taught: the tables `[[methods]]`, read against the methods' own descriptions.

use std::path::PathBuf;

use super::classroom::ClassroomConfig;
use super::reader::{Item, Reader};
use super::train::TrainConfig;
use crate::distill::{self, Hyperparameters, Kind, MethodDescription, Setting, Use};
use crate::error::Result;

/// One way in which the student is taught.
#[derive(Clone, Debug)]
pub struct MethodConfig {
    /// What the method says about itself.
    pub description: &'static MethodDescription,
    /// What it is called in files and tables: the method's name unless the config says otherwise, so that one method
    /// can be compared with itself. Unique within a config.
    pub label: String,
    /// The values of its hyperparameters.
    pub hyperparameters: Hyperparameters,
    /// What the method owns, as an earlier run has left it: a file, absolute.
    pub weights: Option<PathBuf>,
}

impl PartialEq for MethodConfig {
    fn eq(&self, other: &Self) -> bool {
        self.description.name == other.description.name
            && self.label == other.label
            && self.hyperparameters == other.hyperparameters
            && self.weights == other.weights
    }
}

impl MethodConfig {
    /// The method called `name` with every hyperparameter at its default.
    pub fn standard(name: &str) -> Option<Self> {
        let description = distill::find(name)?;
        Some(Self { description, label: name.into(), hyperparameters: description.defaults(), weights: None })
    }

    /// The first of `methods` that is called `name` in METHODS, or else that method with its defaults.
    pub(super) fn known(methods: &[Self], name: &str) -> Option<Self> {
        methods.iter().find(|method| method.description.name == name).cloned().or_else(|| Self::standard(name))
    }

    /// What is compared when no method is written: the student alone, and ClassroomKD where there are mentors.
    pub(super) fn standards(classroom: &ClassroomConfig) -> Vec<Self> {
        let names: &[&str] = match classroom.mentors().len() {
            0 => &["cross_entropy"],
            _ => &["cross_entropy", "classroomkd"],
        };
        names.iter().filter_map(|name| Self::standard(name)).collect()
    }

    pub(super) fn read_all(list: &Item<'_>) -> Result<Vec<Self>> {
        let items = list.list()?;
        if items.is_empty() {
            return Err(list.error("expected at least one method, found an empty list"));
        }
        let mut methods: Vec<Self> = Vec::with_capacity(items.len());
        for item in items {
            let method = Self::read(&item)?;
            if methods.iter().any(|earlier| earlier.label == method.label) {
                let message = format!("two methods are called `{}` in files and tables", method.label);
                return Err(item.error(message).help("give one of them a name of its own: label = \"...\""));
            }
            methods.push(method);
        }
        Ok(methods)
    }

    /// Refuses `methods`, which `list` holds, where the classroom lacks what one of them needs.
    pub(super) fn check_needs(methods: &[Self], list: &Item<'_>, classroom: &ClassroomConfig) -> Result<()> {
        for (method, item) in methods.iter().zip(list.list()?) {
            let name = item.table()?.required("name")?;
            needs(method.description, classroom).map_err(|why| name.error(why))?;
        }
        Ok(())
    }

    /// Says which of `methods` would not notice that labels are smoothed.
    pub(super) fn check_labels(methods: &[Self], train: &TrainConfig) -> Result<(), String> {
        let deaf = methods.iter().find(|method| !method.description.takes_smoothed_labels);
        match deaf.filter(|_| train.label_smoothing > 0.0) {
            Some(method) => {
                Err(format!("label_smoothing: method `{}` takes labels as they are", method.description.name))
            }
            None => Ok(()),
        }
    }

    pub(super) fn read(item: &Item<'_>) -> Result<Self> {
        let mut table = item.clone().table()?;
        let name = table.required("name")?;
        let description = distill::find(name.text()?).ok_or_else(|| name.unknown("method", distill::names()))?;
        let label = table.or("label", description.name.to_string(), |item| {
            let text = item.text()?;
            super::check_file_name(text).map_err(|why| item.error(why))?;
            Ok(text.to_string())
        })?;
        let hyperparameters = hyperparameters(&mut table, &name, description)?;
        let weights = table.take("weights").map(|item| item.file()).transpose()?;
        table.finish_as(&format!("method `{}` has no such key", description.name))?;
        Ok(Self { description, label, hyperparameters, weights })
    }
}

/// The hyperparameters of the method that `name` names, from its table.
fn hyperparameters(
    table: &mut Reader<'_>,
    name: &Item<'_>,
    description: &'static MethodDescription,
) -> Result<Hyperparameters> {
    let mut values = description.defaults();
    let mut written = Vec::new();
    for one in description.hyperparameters {
        let Some(item) = table.take(one.name) else { continue };
        match one.kind {
            Kind::Method { .. } if item.is_table() => {
                let mut inner = item.clone().table()?;
                let name = inner.required("name")?;
                let setting = name.setting(&one.kind)?;
                values.set(one.name, setting);
                let mut label = format!("{} = \"{}\" has no such key", one.name, values.choice(one.name));
                match setting {
                    Setting::Method(method) => {
                        let other = distill::find(method).ok_or_else(|| name.unknown("method", distill::names()))?;
                        values.set_method(one.name, method, hyperparameters(&mut inner, &name, other)?);
                    }
                    _ => label += &format!(": what it has are keys of {}", description.name),
                }
                inner.finish_as(&label)?;
            }
            _ => values.set(one.name, item.setting(&one.kind)?),
        }
        written.push((one.name, item));
    }
    match (description.contradiction)(&values) {
        Some((key, why)) => {
            let item = written.iter().find(|(name, _)| *name == key).map(|(_, item)| item);
            Err(item.unwrap_or(name).error(format!("{key}: {why}")))
        }
        None => Ok(values),
    }
}

/// Says what `method` needs and `classroom` lacks.
fn needs(method: &MethodDescription, classroom: &ClassroomConfig) -> Result<(), String> {
    let needs = method.needs;
    let parts = [
        ("classroom.teachers", needs.teachers, classroom.teachers.len()),
        ("classroom.assistants", needs.assistants, classroom.assistants.len()),
        ("classroom.peers", needs.peers, classroom.peers.len()),
    ];
    for (key, part, count) in parts {
        let least = part.least();
        if count < least {
            let (entries, has) = (if least == 1 { "one entry" } else { "two entries" }, words(count));
            let name = method.name;
            return Err(format!("method `{name}` needs at least {entries} in {key}, and the classroom has {has}"));
        }
    }
    let used = || parts.iter().filter(|(_, part, _)| *part != Use::Unused);
    if needs.mentors() && used().all(|(.., count)| *count == 0) {
        let keys: Vec<&str> = used().map(|(key, ..)| *key).collect();
        let (name, keys) = (method.name, keys.join(" or "));
        return Err(format!("method `{name}` needs at least one entry in {keys}, and the classroom has none"));
    }
    Ok(())
}

fn words(count: usize) -> String {
    if count == 0 { "none".into() } else { count.to_string() }
}
