//! A stream of bytes that knows its name and its place, so that every error about it says where.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

/// How much is taken at a time of what a file merely declares to hold: a lie costs no memory.
const STEP: usize = 1 << 20;

/// How many bytes a reader has handed on; shared, because readers are buried in decoders.
pub(crate) type Counter = Rc<Cell<u64>>;

/// Counts what is consumed of a buffered reader: inside a gzip decoder, the byte of the file where it stands.
pub(crate) struct Counted<R> {
    inner: R,
    count: Counter,
}

impl<R> Counted<R> {
    pub(crate) fn new(inner: R) -> (Self, Counter) {
        let count = Counter::default();
        (Self { inner, count: count.clone() }, count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.count.set(self.count.get() + amount as u64);
    }
}

/// Bytes of a file, of a member of an archive, or of memory; gzip is unpacked where the content is gzip.
pub(crate) struct ByteStream<'a> {
    name: String,
    reader: Box<dyn Read + 'a>,
    position: u64,
    /// Place in the packed file, where the content is gzip.
    packed: Option<Counter>,
    /// Length that is promised from outside (a tar header), where the content is not gzip.
    length: Option<u64>,
}

impl<'a> ByteStream<'a> {
    /// The bytes of `reader`, called `name` in errors.
    pub(crate) fn new(name: impl Into<String>, mut reader: impl BufRead + 'a, length: Option<u64>) -> Result<Self> {
        let name = name.into();
        let start = reader.fill_buf().map_err(|error| Error::reading(&name, error))?;
        Ok(if start.starts_with(&[0x1f, 0x8b]) {
            let (counted, packed) = Counted::new(reader);
            let reader = Box::new(MultiGzDecoder::new(counted));
            Self { name, reader, position: 0, packed: Some(packed), length: None }
        } else {
            Self { name, reader: Box::new(reader), position: 0, packed: None, length }
        })
    }

    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<ByteStream<'static>> {
        let file = File::open(path).map_err(|error| Error::reading(path, error))?;
        ByteStream::new(path.display().to_string(), BufReader::with_capacity(1 << 16, file), None)
    }

    /// What the stream is called in errors.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The next byte's place, counted after unpacking.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// An error at byte `position`.
    pub(crate) fn error_at(&self, position: u64, message: impl std::fmt::Display) -> Error {
        let unpacked = if self.packed.is_some() { " (after unpacking)" } else { "" };
        Error::request(format!("{}: byte {position}{unpacked}: {message}", self.name))
    }

    /// Up to `buffer.len()` bytes; fewer only at the end.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => {
                    filled += read;
                    self.position += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        if let Some(length) = self.length
            && filled < buffer.len()
            && self.position < length
        {
            return Err(self.error_at(
                self.position,
                format!("the archive ends inside this member of {length} bytes: it is truncated"),
            ));
        }
        Ok(filled)
    }

    fn broken(&self, error: std::io::Error) -> Error {
        match &self.packed {
            Some(packed) => Error::request(format!(
                "{}: byte {}: the gzip data is truncated or damaged ({error}), after {} bytes were unpacked",
                self.name,
                packed.get(),
                self.position
            )),
            None => self.error_at(self.position, error),
        }
    }

    /// Exactly `buffer.len()` bytes, which hold `what`.
    pub(crate) fn read_exact(&mut self, buffer: &mut [u8], what: &str) -> Result<()> {
        let start = self.position;
        let filled = self.fill(buffer)?;
        if filled == buffer.len() {
            return Ok(());
        }
        let message = format!("the data ends where {what} was expected ({} bytes from byte {start})", buffer.len());
        Err(self.error_at(self.position, message).help("the file is truncated; fetch it again"))
    }

    /// `count` bytes, which hold `what`. Memory grows with what is really there.
    pub(crate) fn read_declared(&mut self, count: u64, what: &str) -> Result<Vec<u8>> {
        let start = self.position;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < count {
            let filled = bytes.len();
            let left = count - filled as u64;
            let step = left.min(filled.max(STEP) as u64) as usize;
            bytes.reserve_exact(step);
            bytes.resize(filled + step, 0);
            if self.fill(&mut bytes[filled..])? < step {
                let message = format!("the data ends inside {what}: {count} bytes were declared from byte {start}");
                return Err(self.error_at(self.position, message).help("the file is truncated; fetch it again"));
            }
        }
        Ok(bytes)
    }

    /// Everything that is left, at most `limit` bytes.
    pub(crate) fn read_rest(&mut self, limit: u64, what: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let filled = bytes.len();
            let step = self.length.map_or(filled.max(1 << 12), |length| (length as usize).saturating_sub(filled) + 1);
            bytes.resize(filled + step.min(STEP), 0);
            let step = bytes.len() - filled;
            let read = self.fill(&mut bytes[filled..])?;
            bytes.truncate(filled + read);
            if bytes.len() as u64 > limit {
                return Err(self.error_at(limit, format!("{what} is larger than {limit} bytes")));
            }
            if read < step {
                return Ok(bytes);
            }
        }
    }

    /// One byte of `what`.
    pub(crate) fn byte(&mut self, what: &str) -> Result<u8> {
        let mut byte = [0];
        self.read_exact(&mut byte, what)?;
        Ok(byte[0])
    }

    /// A big-endian 32-bit number, which is `what`.
    pub(crate) fn big_endian(&mut self, what: &str) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read_exact(&mut bytes, what)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Fails if anything follows. For gzip this also checks the sum at the end.
    pub(crate) fn expect_end(&mut self, after: &str) -> Result<()> {
        let end = self.position;
        match self.fill(&mut [0])? {
            0 => Ok(()),
            _ => Err(self.error_at(end, format!("unexpected data after {after}"))),
        }
    }

    /// Reads to the end and forgets what was there.
    pub(crate) fn drain(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        while self.fill(&mut buffer)? == buffer.len() {}
        Ok(())
    }
}
