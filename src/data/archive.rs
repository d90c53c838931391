//! One way to the members of a folder, a tar and a gzipped tar: one after the other, never all in memory.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use crate::stream::ByteStream;
use crate::{Error, Result};

/// How deep folders are searched.
const DEPTH: usize = 6;

/// Buffer in front of a member of an archive; most members are small images.
const MEMBER_BUFFER: usize = 1 << 13;

/// A file inside a folder or an archive.
pub(super) struct Member<'a> {
    /// Path inside the folder or archive, with `/` between its parts.
    pub(super) name: String,
    place: Place<'a>,
}

enum Place<'a> {
    File(PathBuf),
    Entry { archive: &'a Path, size: u64, reader: &'a mut dyn Read },
}

impl<'a> Member<'a> {
    /// The last part of the name.
    pub(super) fn base_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    /// The member's bytes, unpacked if they are gzip.
    pub(super) fn open(self) -> Result<ByteStream<'a>> {
        match self.place {
            Place::File(path) => ByteStream::open(&path),
            Place::Entry { archive, size, reader } => {
                let name = format!("{}: {}", archive.display(), self.name);
                ByteStream::new(name, BufReader::with_capacity(MEMBER_BUFFER, reader), Some(size))
            }
        }
    }
}

/// Calls `each` for every regular file in the folder (by name) or archive (in its order) at `path`, until it breaks.
pub(super) fn visit(path: &Path, mut each: impl FnMut(Member) -> Result<ControlFlow<()>>) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|error| Error::reading(path, error))?;
    if metadata.is_dir() { visit_folder(path, "", DEPTH, &mut each).map(|_| ()) } else { visit_tar(path, &mut each) }
}

fn visit_folder(
    folder: &Path,
    prefix: &str,
    depth: usize,
    each: &mut impl FnMut(Member) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let reading = |error| Error::reading(folder, error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        entries.push((name, path));
    }
    entries.sort();
    for (name, path) in entries {
        let metadata = fs::metadata(&path).map_err(|error| Error::reading(&path, error))?;
        let name = format!("{prefix}{name}");
        let flow = if metadata.is_dir() {
            if depth == 0 {
                continue;
            }
            visit_folder(&path, &format!("{name}/"), depth - 1, each)?
        } else if metadata.is_file() {
            each(Member { name, place: Place::File(path) })?
        } else {
            continue;
        };
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn visit_tar(path: &Path, each: &mut impl FnMut(Member) -> Result<ControlFlow<()>>) -> Result<()> {
    let position = Rc::new(Cell::new(0));
    let failure = Rc::new(RefCell::new(None));
    let stream = ByteStream::open(path)?;
    let mut archive = tar::Archive::new(Watched { stream, position: position.clone(), failure: failure.clone() });
    let broken = |_: std::io::Error| {
        failure.take().unwrap_or_else(|| {
            let message = format!("{}: byte {}: this is no whole tar archive", path.display(), position.get());
            Error::request(message).help("it is truncated or damaged, or not a tar at all; fetch it again")
        })
    };
    // Where the last member ends, padding included: the mark that ends an archive must follow.
    let mut end = 0;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let size = entry.size();
        let after = entry.raw_file_position().saturating_add(size);
        end = after.checked_next_multiple_of(512).unwrap_or(u64::MAX);
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = member_name(&entry.path().map_err(broken)?);
        let member = Member { name, place: Place::Entry { archive: path, size, reader: &mut entry } };
        if each(member)?.is_break() {
            return Ok(());
        }
    }
    let mut stream = archive.into_inner().stream;
    if position.get() <= end {
        let message = "the tar archive ends without its end mark: it is truncated";
        return Err(stream.error_at(position.get(), message).help("fetch it again"));
    }
    // What follows is padding, but gzip's check sum stands behind it.
    stream.drain()
}

/// Hands a stream to the tar reader; keeps what the tar reader's own errors would hide.
struct Watched {
    stream: ByteStream<'static>,
    position: Rc<Cell<u64>>,
    failure: Rc<RefCell<Option<Error>>>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.fill(buffer).map_err(|error| {
            let short = std::io::Error::other(error.to_string());
            self.failure.replace(Some(error));
            short
        })?;
        self.position.set(self.stream.position());
        Ok(read)
    }
}

/// The path's named parts joined by `/`: no `./`, no `..`, no root.
fn member_name(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        })
        .collect();
    parts.join("/")
}
