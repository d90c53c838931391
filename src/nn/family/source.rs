//! A TOML text that remembers where everything stands, and tables whose keys are all accounted for.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

/// The text of one file, for messages that point into it.
#[derive(Debug)]
pub struct Source {
    /// The file's name as the user knows it.
    pub file: String,
    /// Its whole text.
    pub text: String,
}

impl Source {
    /// A bad request, pointing at bytes `span`.
    pub fn error(&self, span: &Range<usize>, message: impl Into<String>, label: &str) -> Error {
        Error::request(message).at(&self.file, &self.text, span.clone(), label)
    }

    /// Reads the text as a TOML document.
    pub fn parse(&self) -> Result<Spanned<DeTable<'_>>> {
        DeTable::parse(&self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            self.error(&span, error.message().trim().replace('\n', ", "), "here")
        })
    }

    /// The table behind `value`, or an error that says what `what` should have been.
    pub fn table<'a>(&'a self, value: &'a Spanned<DeValue<'a>>, what: &str) -> Result<Table<'a>> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(Table::new(self, table, value.span())),
            _ => Err(self.mistyped(value, what, "a table")),
        }
    }

    /// The items of the array behind `value`.
    pub fn array<'a>(&self, value: &'a Spanned<DeValue<'a>>, what: &str) -> Result<Vec<&'a Spanned<DeValue<'a>>>> {
        match value.get_ref() {
            DeValue::Array(items) => Ok(items.iter().collect()),
            _ => Err(self.mistyped(value, what, "an array")),
        }
    }

    /// The string behind `value`.
    pub fn string<'a>(&self, value: &'a Spanned<DeValue<'a>>, what: &str) -> Result<&'a str> {
        value.get_ref().as_str().ok_or_else(|| self.mistyped(value, what, "a string"))
    }

    /// The number behind `value`, written as a float or an integer.
    pub fn number(&self, value: &Spanned<DeValue<'_>>, what: &str) -> Result<f64> {
        let digits = match value.get_ref() {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            _ => return Err(self.mistyped(value, what, "a number")),
        };
        digits.parse().map_err(|_| self.mistyped(value, what, "a number"))
    }

    /// "`what` must be ..., not ...".
    pub fn mistyped(&self, value: &Spanned<DeValue<'_>>, what: &str, wanted: &str) -> Error {
        let found = value.get_ref().type_str();
        let message =
            format!("{what} must be {wanted}, not {} {found}", if found.starts_with(['a', 'i']) { "an" } else { "a" });
        self.error(&value.span(), message, &format!("expected {wanted}"))
    }
}

/// A table being read: keys are taken one by one, and what is left over at the end is unknown.
pub struct Table<'a> {
    source: &'a Source,
    entries: Vec<Entry<'a>>,
    known: Vec<&'static str>,
    /// Where the table stands.
    pub span: Range<usize>,
}

/// One key of a [`Table`] and its value.
pub struct Entry<'a> {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Range<usize>,
    /// The value, with its place.
    pub value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Table<'a> {
    /// The keys of `table` in the order of the text.
    pub fn new(source: &'a Source, table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        let entry = |(key, value): (&Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            value,
        };
        let mut entries: Vec<Entry<'a>> = table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.key_span.start);
        Self { source, entries, known: Vec::new(), span }
    }

    /// Takes the value of `key`, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        let position = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(position).value)
    }

    /// Takes the value of `key`, which must be there.
    pub fn require(&mut self, key: &'static str, what: &str) -> Result<&'a Spanned<DeValue<'a>>> {
        let span = self.span.clone();
        self.take(key).ok_or_else(|| self.source.error(&span, format!("{what} needs `{key}`"), "missing here"))
    }

    /// Whether `key` is there and not yet taken.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Takes all keys not yet taken.
    pub fn drain(&mut self) -> Vec<Entry<'a>> {
        std::mem::take(&mut self.entries)
    }

    /// An error if a key was not taken.
    pub fn reject_rest(&self, what: &str) -> Result<()> {
        match self.entries.first() {
            Some(entry) => Err(self.unknown(entry, what)),
            None => Ok(()),
        }
    }

    fn unknown(&self, entry: &Entry<'_>, what: &str) -> Error {
        self.source
            .error(&entry.key_span, format!("{what} has no key `{}`", entry.key), "unknown key")
            .suggest(&entry.key, self.known.iter().copied())
    }
}
