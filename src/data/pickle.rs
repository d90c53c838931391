//! Reads what a pickle of the CIFAR files can hold, and executes nothing.
//!
//! A pickle is a program for a stack machine (CPython, Lib/pickletools.py describes every opcode). The "python"
//! versions of CIFAR are protocol 2 as written by Python 2: dictionaries of strings, lists of integers, and one numpy
//! array of bytes. This reader knows those opcodes, and those of newer protocols that the same data takes when it is
//! saved again. Anything else is an error with its byte.

mod machine;

use machine::Machine;

use super::stream::ByteStream;
use crate::{Error, Result};

/// More objects than any such file has (CIFAR-100 has some 200,000).
const MOST_VALUES: usize = 1 << 23;

/// An object of a pickle, by its number.
type Id = usize;

/// An object that these files can hold. Objects refer to each other by number, so cycles are harmless.
enum Value {
    None,
    Bool(bool),
    Integer(i64),
    /// `str` and `bytes` alike.
    Text(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    Global(Global),
    /// numpy's unsigned bytes.
    ByteType,
    /// Until it is built it has no content.
    Array(Option<Array>),
}

/// A name that a pickle may ask for. None of them is called: their meaning is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Global {
    /// Makes an empty array.
    Reconstruct,
    /// An array of given bytes.
    FromBuffer,
    /// The type of arrays.
    NdArray,
    /// The type of element types.
    Dtype,
    /// Python 3's way to write bytes in protocol 2.
    Encode,
}

/// A numpy array of bytes with two dimensions.
#[derive(Default)]
pub(super) struct Array {
    rows: usize,
    columns: usize,
    column_major: bool,
    bytes: Vec<u8>,
}

impl Array {
    /// Number of rows and of columns.
    pub(super) fn extents(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Copies row `row` to `target`, [columns].
    pub(super) fn copy_row(&self, row: usize, target: &mut [u8]) {
        if self.column_major {
            for (column, value) in target.iter_mut().enumerate() {
                *value = self.bytes[column * self.rows + row];
            }
        } else {
            target.copy_from_slice(&self.bytes[row * self.columns..(row + 1) * self.columns]);
        }
    }
}

/// A pickle that was read to its end: a dictionary.
pub(super) struct Pickle {
    name: String,
    values: Vec<Value>,
    /// Byte at which each value begins.
    places: Vec<u64>,
    root: Id,
}

impl Pickle {
    /// Reads the whole stream.
    pub(super) fn read(stream: ByteStream) -> Result<Self> {
        let mut machine = Machine::new(stream);
        let root = machine.run()?;
        machine.stream.expect_end("the end of the pickle")?;
        let name = machine.stream.name().to_string();
        let Machine { values, places, .. } = machine;
        Ok(Self { name, values, places, root })
    }

    /// An error at byte `place`.
    pub(super) fn error_at(&self, place: u64, message: impl std::fmt::Display) -> Error {
        Error::request(format!("{}: byte {place}: {message}", self.name))
    }

    fn error(&self, id: Id, message: impl std::fmt::Display) -> Error {
        self.error_at(self.places[id], message)
    }

    /// The value of `key` in the dictionary.
    fn get(&self, key: &str) -> Result<Id> {
        let Value::Dictionary(entries) = &self.values[self.root] else {
            return Err(self.error(self.root, "the pickle holds no dictionary"));
        };
        let text = |id: Id| match &self.values[id] {
            Value::Text(text) => Some(text.as_slice()),
            _ => None,
        };
        entries.iter().rev().find(|entry| text(entry.0) == Some(key.as_bytes())).map(|entry| entry.1).ok_or_else(|| {
            let keys: Vec<_> = entries.iter().filter_map(|entry| text(entry.0)).map(String::from_utf8_lossy).collect();
            let message = format!("the dictionary has no `{key}`; it has: {}", keys.join(", "));
            self.error(self.root, message)
        })
    }

    fn list(&self, key: &str) -> Result<&[Id]> {
        let id = self.get(key)?;
        match &self.values[id] {
            Value::List(items) | Value::Tuple(items) => Ok(items),
            _ => Err(self.error(id, format!("`{key}` is not a list"))),
        }
    }

    /// The numbers in the list of `key`, each with its byte.
    pub(super) fn integers(&self, key: &str) -> Result<Vec<(i64, u64)>> {
        let number = |id: &Id| match self.values[*id] {
            Value::Integer(number) => Ok((number, self.places[*id])),
            _ => Err(self.error(*id, format!("`{key}` holds something that is not an integer"))),
        };
        self.list(key)?.iter().map(number).collect()
    }

    /// The strings in the list of `key`.
    pub(super) fn strings(&self, key: &str) -> Result<Vec<String>> {
        let string = |id: &Id| match &self.values[*id] {
            Value::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            _ => Err(self.error(*id, format!("`{key}` holds something that is not a string"))),
        };
        self.list(key)?.iter().map(string).collect()
    }

    /// Takes the array of `key` out of the pickle.
    pub(super) fn take_array(&mut self, key: &str) -> Result<Array> {
        let id = self.get(key)?;
        match &mut self.values[id] {
            Value::Array(array) if array.is_some() => Ok(array.take().unwrap_or_default()),
            _ => Err(self.error(id, format!("`{key}` is not an array of bytes"))),
        }
    }

    /// An error about what stands at `key`.
    pub(super) fn error_about(&self, key: &str, message: impl std::fmt::Display) -> Error {
        self.get(key).map_or_else(|error| error, |id| self.error(id, message))
    }
}
