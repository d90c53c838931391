//! Settings as a tree that remembers where each one was written: in which text, at which bytes.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

/// A text that settings come from: a config file, a preset or one `--set`.
#[derive(Debug)]
pub struct Source {
    /// What the text is called in messages.
    pub name: String,
    /// The text itself.
    pub text: String,
    /// Where relative paths in the text start.
    pub folder: PathBuf,
}

/// Bytes of a [`Source`].
#[derive(Clone, Debug)]
pub struct Place {
    /// The text.
    pub source: Arc<Source>,
    /// Bytes of it.
    pub span: Range<usize>,
}

impl Place {
    /// `error`, pointing here.
    pub fn point(&self, error: Error, label: &str) -> Error {
        error.at(&self.source.name, &self.source.text, self.span.clone(), label)
    }
}

/// One setting, or a table or list of them.
#[derive(Clone, Debug)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where.
    pub place: Place,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// A text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction or exponent.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    Array(Vec<Node>),
    /// A table, in the order of its keys' places.
    Table(Vec<Entry>),
}

/// A key of a table with its setting.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key was written.
    pub place: Place,
    /// What it was set to.
    pub node: Node,
}

impl Value {
    /// What kind of value this is, with the value where it is short: for messages.
    pub fn describe(&self) -> String {
        match self {
            Value::String(text) => format!("the text \"{text}\""),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            Value::Array(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
        }
    }
}

impl Node {
    /// Parses a whole TOML text called `name`, whose relative paths start at `folder`.
    ///
    /// # Errors
    /// Where the text is not TOML, pointing at the place.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Self> {
        // The span of the whole document would be underlined line by line: point at its first byte instead.
        let source = Arc::new(Source { name: name.into(), text: text.into(), folder: folder.into() });
        match DeTable::parse(text) {
            Ok(table) => {
                let place = Place { source: source.clone(), span: 0..0 };
                Ok(Self { value: table_value(table.into_inner(), &source, 0)?, place })
            }
            Err(error) => {
                let place = Place { source, span: error.span().unwrap_or(0..0) };
                Err(place.point(Error::request(format!("{name} is not TOML: {}", error.message())), "here"))
            }
        }
    }

    /// Applies one `--set key=value`: `key` is dotted, a list's entries are named by number, `value` is TOML, else a
    /// text. Tables on the way are made where they are missing.
    ///
    /// # Errors
    /// Where the key leads through something that is neither table nor list, or past the end of a list.
    pub fn set(&mut self, key: &str, value: &str, folder: &Path) -> Result<()> {
        let text = format!("{key}={value}");
        let source = Arc::new(Source { name: "--set".into(), text, folder: folder.into() });
        let key_place = Place { source: source.clone(), span: 0..key.len() };
        let value_start = key.len() + 1;
        let as_text = || Node {
            value: Value::String(value.into()),
            place: Place { source: source.clone(), span: value_start..value_start + value.len() },
        };
        let new = match DeValue::parse(value) {
            Ok(parsed) => node(parsed, &source, value_start)?,
            Err(_) => as_text(),
        };
        let mut here = self;
        let mut path = String::new();
        for segment in key.split('.') {
            if segment.is_empty() {
                let error = Error::request(format!("--set {key}={value}: the key has an empty part"));
                return Err(key_place.point(error.help("keys are written like train.optimizer.lr"), "this key"));
            }
            here = match &mut here.value {
                Value::Table(entries) => {
                    let index = entries.iter().position(|entry| entry.key == segment).unwrap_or_else(|| {
                        let empty = Node { value: Value::Table(Vec::new()), place: key_place.clone() };
                        entries.push(Entry { key: segment.into(), place: key_place.clone(), node: empty });
                        entries.len() - 1
                    });
                    entries[index].place = key_place.clone();
                    &mut entries[index].node
                }
                Value::Array(items) => {
                    let count = items.len();
                    segment.parse::<usize>().ok().and_then(|index| items.get_mut(index)).ok_or_else(|| {
                        let message = format!("`{path}` is a list of {count}: `{segment}` is none of its entries");
                        key_place.point(Error::request(message).help("entries count from 0"), "this key")
                    })?
                }
                other => {
                    let message = format!("`{path}` is {}, so nothing can be set inside it", other.describe());
                    let help = format!("set it as a whole, for instance --set '{path}={{ ... }}'");
                    return Err(key_place.point(Error::request(message).help(help), "this key"));
                }
            };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(segment);
        }
        *here = new;
        Ok(())
    }
}

/// Turns the parser's value into ours; its spans start at byte `offset` of `source`.
fn node(spanned: Spanned<DeValue<'_>>, source: &Arc<Source>, offset: usize) -> Result<Node> {
    let span = spanned.span();
    let place = Place { source: source.clone(), span: span.start + offset..span.end + offset };
    let out_of_range = |text: &str| place.point(Error::request(format!("{text} is not a number we can hold")), "here");
    let value = match spanned.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(
            i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| out_of_range(number.as_str()))?,
        ),
        DeValue::Float(number) => Value::Float(number.as_str().parse().map_err(|_| out_of_range(number.as_str()))?),
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Datetime(date) => {
            return Err(place.point(Error::request(format!("{date} is a date, which no key here takes")), "here"));
        }
        DeValue::Array(items) => {
            Value::Array(items.into_iter().map(|item| node(item, source, offset)).collect::<Result<_>>()?)
        }
        DeValue::Table(table) => table_value(table, source, offset)?,
    };
    Ok(Node { value, place })
}

fn table_value(table: DeTable<'_>, source: &Arc<Source>, offset: usize) -> Result<Value> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let span = key.span();
        let place = Place { source: source.clone(), span: span.start + offset..span.end + offset };
        entries.push(Entry { key: key.into_inner().into_owned(), place, node: node(value, source, offset)? });
    }
    entries.sort_by_key(|entry| entry.place.span.start);
    Ok(Value::Table(entries))
}
