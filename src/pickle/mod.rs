//! Reads pickles as inert structures, and executes nothing.
//!
//! A pickle is a program for a stack machine (CPython, Lib/pickletools.py describes every opcode). Where the program asks for
//! a name of some module, or for something to be called, that is written down and not done: whoever reads the structure
//! knows the few names that it may hold, and what they mean.

mod machine;

use crate::Error;

/// An object of a pickle, by its number.
pub(crate) type Id = usize;

/// An object. Objects refer to each other by number, so cycles are harmless.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Integer(i64),
    /// An integer of more than 64 bits, in two's complement, least byte first.
    Large(Vec<u8>),
    Number(f64),
    /// `str` and `bytes` alike.
    Text(Vec<u8>),
    /// A list or a set.
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    /// A name of a module.
    Global(Name),
    /// What calling something would make.
    Made(Made),
    /// Something that is kept outside of the pickle, by what is said about it.
    Persistent(Id),
}

/// A name of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub module: String,
    pub name: String,
}

/// What calling something would make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    /// What would be called.
    pub by: Id,
    pub arguments: Vec<Id>,
    /// What would be set in it, if it is some kind of dictionary.
    pub items: Vec<(Id, Id)>,
    /// What its attributes would be set from.
    pub state: Option<Id>,
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(crate) struct Pickle {
    /// The file's name.
    name: String,
    values: Vec<Value>,
    /// Byte at which each value begins.
    places: Vec<u64>,
    /// What the pickle is of.
    pub root: Id,
}

impl Pickle {
    /// An object.
    pub fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// All objects.
    pub fn ids(&self) -> std::ops::Range<Id> {
        0..self.values.len()
    }

    /// Takes the bytes of a text out, and leaves none.
    pub fn take_text(&mut self, id: Id) -> Option<Vec<u8>> {
        match &mut self.values[id] {
            Value::Text(text) => Some(std::mem::take(text)),
            _ => None,
        }
    }

    /// Byte at which an object begins.
    pub fn place(&self, id: Id) -> u64 {
        self.places[id]
    }

    /// Every name that the pickle asks for, with who asks.
    pub fn globals(&self) -> impl Iterator<Item = (Id, &Name)> {
        self.values.iter().enumerate().filter_map(|(id, value)| match value {
            Value::Global(name) => Some((id, name)),
            _ => None,
        })
    }

    /// What would be called to make an object, and with what; none for other objects.
    pub fn made(&self, id: Id) -> Option<(&Name, &Made)> {
        let Value::Made(made) = self.value(id) else { return None };
        match self.value(made.by) {
            Value::Global(name) => Some((name, made)),
            _ => None,
        }
    }

    /// The text of an object.
    pub fn text(&self, id: Id) -> Option<&[u8]> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number of an object.
    pub fn integer(&self, id: Id) -> Option<i64> {
        match self.value(id) {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// What a list or tuple holds.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// Keys and values of a dictionary, an ordered one too.
    pub fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.value(id) {
            Value::Dictionary(entries) => Some(entries),
            Value::Made(made) if self.made(id).is_some_and(|(name, _)| name.is("collections", "OrderedDict")) => {
                Some(&made.items)
            }
            _ => None,
        }
    }

    /// What a dictionary holds under `key`: the last that was set.
    pub fn get(&self, id: Id, key: &str) -> Option<Id> {
        let entries = self.entries(id)?;
        entries.iter().rev().find(|(name, _)| self.text(*name) == Some(key.as_bytes())).map(|(_, value)| *value)
    }

    /// An error at byte `place`.
    pub fn error_at(&self, place: u64, message: impl std::fmt::Display) -> Error {
        Error::request(format!("{}: byte {place}: {message}", self.name))
    }

    /// An error about an object.
    pub fn error(&self, id: Id, message: impl std::fmt::Display) -> Error {
        self.error_at(self.places[id], message)
    }
}

impl Name {
    /// Whether it is `name` of `module`.
    pub fn is(&self, module: &str, name: &str) -> bool {
        self.module == module && self.name == name
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}
