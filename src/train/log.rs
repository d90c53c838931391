//! Lines of JSON: how records become text, and the append-only files that a resumed run cuts back to its checkpoint.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use crate::{Error, Result};

/// `record` as one line of JSON without its newline. Floating point numbers are the shortest text that reads back to
/// the same bits, so equal records give equal bytes.
///
/// # Errors
/// A number that is not finite (JSON has none) is an error that names its field. Records leave out what they do not
/// know; they never write null, but in the list [`PER_CLASS`].
pub fn json_line(record: &impl Serialize) -> Result<String> {
    let mut bytes = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, FiniteOnly::default());
    record.serialize(&mut serializer).map_err(|error| Error::failed(error.to_string()))?;
    Ok(String::from_utf8(bytes).expect("serde_json writes UTF-8"))
}

/// The list in which what is not known is null, since the places of the others count.
const PER_CLASS: &str = "per_class";

/// Serialises a list that is called [`PER_CLASS`].
///
/// # Errors
/// An element that is not finite.
pub fn serialize_per_class<S: Serializer>(list: &[Option<f64>], serializer: S) -> Result<S::Ok, S::Error> {
    match list.iter().flatten().all(|value| value.is_finite()) {
        true => list.serialize(serializer),
        // A formatter could not tell such a number from what is not known.
        false => Err(S::Error::custom(format!("`{PER_CLASS}` is not a finite number"))),
    }
}

/// Compact JSON that refuses null, which is what serde_json makes of NaN and infinity.
#[derive(Default)]
struct FiniteOnly {
    path: Vec<String>,
    in_key: bool,
}

impl Formatter for FiniteOnly {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.path.push(String::new());
        CompactFormatter.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.path.pop();
        CompactFormatter.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.in_key = true;
        self.path.last_mut().expect("a key is inside an object").clear();
        CompactFormatter.begin_object_key(writer, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.in_key = false;
        CompactFormatter.end_object_key(writer)
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if self.in_key {
            self.path.last_mut().expect("a key is inside an object").push_str(fragment);
        }
        CompactFormatter.write_string_fragment(writer, fragment)
    }

    fn write_null<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.path.last().is_some_and(|key| key == PER_CLASS) {
            return CompactFormatter.write_null(writer);
        }
        Err(io::Error::other(format!("`{}` is not a finite number", self.path.join("."))))
    }
}

/// Reads a file of JSON lines.
///
/// # Errors
/// The file cannot be read, or a line is not such a record: file and line are named.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::reading(path, error))?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| Error::request(format!("{}, line {}: {error}", path.display(), number + 1)))
    };
    text.lines().enumerate().map(line).collect()
}

/// An append-only file of JSON lines that knows how long it is.
///
/// A checkpoint records the length; after a kill the resumed run cuts the file back to it and writes the later lines
/// again, byte for byte.
#[derive(Debug)]
pub struct LineLog {
    path: PathBuf,
    file: File,
    length: u64,
}

impl LineLog {
    /// Opens the log at `path` to append to it, creating it where there is none. A last line without its newline (a
    /// kill in the middle of a write) is cut off.
    ///
    /// # Errors
    /// The file cannot be opened, read or cut.
    pub fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(path).map_err(|error| Error::writing(path, error))?;
        let text = std::fs::read(path).map_err(|error| Error::reading(path, error))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let mut log = Self { path: path.to_path_buf(), file, length: text.len() as u64 };
        if whole < text.len() {
            log.truncate_to(whole as u64)?;
        }
        Ok(log)
    }

    /// Bytes in the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends one line in one write.
    ///
    /// # Errors
    /// The file cannot be written, or the record holds a number that is not finite. Nothing is appended then: a line
    /// that was only partly written is cut off again.
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line = json_line(record).map_err(|error| error.within(self.path.display()))?;
        line.push('\n');
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            let _ = self.file.set_len(self.length);
            return Err(Error::writing(&self.path, error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Returns the length once everything up to it is on the disk: what a checkpoint records.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sync(&mut self) -> Result<u64> {
        self.file.sync_all().map_err(|error| Error::writing(&self.path, error))?;
        Ok(self.length)
    }

    /// Cuts the file back to the `length` that a checkpoint recorded (0 where there was no checkpoint yet).
    ///
    /// # Errors
    /// The file is shorter than that, so it is not the one that the checkpoint was written with; or it cannot be cut.
    pub fn truncate_to(&mut self, length: u64) -> Result<()> {
        if length > self.length {
            return Err(Error::request(format!(
                "{} has {} bytes, but the checkpoint was written when it had {length}",
                self.path.display(),
                self.length
            ))
            .help("it was cut or replaced after the run; restore it, or start the run again in a new folder"));
        }
        let cut = self.file.set_len(length).and_then(|()| self.file.sync_all());
        cut.map_err(|error| Error::writing(&self.path, error))?;
        self.length = length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::records::{NamedValues, TimingLine};
    use proptest::prelude::*;
    use std::fs;

    #[derive(Serialize)]
    struct Line<'a> {
        name: &'a str,
        value: f64,
        parts: NamedValues,
    }

    fn line(value: f64, part: f64) -> Line<'static> {
        Line { name: "n", value, parts: NamedValues(vec![("peer-1".into(), 1.0), ("peer-2".into(), part)]) }
    }

    #[test]
    fn a_number_that_is_not_finite_names_its_field() {
        assert_eq!(
            json_line(&line(0.1, 2.0)).unwrap(),
            r#"{"name":"n","value":0.1,"parts":{"peer-1":1.0,"peer-2":2.0}}"#
        );
        assert_eq!(json_line(&line(f64::NAN, 0.0)).unwrap_err().to_string(), "`value` is not a finite number");
        let error = json_line(&line(0.0, f64::INFINITY)).unwrap_err();
        assert_eq!(error.to_string(), "`parts.peer-2` is not a finite number");
    }

    proptest! {
        #[test]
        fn numbers_read_back_to_the_same_bits(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = json_line(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), bits);
        }
    }

    #[test]
    fn a_log_is_cut_back_to_any_recorded_length_and_rewritten_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = LineLog::open(&path).unwrap();
        let mut lengths = vec![log.sync().unwrap()];
        for index in 0..6 {
            log.append(&line(f64::from(index) / 3.0, 0.5)).unwrap();
            lengths.push(log.sync().unwrap());
        }
        drop(log);
        let whole = fs::read(&path).unwrap();
        for (start, length) in lengths.iter().enumerate() {
            // A kill somewhere inside the line after the checkpoint.
            let killed_at = whole.len().min(*length as usize + 7);
            fs::write(&path, &whole[..killed_at]).unwrap();
            let mut log = LineLog::open(&path).unwrap();
            assert_eq!(log.length(), *length);
            log.truncate_to(*length).unwrap();
            for index in start..6 {
                log.append(&line(index as f64 / 3.0, 0.5)).unwrap();
            }
            assert_eq!(fs::read(&path).unwrap(), whole);
            assert_eq!(log.length(), whole.len() as u64);
        }
    }

    #[test]
    fn a_log_shorter_than_the_checkpoint_says_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = LineLog::open(&path).unwrap();
        log.append(&line(1.0, 1.0)).unwrap();
        let error = log.truncate_to(1000).unwrap_err();
        assert!(error.to_string().contains("metrics.jsonl has 61 bytes"), "{error}");
        assert!(error.to_string().contains("1000"), "{error}");
    }

    #[test]
    fn a_record_that_is_refused_leaves_no_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = LineLog::open(&path).unwrap();
        assert!(log.append(&line(f64::NAN, 1.0)).is_err());
        assert_eq!((log.length(), fs::read(&path).unwrap().len()), (0, 0));
    }

    #[test]
    fn a_bad_line_names_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timing.jsonl");
        fs::write(&path, "{\"phase\":\"distil\",\"seed\":1,\"epoch\":1,\"seconds\":1.0,\"step_ms\":2.0,\"images_per_second\":3.0,\"peak_mib\":4.0}\n{\"pha\n").unwrap();
        let error = read_lines::<TimingLine>(&path).unwrap_err().to_string();
        assert!(error.contains("timing.jsonl, line 2: "), "{error}");
    }
}
