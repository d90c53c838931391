//! Reads a table key by key, remembers which keys were asked for, and reports the others with the nearest valid one.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;

use super::tree::{Entry, Node, Place, Value};
use crate::distill::{Kind, Raw, Setting};
use crate::error::{Error, Result, nearest};

/// A table being read.
pub struct Reader<'a> {
    entries: &'a [Entry],
    place: &'a Place,
    path: String,
    known: Vec<&'a str>,
}

/// One setting being read, with its dotted key for messages.
#[derive(Clone)]
pub struct Item<'a> {
    node: &'a Node,
    path: String,
}

impl<'a> Reader<'a> {
    /// Reads the table at the root of a tree.
    ///
    /// # Errors
    /// Where it is no table.
    pub fn root(node: &'a Node) -> Result<Self> {
        Item { node, path: String::new() }.table()
    }

    /// The setting `key`, if it is written.
    pub fn take(&mut self, key: &'a str) -> Option<Item<'a>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Item { node: &entry.node, path: join(&self.path, key) })
    }

    /// What `read` makes of the setting `key`, or `default` where it is not written.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn or<T>(&mut self, key: &'a str, default: T, read: impl FnOnce(Item<'a>) -> Result<T>) -> Result<T> {
        self.take(key).map_or(Ok(default), read)
    }

    /// The setting `key`, which has to be written.
    ///
    /// # Errors
    /// Where it is not.
    pub fn required(&mut self, key: &'a str) -> Result<Item<'a>> {
        self.take(key).ok_or_else(|| self.error(format!("`{}` is missing", join(&self.path, key))))
    }

    /// An error about the table as a whole.
    pub fn error(&self, message: impl Into<String>) -> Error {
        self.place.point(Error::request(message), "in this table")
    }

    /// Ends the reading of a table.
    ///
    /// # Errors
    /// Where a key is written that was never asked for.
    pub fn finish(self) -> Result<()> {
        self.finish_as("no key here is called that")
    }

    /// [`Reader::finish`] with a label of its own, such as "schedule `cosine` has no such key".
    ///
    /// # Errors
    /// As [`Reader::finish`].
    pub fn finish_as(self, label: &str) -> Result<()> {
        let Some(unknown) = self.entries.iter().find(|entry| !self.known.contains(&entry.key.as_str())) else {
            return Ok(());
        };
        let error = Error::request(format!("unknown key `{}`", join(&self.path, &unknown.key)));
        Err(unknown.place.point(error.suggest(&unknown.key, self.known.iter().copied()), label))
    }
}

impl<'a> Item<'a> {
    /// Whether a table is written here.
    pub fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Table(_))
    }

    /// Whether a text is written here.
    pub fn is_text(&self) -> bool {
        matches!(self.node.value, Value::String(_))
    }

    /// An error about this setting.
    pub fn error(&self, message: impl AsRef<str>) -> Error {
        let message = match self.path.as_str() {
            "" => message.as_ref().to_string(),
            path => format!("{path}: {}", message.as_ref()),
        };
        self.node.place.point(Error::request(message), "here")
    }

    fn expected(&self, what: &str) -> Error {
        self.error(format!("expected {what}, found {}", self.node.value.describe()))
    }

    /// A table.
    ///
    /// # Errors
    /// Where something else is written.
    pub fn table(self) -> Result<Reader<'a>> {
        match &self.node.value {
            Value::Table(entries) => {
                Ok(Reader { entries, place: &self.node.place, path: self.path, known: Vec::new() })
            }
            _ => Err(self.expected("a table")),
        }
    }

    /// A list, entry by entry.
    ///
    /// # Errors
    /// Where something else is written.
    pub fn list(&self) -> Result<Vec<Item<'a>>> {
        match &self.node.value {
            Value::Array(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, node)| Item { node, path: format!("{}.{index}", self.path) })
                .collect()),
            _ => Err(self.expected("a list")),
        }
    }

    /// A list whose entries `read` reads.
    ///
    /// # Errors
    /// Where something else is written, and those of `read`.
    pub fn list_of<T>(&self, read: impl FnMut(Item<'a>) -> Result<T>) -> Result<Vec<T>> {
        self.list()?.into_iter().map(read).collect()
    }

    /// A text.
    ///
    /// # Errors
    /// Where something else is written.
    pub fn text(&self) -> Result<&'a str> {
        match &self.node.value {
            Value::String(text) => Ok(text),
            _ => Err(self.expected("a text in quotes")),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// Where something else is written.
    pub fn flag(&self) -> Result<bool> {
        match self.node.value {
            Value::Boolean(flag) => Ok(flag),
            _ => Err(self.expected("true or false")),
        }
    }

    /// `true` or `false`, or the text `open`, which leaves the choice open: `None`.
    ///
    /// # Errors
    /// Where something else is written.
    pub fn flag_or(&self, open: &str) -> Result<Option<bool>> {
        match &self.node.value {
            Value::Boolean(flag) => Ok(Some(*flag)),
            Value::String(text) if text == open => Ok(None),
            _ => Err(self.expected(&format!("true, false or \"{open}\""))),
        }
    }

    /// A whole number in `range`.
    ///
    /// # Errors
    /// Where something else is written, or a number outside of it.
    pub fn integer(&self, range: impl RangeBounds<i64>) -> Result<i64> {
        match self.node.value {
            Value::Integer(number) if range.contains(&number) => Ok(number),
            _ => Err(self.expected(&format!("a whole number{}", describe_range(&range)))),
        }
    }

    /// A finite number in `range`.
    ///
    /// # Errors
    /// Where something else is written, or a number outside of it.
    pub fn number(&self, range: impl RangeBounds<f64>) -> Result<f64> {
        let number = match self.node.value {
            Value::Float(number) => number,
            Value::Integer(number) => number as f64,
            _ => f64::NAN,
        };
        if number.is_finite() && range.contains(&number) {
            return Ok(number);
        }
        Err(self.expected(&format!("a number{}", describe_range(&range))))
    }

    /// The value of a method's hyperparameter.
    ///
    /// # Errors
    /// Where `kind` does not take what is written.
    pub fn setting(&self, kind: &Kind) -> Result<Setting> {
        let numbers = self.numbers();
        let raw = match &self.node.value {
            Value::String(text) => Raw::Text(text),
            Value::Integer(number) => Raw::Integer(*number),
            Value::Float(number) => Raw::Number(*number),
            Value::Boolean(flag) => Raw::Flag(*flag),
            Value::Array(_) => numbers.as_deref().map_or(Raw::Compound, Raw::Numbers),
            Value::Table(_) => Raw::Compound,
        };
        kind.accept(raw).ok_or_else(|| {
            let error = self.expected(&kind.expected());
            match kind.nearest(raw) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error,
            }
        })
    }

    /// A list of nothing but numbers, if it is one.
    fn numbers(&self) -> Option<Vec<f64>> {
        let Value::Array(items) = &self.node.value else { return None };
        let number = |node: &Node| match node.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        };
        items.iter().map(number).collect()
    }

    /// A path, made absolute: a relative one starts at the folder of the file that names it.
    ///
    /// # Errors
    /// Where no text is written, an empty one, or the path is not UTF-8 once absolute.
    pub fn file(&self) -> Result<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            return Err(self.error("expected a path, found an empty text"));
        }
        self.absolute(text)
    }

    /// `text` as an absolute path, as [`Item::file`] makes it.
    ///
    /// # Errors
    /// Where the path cannot be made absolute, or is not UTF-8 then.
    pub fn absolute(&self, text: &str) -> Result<PathBuf> {
        let path = std::path::absolute(self.node.place.source.folder.join(text))
            .map_err(|error| self.error(format!("{text} cannot be made an absolute path: {error}")))?;
        match path.to_str() {
            Some(_) => Ok(path),
            None => Err(self.error(format!("{} is not UTF-8, so a config cannot hold it", path.display()))),
        }
    }

    /// One of several names, each standing for a value.
    ///
    /// # Errors
    /// Where another one is written, with the nearest.
    pub fn one_of<T: Clone>(&self, what: &str, names: &[(&str, T)]) -> Result<T> {
        let text = self.text()?;
        match names.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(value.clone()),
            None => Err(self.unknown(what, names.iter().map(|(name, _)| *name))),
        }
    }

    /// The error for a text that is none of `names`: says which is nearest and which there are.
    pub fn unknown<'n>(&self, what: &str, names: impl IntoIterator<Item = &'n str>) -> Error {
        let Ok(text) = self.text() else { return self.expected("a text in quotes") };
        let names: Vec<&str> = names.into_iter().collect();
        let all = names.join(", ");
        let help = match nearest(text, names.iter().copied()) {
            Some(near) if names.len() <= 12 => format!("did you mean `{near}`? There are: {all}"),
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expected one of: {all}"),
        };
        self.error(format!("unknown {what} `{text}`")).help(help)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

/// " from 1 to 8", " above 0 and below 1", " of 0 or more", or nothing for all numbers.
pub fn describe_range<T: Debug>(range: &impl RangeBounds<T>) -> String {
    let plain = |bound: &T| {
        let text = format!("{bound:?}");
        text.strip_suffix(".0").map(str::to_string).unwrap_or(text)
    };
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(low), Bound::Included(high)) => format!(" from {} to {}", plain(low), plain(high)),
        (Bound::Included(low), Bound::Excluded(high)) => format!(" from {} to below {}", plain(low), plain(high)),
        (Bound::Included(low), Bound::Unbounded) => format!(" of {} or more", plain(low)),
        (Bound::Excluded(low), Bound::Included(high)) => format!(" above {} and up to {}", plain(low), plain(high)),
        (Bound::Excluded(low), Bound::Excluded(high)) => format!(" above {} and below {}", plain(low), plain(high)),
        (Bound::Excluded(low), Bound::Unbounded) => format!(" above {}", plain(low)),
        (Bound::Unbounded, Bound::Included(high)) => format!(" of at most {}", plain(high)),
        (Bound::Unbounded, Bound::Excluded(high)) => format!(" below {}", plain(high)),
        (Bound::Unbounded, Bound::Unbounded) => String::new(),
    }
}
