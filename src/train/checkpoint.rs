//! Checkpoints: folders that are complete or absent, the newest few kept.
//!
//! A checkpoint is written as `.tmp-<name>`, every file synced, renamed to `<name>`, and only then are older ones
//! removed, each renamed aside first: whatever moment a kill picks, a folder with a checkpoint's name is whole. Against
//! what a disk does on its own there is a manifest with the length and CRC-32 of every file; a checkpoint that does not
//! fit its manifest is passed over for the one before it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::durable::{ASIDE, Disk, RealDisk, sync_folder, write_synced};
use super::folder::remove_leftovers;
use super::log::json_line;
use super::records::Phase;
use super::tensor_file;
use crate::tensor::DType;
use crate::{Error, Result};

const FORMAT: &str = "kd-checkpoint/1";
const STATE: &str = "state.safetensors";
const CURSOR: &str = "cursor.json";
const MANIFEST: &str = "manifest.json";
/// Suffix of a checkpoint that was saved because the run was stopped, not because it was due.
const STOPPED: &str = "-stopped";

/// Where in a run a checkpoint was taken. It holds no times, so that equal runs leave equal checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Number of the run's stage, from 0, counting every phase, method and seed trained one after the other.
    pub stage: u32,
    /// What the stage is part of.
    pub phase: Phase,
    /// The stage's method; none in pretraining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The stage's seed; the first of several.
    pub seed: u64,
    /// All seeds of the stage, where several are trained side by side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<u64>,
    /// Epochs of the stage that are finished.
    pub epoch: u64,
    /// Steps of the stage that are finished.
    pub step: u64,
    /// True where a stopped run saved between its regular checkpoints; replaced by the next regular one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// Bytes of `metrics.jsonl` at this moment.
    pub metrics_length: u64,
    /// Bytes of `classroom.jsonl` at this moment.
    pub classroom_length: u64,
    /// [`digest`] of the resolved config.
    pub config_digest: String,
}

/// A tensor by name: its type, shape and bytes in the order of this machine (little-endian).
pub type NamedTensor<'a> = (String, DType, Vec<usize>, Cow<'a, [u8]>);

/// Everything a run needs to go on as if it had never stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint<'a> {
    /// Where in the run.
    pub cursor: Cursor,
    /// The state, in any order; read back sorted by name.
    pub tensors: Vec<NamedTensor<'a>>,
}

/// A short name of a text by which another text is recognised: its length and CRC-32.
pub fn digest(text: &str) -> String {
    format!("{}-{:08x}", text.len(), crc32fast::hash(text.as_bytes()))
}

impl Checkpoint<'_> {
    /// Refuses to go on with another config than the one the checkpoint was trained with.
    ///
    /// # Errors
    /// The digests differ.
    pub fn expect_config(&self, config: &str) -> Result<()> {
        if self.cursor.config_digest == digest(config) {
            return Ok(());
        }
        Err(Error::request("the run's checkpoint was trained with another config than its config.toml now says")
            .help("restore config.toml to resume, or start a new run with the changed config"))
    }

    /// The folder's name: sorts by stage and step.
    fn name(&self) -> String {
        let Cursor { stage, step, stopped, .. } = self.cursor;
        format!("step-{stage:03}-{step:010}{}", if stopped { STOPPED } else { "" })
    }
}

/// Length and checksum of every file of a checkpoint.
#[derive(Serialize, Deserialize)]
struct Manifest {
    format: String,
    files: BTreeMap<String, FileSeal>,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct FileSeal {
    bytes: u64,
    crc32: String,
}

impl FileSeal {
    fn of(parts: &[Cow<'_, [u8]>]) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        parts.iter().for_each(|part| hasher.update(part));
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        Self { bytes, crc32: format!("{:08x}", hasher.finalize()) }
    }
}

/// The checkpoints of one run.
#[derive(Debug)]
pub struct CheckpointStore {
    folder: PathBuf,
    keep: usize,
    disk: Box<dyn Disk>,
}

impl CheckpointStore {
    /// The checkpoints in `folder`, of which the newest `keep` (at least one) stay. The folder is made where there is
    /// none; leftovers of a kill are removed.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path, keep: usize) -> Result<Self> {
        fs::create_dir_all(folder).and_then(|()| remove_leftovers(folder)).map_err(|e| Error::writing(folder, e))?;
        Ok(Self { folder: folder.to_path_buf(), keep: keep.max(1), disk: Box::new(RealDisk) })
    }

    /// Saves a checkpoint, then removes the ones it makes superfluous: all but the newest `keep` regular ones, those a
    /// stopped run left, and any that lie after this one (of a future that a damaged file made the run leave). One
    /// saved by a stopped run removes nothing, so that a run stopped and resumed ends with the same checkpoints.
    ///
    /// # Errors
    /// A disk that is full or fails: nothing is removed then, the checkpoints before are intact.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let name = checkpoint.name();
        let files = encode(checkpoint)?;
        self.write(&name, &files).map_err(|error| {
            let _ = fs::remove_dir_all(self.folder.join(format!("{ASIDE}{name}")));
            Error::failed(format!("cannot save the checkpoint {}: {error}", self.folder.join(&name).display()))
                .help("the checkpoints before it are intact: make room and continue with --resume")
        })?;
        self.prune(&name).map_err(|error| Error::writing(&self.folder, error))
    }

    /// Removes what a finished run does not keep: where a kill came between saving the last checkpoint and removing an
    /// older one, no later save has done it; and what a stopped run saved, where the config asks for no regular ones.
    ///
    /// # Errors
    /// The folder cannot be read or changed.
    pub fn tidy(&self) -> Result<()> {
        let tidied = self.names().and_then(|names| match names.iter().rev().find(|name| !name.ends_with(STOPPED)) {
            Some(newest) => self.prune(newest),
            None => names.iter().try_for_each(|name| self.remove(name)),
        });
        tidied.map_err(|error| Error::writing(&self.folder, error))
    }

    fn write(&self, name: &str, files: &[EncodedFile<'_>]) -> io::Result<()> {
        let beside = self.folder.join(format!("{ASIDE}{name}"));
        let path = self.folder.join(name);
        if beside.exists() {
            fs::remove_dir_all(&beside)?;
        }
        fs::create_dir(&beside)?;
        for (file, parts) in files {
            write_synced(self.disk.as_ref(), &beside.join(file), parts)?;
        }
        sync_folder(&beside)?;
        if path.exists() {
            self.remove(name)?;
        }
        fs::rename(&beside, &path)?;
        sync_folder(&self.folder)
    }

    /// Removes one checkpoint: first its name, then its files.
    fn remove(&self, name: &str) -> io::Result<()> {
        let beside = self.folder.join(format!("{ASIDE}old-{name}"));
        if beside.exists() {
            fs::remove_dir_all(&beside)?;
        }
        fs::rename(self.folder.join(name), &beside)?;
        fs::remove_dir_all(&beside)
    }

    fn prune(&self, saved: &str) -> io::Result<()> {
        if saved.ends_with(STOPPED) {
            return Ok(());
        }
        let mut kept = 0;
        for name in self.names()?.iter().rev() {
            let keeps = name.as_str() <= saved && !name.ends_with(STOPPED) && kept < self.keep;
            if keeps {
                kept += 1;
            } else {
                self.remove(name)?;
            }
        }
        sync_folder(&self.folder)
    }

    /// Names of the checkpoints, oldest first.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("step-") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The newest whole checkpoint, or none. One that is damaged is passed over with a warning.
    ///
    /// # Errors
    /// The folder cannot be read, or there are checkpoints but none is whole.
    pub fn latest(&self) -> Result<Option<Checkpoint<'static>>> {
        let names = self.names().map_err(|error| Error::reading(&self.folder, error))?;
        let mut newest_fault = None;
        for name in names.iter().rev() {
            match read(&self.folder.join(name)) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => {
                    tracing::warn!("passing over a damaged checkpoint: {error}");
                    newest_fault.get_or_insert(error);
                }
            }
        }
        newest_fault.map_or(Ok(None), Err)
    }
}

/// A file's name and its bytes in parts: the state is written from where it stands.
type EncodedFile<'a> = (&'static str, Vec<Cow<'a, [u8]>>);

/// The files of a checkpoint, the manifest last.
fn encode<'a>(checkpoint: &'a Checkpoint<'_>) -> Result<Vec<EncodedFile<'a>>> {
    let mut views: Vec<(&str, TensorView)> = Vec::with_capacity(checkpoint.tensors.len());
    for (name, dtype, shape, bytes) in &checkpoint.tensors {
        let view = TensorView::new(to_safetensors(*dtype), shape.clone(), bytes)
            .map_err(|error| Error::failed(format!("cannot save tensor `{name}`: {error}")))?;
        views.push((name, view));
    }
    let fault = |what| Error::failed(format!("cannot save the checkpoint: {what}"));
    let state = tensor_file::parts(views, None).map_err(fault)?;
    let text = |text: String| vec![Cow::Owned((text + "\n").into_bytes())];
    let mut files = vec![(STATE, state), (CURSOR, text(json_line(&checkpoint.cursor)?))];
    let seals = files.iter().map(|(file, parts)| (file.to_string(), FileSeal::of(parts))).collect();
    files.push((MANIFEST, text(json_line(&Manifest { format: FORMAT.into(), files: seals })?)));
    Ok(files)
}

/// Reads the checkpoint in folder `path`, checking every byte against the manifest.
fn read(path: &Path) -> Result<Checkpoint<'static>> {
    let load = |file: &str| fs::read(path.join(file)).map_err(|error| Error::reading(path.join(file), error));
    let fault = |file: &str, what: String| Error::request(format!("{}: {what}", path.join(file).display()));
    let manifest: Manifest =
        serde_json::from_slice(&load(MANIFEST)?).map_err(|error| fault(MANIFEST, error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(fault(MANIFEST, format!("the format is `{}`, expected `{FORMAT}`", manifest.format)));
    }
    let sealed = |file: &str| -> Result<Vec<u8>> {
        let bytes = load(file)?;
        let seal = FileSeal::of(&[Cow::Borrowed(&bytes)]);
        match manifest.files.get(file) {
            None => Err(fault(MANIFEST, format!("says nothing of {file}"))),
            Some(expected) if expected.bytes != seal.bytes => {
                Err(fault(file, format!("ends at byte {}, expected {} bytes", seal.bytes, expected.bytes)))
            }
            Some(expected) if *expected != seal => {
                Err(fault(file, format!("checksum {}, expected {}", seal.crc32, expected.crc32)))
            }
            Some(_) => Ok(bytes),
        }
    };
    let cursor: Cursor = serde_json::from_slice(&sealed(CURSOR)?).map_err(|error| fault(CURSOR, error.to_string()))?;
    let state = sealed(STATE)?;
    let state = SafeTensors::deserialize(&state).map_err(|error| fault(STATE, error.to_string()))?;
    let mut tensors: Vec<NamedTensor> = Vec::with_capacity(state.len());
    for (name, view) in state.iter() {
        let dtype = from_safetensors(view.dtype())
            .ok_or_else(|| fault(STATE, format!("tensor `{name}` has the type {}", view.dtype())))?;
        tensors.push((name.to_string(), dtype, view.shape().to_vec(), Cow::Owned(view.data().to_vec())));
    }
    tensors.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(Checkpoint { cursor, tensors })
}

fn to_safetensors(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::U8 => Dtype::U8,
        DType::U32 => Dtype::U32,
        DType::BF16 => Dtype::BF16,
    }
}

fn from_safetensors(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F64 => Some(DType::F64),
        Dtype::U8 => Some(DType::U8),
        Dtype::U32 => Some(DType::U32),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
