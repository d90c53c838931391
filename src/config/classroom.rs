//! Who learns from whom: the table `[classroom]`.

use std::path::{Path, PathBuf};

use super::reader::{Item, Reader};
use crate::error::Result;
use crate::nn::zoo;

/// Who learns from whom.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassroomConfig {
    /// The model that is wanted.
    pub student: ModelChoice,
    /// Large frozen models.
    pub teachers: Vec<ModelChoice>,
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
}

impl ClassroomConfig {
    /// The mentors with their roles, in their fixed order: `teacher`, `teacher-2`, ..., `peer-1`, `peer-2`, ...
    pub fn mentors(&self) -> Vec<(String, &ModelChoice)> {
        let teachers = self.teachers.iter().enumerate().map(|(index, choice)| match index {
            0 => ("teacher".to_string(), choice),
            _ => (format!("teacher-{}", index + 1), choice),
        });
        let peers = self.peers.iter().enumerate().map(|(index, choice)| (format!("peer-{}", index + 1), choice));
        teachers.chain(peers).collect()
    }

    pub(super) fn read(mut table: Reader<'_>) -> Result<Self> {
        let student = ModelChoice::read(table.required("student")?)?;
        let teachers = table.or("teachers", Vec::new(), |item| item.list_of(ModelChoice::read))?;
        let peers = table.or("peers", Vec::new(), |item| item.list_of(ModelChoice::read))?;
        table.finish()?;
        Ok(Self { student, teachers, peers })
    }
}

impl ModelChoice {
    fn read(item: Item<'_>) -> Result<Self> {
        if !item.is_table() {
            return Ok(Self { model: model(&item)?, weights: None });
        }
        let mut table = item.table()?;
        let model = model(&table.required("model")?)?;
        let weights = table.take("weights").map(|item| item.file()).transpose()?;
        table.finish()?;
        Ok(Self { model, weights })
    }
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
