//! Which variant of its kernels each piece of work takes, as a text of TOML.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const FORMAT: &str = "kd-tuning/1";

/// Names of variants by the keys of what they do ([`crate::tape::Variants`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    by_key: BTreeMap<String, String>,
}

/// The file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Table {
    format: String,
    /// The GPU and the kernels, where the choices are theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_on: Option<String>,
    choices: BTreeMap<String, String>,
}

impl Choices {
    /// The variant chosen for `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.by_key.get(key).map(String::as_str)
    }

    /// Chooses `name` for `key`.
    pub fn insert(&mut self, key: impl Into<String>, name: impl Into<String>) {
        self.by_key.insert(key.into(), name.into());
    }

    /// Takes over all of `others`.
    pub fn extend(&mut self, others: &Self) {
        self.by_key.extend(others.by_key.iter().map(|(key, name)| (key.clone(), name.clone())));
    }

    /// Keys and names, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_key.iter().map(|(key, name)| (key.as_str(), name.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nothing is chosen.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The text of a file with these choices. `made_on` names the GPU and the kernels that they are for.
    pub fn to_toml(&self, made_on: Option<&str>) -> String {
        let made_on = made_on.map(str::to_string);
        let table = Table { format: FORMAT.to_string(), made_on, choices: self.by_key.clone() };
        toml::to_string(&table).expect("a table of texts is TOML")
    }

    /// Reads what [`Choices::to_toml`] wrote, for the same `made_on` if there is one.
    ///
    /// # Errors
    /// In words: it is something else, or damaged.
    pub fn parse(text: &str, made_on: Option<&str>) -> Result<Self, String> {
        let table: Table = toml::from_str(text).map_err(|error| error.message().to_string())?;
        if table.format != FORMAT {
            return Err(format!("the format is `{}`, expected `{FORMAT}`", table.format));
        }
        match (made_on, table.made_on.as_deref()) {
            (Some(expected), found) if found != Some(expected) => {
                Err(format!("it is for {}, expected {expected}", found.unwrap_or("nothing that it names")))
            }
            _ => Ok(Self { by_key: table.choices }),
        }
    }
}
