//! A checkpoint's object, and its storages by their keys.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{Error, Result};
use crate::pickle::{Pickle, Value};
use crate::stream::ByteStream;

/// How a checkpoint of PyTorch before 1.6 begins: a pickle of the number 0x1950a86a20f9469cfc6c.
pub(super) const OLDER: [u8; 14] = *b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// A checkpoint.
pub(super) struct Archive {
    name: String,
    /// What was saved.
    pub object: Pickle,
    storages: Storages,
}

enum Storages {
    /// Members `<prefix>data/<key>`.
    Zip { archive: ZipArchive<BufReader<File>>, prefix: String },
    /// Where each storage's bytes begin, and the length of the file.
    Older { file: File, keys: Vec<String>, start: u64, length: u64 },
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let reading = |error| Error::reading(path, error);
        let mut file = File::open(path).map_err(reading)?;
        let mut start = Vec::new();
        (&file).take(OLDER.len() as u64).read_to_end(&mut start).map_err(reading)?;
        file.seek(SeekFrom::Start(0)).map_err(reading)?;
        match start == OLDER {
            true => Self::open_older(name, file),
            false => Self::open_zip(name, file),
        }
    }

    fn open_zip(name: String, file: File) -> Result<Self> {
        let wrong = |error: ZipError| {
            Error::request(format!("{name}: it is no checkpoint that torch.save writes: {error}"))
                .help("expected a zip archive, or the older kind; if it was fetched, fetch it again")
        };
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(wrong)?;
        let members = archive.file_names().flatten().map(|member| member.into_owned());
        let pickled = members.into_iter().find(|member| member.ends_with("data.pkl"));
        let Some(pickled) = pickled else {
            return Err(Error::request(format!(
                "{name}: the zip archive has no `data.pkl`: torch.save did not write it"
            )));
        };
        let prefix = pickled.trim_end_matches("data.pkl").to_string();
        if let Ok(mut order) = archive.by_name(&format!("{prefix}byteorder")) {
            let mut text = String::new();
            let read = order.read_to_string(&mut text);
            if read.is_ok() && text.trim() != "little" {
                return Err(Error::request(format!("{name}: its numbers are saved as `{}`-endian", text.trim()))
                    .help("save it on a machine with little-endian numbers, as most are"));
            }
        }
        let member = archive.by_name(&pickled).map_err(wrong)?;
        let length = member.size();
        let mut stream = ByteStream::new(format!("{name}: {pickled}"), BufReader::new(member), Some(length))?;
        let object = Pickle::read(&mut stream)?;
        drop(stream);
        Ok(Self { name, object, storages: Storages::Zip { archive, prefix } })
    }

    fn open_older(name: String, file: File) -> Result<Self> {
        let length = file.metadata().map_err(|error| Error::reading(&name, error))?.len();
        let again = file.try_clone().map_err(|error| Error::reading(&name, error))?;
        let mut stream = ByteStream::new(name.clone(), BufReader::new(again), Some(length))?;
        // The magic number and the version; what machine it was saved on.
        let version =
            [Pickle::read(&mut stream)?, Pickle::read(&mut stream)?].map(|pickle| pickle.integer(pickle.root))[1];
        if version != Some(1001) {
            return Err(stream.error_at(15, "the checkpoint's protocol is not 1001"));
        }
        let machine = Pickle::read(&mut stream)?;
        if let Some(Value::Bool(false)) = machine.get(machine.root, "little_endian").map(|id| machine.value(id)) {
            return Err(stream.error_at(21, "the checkpoint's numbers are saved as big-endian"));
        }
        let object = Pickle::read(&mut stream)?;
        let keys = Pickle::read(&mut stream)?;
        let texts = keys.items(keys.root).map(|keys_in_order| {
            keys_in_order.iter().filter_map(|key| keys.text(*key)).map(|key| String::from_utf8_lossy(key).into_owned())
        });
        let Some(keys) = texts.map(Iterator::collect::<Vec<_>>) else {
            return Err(keys.error(keys.root, "expected the list of the storages' keys"));
        };
        let start = stream.position();
        drop(stream);
        Ok(Self { name, object, storages: Storages::Older { file, keys, start, length } })
    }

    /// The file's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of storage `key`, `elements` of `size` bytes each. `sizes` knows the bytes of an element of any storage.
    pub(super) fn storage(
        &mut self,
        key: &str,
        elements: u64,
        size: u64,
        sizes: &HashMap<String, u64>,
    ) -> Result<Vec<u8>> {
        let wrong = |name: &str, what: String| Error::request(format!("{name}: storage {key}: {what}"));
        let bytes = elements.checked_mul(size).ok_or_else(|| wrong(&self.name, format!("{elements} elements")))?;
        match &mut self.storages {
            Storages::Zip { archive, prefix } => {
                let member = archive.by_name(&format!("{prefix}data/{key}"));
                let member = member.map_err(|error| wrong(&self.name, error.to_string()))?;
                if member.size() < bytes {
                    let found = member.size();
                    return Err(wrong(&self.name, format!("{found} bytes for {elements} elements of {size} bytes")));
                }
                let length = member.size();
                let name = format!("{}: {prefix}data/{key}", self.name);
                // Not through a stream that unpacks: numbers may begin as a gzip file does.
                let mut content = Vec::new();
                let read = member.take(length).read_to_end(&mut content);
                read.map_err(|error| Error::request(format!("{name}: {error}")).help("the file is damaged"))?;
                content.truncate(bytes as usize);
                Ok(content)
            }
            Storages::Older { file, keys, start, length } => {
                // Before each storage's elements stands their number, in eight bytes.
                let mut place = *start;
                for other in keys.iter() {
                    let mut count = [0; 8];
                    file.seek(SeekFrom::Start(place))
                        .and_then(|_| file.read_exact(&mut count))
                        .map_err(|error| wrong(&self.name, format!("byte {place}: {error}")))?;
                    let count = u64::from_le_bytes(count);
                    place += 8;
                    if other == key {
                        if count < elements || length.saturating_sub(place) < bytes {
                            let what = format!("byte {place}: {count} elements, expected {elements} of {size} bytes");
                            return Err(wrong(&self.name, what));
                        }
                        let mut content = Vec::new();
                        let read = (&*file).take(bytes).read_to_end(&mut content);
                        read.map_err(|error| wrong(&self.name, format!("byte {place}: {error}")))?;
                        return Ok(content);
                    }
                    let unknown = || wrong(&self.name, format!("it lies behind storage {other}, of unknown size"));
                    let size = sizes.get(other).ok_or_else(unknown)?;
                    place = count.checked_mul(*size).and_then(|bytes| place.checked_add(bytes)).ok_or_else(unknown)?;
                }
                Err(wrong(&self.name, "the file has no such storage".into()))
            }
        }
    }
}
