//! Who learns from whom: the table `[classroom]`.

use std::path::{Path, PathBuf};

use super::methods::MethodConfig;
use super::reader::{Item, Reader};
use crate::distill::{METHODS, MethodDescription, Use};
use crate::error::Result;
use crate::nn::zoo;

/// Who learns from whom.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassroomConfig {
    /// The model that is wanted.
    pub student: ModelChoice,
    /// Large frozen models.
    pub teachers: Vec<ModelChoice>,
    /// Models between teacher and student, largest first, that were taught themselves: each by `taught_by`, or else by
    /// the method `takd` from the one before it.
    pub assistants: Vec<ModelChoice>,
    /// Frozen models that need not be larger than the student.
    pub peers: Vec<ModelChoice>,
}

/// A model, and where its weights come from.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelChoice {
    /// A name of the zoo, or the absolute path of a TOML file that describes models, with `:model` where it has several.
    pub model: String,
    /// A file of weights or an earlier run's folder, absolute. None: a mentor is pretrained in the same run, a
    /// student starts from its seed.
    pub weights: Option<PathBuf>,
    /// The method by which an assistant or a peer learns from teachers and assistants, instead of from labels alone.
    pub taught_by: Option<MethodConfig>,
}

impl ClassroomConfig {
    /// The mentors with their roles, in their fixed order: `teacher`, `teacher-2`, ..., `assistant-1`, ..., `peer-1`, ...
    pub fn mentors<'a>(&'a self) -> Vec<(String, &'a ModelChoice)> {
        let teachers = self.teachers.iter().enumerate().map(|(index, choice)| match index {
            0 => ("teacher".to_string(), choice),
            _ => (format!("teacher-{}", index + 1), choice),
        });
        let numbered = |role: &'static str, choices: &'a [ModelChoice]| {
            choices.iter().enumerate().map(move |(index, choice)| (format!("{role}-{}", index + 1), choice))
        };
        let (assistants, peers) = (numbered("assistant", &self.assistants), numbered("peer", &self.peers));
        teachers.chain(assistants).chain(peers).collect()
    }

    /// Reads the table. `methods` are those of the student: who is taught by the name of one is taught as the student is.
    pub(super) fn read(mut table: Reader<'_>, methods: &[MethodConfig]) -> Result<Self> {
        let own = |item| ModelChoice::read(item, None);
        let student = own(table.required("student")?)?;
        let teachers = table.or("teachers", Vec::new(), |item| item.list_of(own))?;
        let taught = |item| ModelChoice::read(item, Some((methods, teachers.len())));
        let mut assistants = table.or("assistants", Vec::new(), |item| item.list_of(taught))?;
        for assistant in assistants.iter_mut().filter(|one| one.weights.is_none() && one.taught_by.is_none()) {
            assistant.taught_by = MethodConfig::known(methods, "takd");
        }
        let peers = table.or("peers", Vec::new(), |item| {
            let peers = item.list_of(taught)?;
            let taught = peers.iter().any(|peer| peer.taught_by.is_some());
            match taught && teachers.is_empty() {
                true => Err(item.error("a peer is taught by a method, and the classroom has no teacher")),
                false => Ok(peers),
            }
        })?;
        if !assistants.is_empty() && teachers.is_empty() {
            return Err(table.error("there are assistants, and no teacher to teach them"));
        }
        table.finish()?;
        Ok(Self { student, teachers, assistants, peers })
    }
}

impl ModelChoice {
    /// `taught`: whether it may have been taught by others, by which of the student's methods, and by how many teachers.
    fn read(item: Item<'_>, taught: Option<(&[MethodConfig], usize)>) -> Result<Self> {
        if !item.is_table() {
            return Ok(Self { model: model(&item)?, weights: None, taught_by: None });
        }
        let mut table = item.table()?;
        let model = model(&table.required("model")?)?;
        let weights = table.take("weights").map(|item| item.file()).transpose()?;
        let taught_by = match taught {
            Some((methods, teachers)) => {
                table.take("taught_by").map(|item| method(&item, methods, teachers)).transpose()?
            }
            None => None,
        };
        table.finish()?;
        Ok(Self { model, weights, taught_by })
    }
}

/// A method by which a mentor may be taught: one that needs a teacher or an assistant and no peers. Its name stands for the
/// student's method of that name, or else for its defaults; a table has hyperparameters of its own.
fn method(item: &Item<'_>, methods: &[MethodConfig], teachers: usize) -> Result<MethodConfig> {
    let fits = |one: &&&MethodDescription| one.needs.mentors() && one.needs.peers == Use::Unused;
    let names = || METHODS.iter().filter(fits).map(|one| one.name);
    let read = match item.is_table() {
        true => MethodConfig::read(item)?,
        false => {
            let known = MethodConfig::known(methods, item.text()?);
            let known = known.ok_or_else(|| item.unknown("method to teach a mentor by", names()))?;
            // What the student's is called in tables is its own.
            MethodConfig { label: known.description.name.into(), ..known }
        }
    };
    let (name, needs) = (read.description.name, read.description.needs);
    if !names().any(|known| known == name) {
        let error = item.error(format!("a mentor cannot be taught by `{name}`, which needs peers or no mentors"));
        return Err(error.help(format!("expected one of: {}", names().collect::<Vec<_>>().join(", "))));
    }
    if teachers < needs.teachers.least() {
        let least = needs.teachers.least();
        let message =
            format!("method `{name}` needs at least {least} entries in classroom.teachers, and there are {teachers}");
        return Err(item.error(message));
    }
    if item.is_table() && read.weights.is_some() {
        return Err(item.error("`weights` is for a student's method; who is taught starts anew"));
    }
    Ok(MethodConfig { weights: None, ..read })
}

/// A name of the zoo stands for itself, a file (`file.toml`, or `file.toml:model` where it has several) for its
/// absolute path.
fn model(item: &Item<'_>) -> Result<String> {
    let text = item.text()?;
    if let Some(file) = zoo::own_file(text).and_then(Path::to_str) {
        let absolute = item.absolute(file)?;
        // `absolute` has checked that the path is UTF-8.
        return Ok(absolute.to_string_lossy().into_owned() + &text[file.len()..]);
    }
    let names = zoo::names();
    match names.iter().any(|name| name == text) {
        true => Ok(text.to_string()),
        false => Err(item.unknown("model", names.iter().map(String::as_str))),
    }
}
