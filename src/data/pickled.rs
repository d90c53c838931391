//! What a pickle of the CIFAR files can hold.
//!
//! The "python" versions of CIFAR are pickles of protocol 2 as written by Python 2: dictionaries of strings, lists of
//! integers, and one numpy array of bytes. This reader knows those, and the ways that the same data takes when it is
//! saved again. Anything else is an error with its byte.

use crate::pickle::{Id, Name, Pickle, Value};
use crate::stream::ByteStream;
use crate::{Error, Result};

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

/// A dictionary that was pickled.
pub(super) struct Pickled(Pickle);

impl Pickled {
    /// Reads the whole stream.
    pub(super) fn read(mut stream: ByteStream) -> Result<Self> {
        let pickle = Pickle::read(&mut stream)?;
        stream.expect_end("the end of the pickle")?;
        if let Some((id, name)) = pickle.globals().find(|(_, name)| !is_known(name)) {
            return Err(pickle
                .error(id, format!("the pickle asks for `{name}`, which no CIFAR file needs"))
                .help("nothing in the file was executed; do not open it elsewhere either"));
        }
        Ok(Self(pickle))
    }

    /// An error at byte `place`.
    pub(super) fn error_at(&self, place: u64, message: impl std::fmt::Display) -> Error {
        self.0.error_at(place, message)
    }

    /// An error about what stands at `key`.
    pub(super) fn error_about(&self, key: &str, message: impl std::fmt::Display) -> Error {
        self.get(key).map_or_else(|error| error, |id| self.0.error(id, message))
    }

    /// The value of `key` in the dictionary.
    fn get(&self, key: &str) -> Result<Id> {
        let Self(pickle) = self;
        let Some(entries) = pickle.entries(pickle.root) else {
            return Err(pickle.error(pickle.root, "the pickle holds no dictionary"));
        };
        pickle.get(pickle.root, key).ok_or_else(|| {
            let keys = entries.iter().filter_map(|(key, _)| pickle.text(*key)).map(String::from_utf8_lossy);
            let keys: Vec<_> = keys.collect();
            let message = format!("the dictionary has no `{key}`; it has: {}", keys.join(", "));
            pickle.error(pickle.root, message)
        })
    }

    fn list(&self, key: &str) -> Result<&[Id]> {
        let id = self.get(key)?;
        self.0.items(id).ok_or_else(|| self.0.error(id, format!("`{key}` is not a list")))
    }

    /// The numbers in the list of `key`, each with its byte.
    pub(super) fn integers(&self, key: &str) -> Result<Vec<(i64, u64)>> {
        let wrong = |id: Id| self.0.error(id, format!("`{key}` holds something that is not an integer"));
        let number = |id: &Id| self.0.integer(*id).map(|number| (number, self.0.place(*id))).ok_or_else(|| wrong(*id));
        self.list(key)?.iter().map(number).collect()
    }

    /// The strings in the list of `key`.
    pub(super) fn strings(&self, key: &str) -> Result<Vec<String>> {
        let wrong = |id: Id| self.0.error(id, format!("`{key}` holds something that is not a string"));
        let string =
            |id: &Id| self.0.text(*id).map(|text| String::from_utf8_lossy(text).into_owned()).ok_or_else(|| wrong(*id));
        self.list(key)?.iter().map(string).collect()
    }

    /// Takes the array of `key` out of the pickle.
    pub(super) fn take_array(&mut self, key: &str) -> Result<Array> {
        let id = self.get(key)?;
        let Self(pickle) = self;
        let wrong = || pickle.error(id, format!("`{key}` is not an array of bytes"));
        let (name, made) = pickle.made(id).ok_or_else(wrong)?;
        let (shape, element, order, bytes) = match name.name.as_str() {
            // Its content is in its state: version, shape, element type, whether columns come first, bytes.
            "_reconstruct" => match made.state.and_then(|state| pickle.items(state)) {
                Some([_, shape, element, order, bytes]) => (*shape, *element, *order, *bytes),
                _ => return Err(wrong()),
            },
            "_frombuffer" => match made.arguments[..] {
                [bytes, element, shape, order] => (shape, element, order, bytes),
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        };
        let column_major = match pickle.value(order) {
            Value::Integer(1) | Value::Bool(true) => true,
            Value::Text(order) => order == b"F",
            _ => false,
        };
        let extent = |id: &Id| pickle.integer(*id).and_then(|extent| usize::try_from(extent).ok());
        let shape: Option<Vec<usize>> = pickle.items(shape).and_then(|shape| shape.iter().map(extent).collect());
        let Some([rows, columns]) = shape.as_deref().and_then(|shape| <[usize; 2]>::try_from(shape).ok()) else {
            return Err(pickle.error(id, "the array has not two dimensions"));
        };
        self.expect_bytes(element)?;
        let bytes = self.take_bytes(bytes)?;
        if rows.checked_mul(columns) != Some(bytes.len()) {
            let message = format!("the array declares {rows} x {columns} bytes, but holds {}", bytes.len());
            return Err(self.0.error(id, message));
        }
        Ok(Array { rows, columns, column_major, bytes })
    }

    /// Refuses an element type other than bytes.
    fn expect_bytes(&self, element: Id) -> Result<()> {
        let Self(pickle) = self;
        let written = match pickle.made(element) {
            Some((name, made)) if name.name == "dtype" => made.arguments.first().and_then(|id| pickle.text(*id)),
            _ => return Err(pickle.error(element, "the array has no element type")),
        };
        match written {
            Some(b"u1" | b"|u1") => Ok(()),
            other => {
                let other = String::from_utf8_lossy(other.unwrap_or(b"?")).into_owned();
                Err(pickle.error(element, format!("an array of type `{other}`; expected bytes (`u1`)")))
            }
        }
    }

    /// The bytes of an object: as they stand there, or as Python 3 writes them in protocol 2, a text of which each letter
    /// is one.
    fn take_bytes(&mut self, id: Id) -> Result<Vec<u8>> {
        let Self(pickle) = self;
        if let Some(bytes) = pickle.take_text(id) {
            return Ok(bytes);
        }
        let encoded = pickle.made(id).filter(|(name, _)| name.name == "encode").and_then(|(_, made)| {
            let text = std::str::from_utf8(pickle.text(*made.arguments.first()?)?).ok()?;
            let is_latin = pickle.text(*made.arguments.get(1)?)? == b"latin1";
            let bytes = || text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect();
            if is_latin { bytes() } else { None }
        });
        encoded.ok_or_else(|| pickle.error(id, "the array's content is no bytes"))
    }
}

/// Whether a file of CIFAR may ask for it.
fn is_known(name: &Name) -> bool {
    let [core, moved] = ["numpy.core", "numpy._core"].map(|core| name.module.strip_prefix(core));
    match (core.or(moved), name.name.as_str()) {
        (Some(".multiarray"), "_reconstruct") | (Some(".numeric"), "_frombuffer") => true,
        (_, "ndarray" | "dtype") => name.module == "numpy",
        (_, "encode") => name.module == "_codecs",
        _ => false,
    }
}
