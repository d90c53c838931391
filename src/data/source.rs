//! Where data comes from: a source's name, a path, or both.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::archive::visit;
use super::cifar::{self, Cifar};
use super::dataset::Dataset;
use super::embedded;
use super::folder;
use super::idx::{self, Known, Part};
use crate::config::SourceKind as Source;
use crate::stream::ByteStream;
use crate::{Error, Result};

/// Opens a data set: `source` at `path`. Without a `source`, the kind is recognised from what lies at `path`;
/// without both it is the embedded set.
///
/// # Errors
/// If a path is missing or superfluous, or the files there are not what they should be; names file and byte.
pub fn open(source: Option<Source>, path: Option<&Path>) -> Result<Arc<Dataset>> {
    let (source, path) = match (source, path) {
        (None, None) => return shared_embedded(),
        (None, Some(path)) => (recognise(path)?, path),
        (Some(source), Some(path)) if source.needs_path() => (source, path),
        (Some(source), Some(path)) => {
            return Err(Error::request(format!(
                "data source `{}` takes no path, but {} was given",
                source.name(),
                path.display()
            ))
            .help("leave the path out, or leave the source out to have the path's kind recognised"));
        }
        (Some(Source::Embedded), None) => return shared_embedded(),
        (Some(Source::FashionMnist), None) => (Source::FashionMnist, Path::new(embedded::INSTALLED)),
        (Some(source), None) => {
            return Err(Error::request(format!("data source `{}` needs a path", source.name()))
                .help("give the folder or archive that holds the data"));
        }
    };
    let dataset = match source {
        Source::Embedded => return shared_embedded(),
        Source::FashionMnist => embedded::installed(path)?,
        Source::Idx => idx::open(path, Known { name: source.name(), classes: None, normalisation: None })?,
        Source::Cifar10 => cifar::open(path, Cifar::Ten)?,
        Source::Cifar100 => cifar::open(path, Cifar::Hundred)?,
        Source::Folder => folder::open(path)?,
    };
    Ok(Arc::new(dataset))
}

/// Opens what one word names, as in `--data SRC`: a source, else a path.
///
/// # Errors
/// As [`open`]; also if `text` is neither, with the nearest source's name.
pub fn open_named(text: &str) -> Result<Arc<Dataset>> {
    match Source::find(text) {
        Some(source) => open(Some(source), None),
        None if Path::new(text).exists() => open(None, Some(Path::new(text))),
        None => Err(Error::request(format!("`{text}` is neither a data source nor a file or folder that exists"))
            .suggest(text, Source::ALL.map(Source::name))),
    }
}

/// The embedded set, unpacked once for as long as someone holds it.
fn shared_embedded() -> Result<Arc<Dataset>> {
    static SHARED: Mutex<Weak<Dataset>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(dataset) = shared.upgrade() {
        return Ok(dataset);
    }
    let dataset = Arc::new(embedded::embedded()?);
    *shared = Arc::downgrade(&dataset);
    Ok(dataset)
}

/// What kind of data set lies at `path`: by the magic number of a file, by the names in a folder or archive.
fn recognise(path: &Path) -> Result<Source> {
    if path.is_file() {
        let mut start = [0; 512];
        let mut stream = ByteStream::open(path)?;
        let filled = stream.fill(&mut start)?;
        if idx::is_magic(&start[..filled]) {
            return Err(Error::request(format!("{} is one IDX file", path.display()))
                .help("an IDX data set is four of them: give the folder that holds them"));
        }
        if start.get(257..262) != Some(b"ustar") {
            let message = format!("{} is no tar archive, plain or gzipped", path.display());
            return Err(Error::request(message).help(format!("expected {EXPECTED}")));
        }
    }
    let mut found = None;
    visit(path, |member| {
        found = kind_of(&member.name);
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    found.ok_or_else(|| {
        Error::request(format!("{} holds no data set of a known kind", path.display()))
            .help(format!("expected {EXPECTED}"))
    })
}

const EXPECTED: &str = "a folder or a tar with IDX files, the CIFAR batches, or PNG or JPEG images as split/class/file";

/// The kind of data set that a member of this name belongs to, if that is plain from the name.
fn kind_of(name: &str) -> Option<Source> {
    let base_name = name.rsplit('/').next().unwrap_or(name);
    if Part::of(base_name).is_some() {
        return Some(Source::Idx);
    }
    if Cifar::Ten.part(base_name).is_some() {
        return Some(Source::Cifar10);
    }
    if Cifar::Hundred.part(base_name).is_some() {
        return Some(Source::Cifar100);
    }
    folder::is_image_of_a_split(name).then_some(Source::Folder)
}
