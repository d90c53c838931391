//! A run's folder: made once, found again to resume, and read by the report.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::durable::{ASIDE, replace_file, sync_folder};
use super::log::LineLog;
use super::records::Summary;
use crate::gpu::tuning::Choices;
use crate::{Error, Result};

/// The resolved config; what makes a folder a run's folder.
pub const CONFIG: &str = "config.toml";
/// Which kernels a GPU took where several do the same work; none where it went by rules of thumb.
pub const TUNING: &str = "tuning.toml";
/// One line per model and epoch.
pub const METRICS: &str = "metrics.jsonl";
/// One line per method, epoch and mentor.
pub const CLASSROOM: &str = "classroom.jsonl";
/// Speed and memory; the one file that differs from run to run.
pub const TIMING: &str = "timing.jsonl";
/// Folder of the checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// Folder of the final weights.
pub const MODELS: &str = "models";
/// What came out.
pub const SUMMARY: &str = "summary.json";
/// The page.
pub const REPORT: &str = "report.html";

/// The folder of a run that is being trained. It is locked while this value lives, so that two processes never write
/// the same run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: Option<File>,
}

impl RunFolder {
    /// Makes the folder of a new run: `out`, or the next free `runs/<name>-<number>`.
    ///
    /// # Errors
    /// `out` exists and is not an empty folder, or the folder cannot be made or written; nothing is left behind then.
    pub fn create(out: Option<&Path>, name: &str) -> Result<Self> {
        Self::create_under(Path::new("runs"), out, name)
    }

    fn create_under(runs: &Path, out: Option<&Path>, name: &str) -> Result<Self> {
        let mut made = Made::default();
        let path = match out {
            Some(out) => {
                refuse_used(out)?;
                made.folder_and_parents(out).map_err(|error| unwritable(out, &error))?;
                out.to_path_buf()
            }
            None => {
                made.folder_and_parents(runs).map_err(|error| unwritable(runs, &error))?;
                next_free(runs, &as_file_name(name), &mut made).map_err(|error| unwritable(runs, &error))?
            }
        };
        for folder in [CHECKPOINTS, MODELS] {
            made.folder_and_parents(&path.join(folder)).map_err(|error| unwritable(&path, &error))?;
        }
        sync_folder(&path).map_err(|error| unwritable(&path, &error))?;
        let lock = lock(&path)?;
        made.keep();
        Ok(Self { path, _lock: lock })
    }

    /// Opens the folder of an earlier run to resume it. Leftovers of writes that a kill cut short are removed.
    ///
    /// # Errors
    /// It is not a run's folder, or another process is training in it.
    pub fn open(path: &Path) -> Result<Self> {
        expect_run(path)?;
        let lock = lock(path)?;
        for folder in [path.to_path_buf(), path.join(MODELS)] {
            remove_leftovers(&folder).map_err(|error| Error::writing(&folder, error))?;
        }
        for folder in [CHECKPOINTS, MODELS] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).map_err(|error| Error::writing(&folder, error))?;
        }
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of the resolved config.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn config(&self) -> Result<String> {
        let path = self.path.join(CONFIG);
        fs::read_to_string(&path).map_err(|error| Error::reading(&path, error))
    }

    /// Saves the resolved config, which makes the folder a run's folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_config(&self, text: &str) -> Result<()> {
        self.write(CONFIG, text)
    }

    /// Saves which kernels plans have chosen, if any, so that whoever takes up the run takes the same ones.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_choices(&self, choices: &Choices) -> Result<()> {
        let text = choices.to_toml(None);
        let is_new = || fs::read_to_string(self.path.join(TUNING)).ok().is_none_or(|old| old != text);
        if choices.is_empty() || !is_new() { Ok(()) } else { self.write(TUNING, &text) }
    }

    /// The choices that were saved; `None`: the run went by rules of thumb.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn choices(&self) -> Result<Option<Choices>> {
        let path = self.path.join(TUNING);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| Error::reading(&path, error))?,
        };
        let fault = |reason| {
            Error::request(format!("{}: {reason}", path.display()))
                .help("the run cannot go on as it began without the choices of kernels in this file")
        };
        Choices::parse(&text, None).map(Some).map_err(fault)
    }

    /// Saves the summary.
    ///
    /// # Errors
    /// It cannot be written, or a number in it is not finite.
    pub fn write_summary(&self, summary: &Summary) -> Result<()> {
        let text = summary.to_json().map_err(|error| error.within(self.path.join(SUMMARY).display()))?;
        self.write(SUMMARY, &text)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        replace_file(&path, text.as_bytes()).map_err(|error| Error::writing(&path, error))
    }

    /// Opens one of the logs: [`METRICS`], [`CLASSROOM`] or [`TIMING`].
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn log(&self, name: &str) -> Result<LineLog> {
        LineLog::open(&self.path.join(name))
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Where the page goes.
    pub fn report(&self) -> PathBuf {
        self.path.join(REPORT)
    }

    /// Where a mentor's final weights go: `models/<role>.safetensors`.
    pub fn mentor_weights(&self, role: &str) -> PathBuf {
        weights_in(&self.path, role)
    }

    /// Where the student's final weights go: `models/student-<method>-seed<N>.safetensors`.
    pub fn student_weights(&self, method: &str, seed: u64) -> PathBuf {
        weights_in(&self.path, &format!("student-{method}-seed{seed}"))
    }

    /// Where what a method has learned of its own goes: `models/method-<method>-seed<N>.safetensors`.
    pub fn method_weights(&self, method: &str, seed: u64) -> PathBuf {
        weights_in(&self.path, &format!("method-{method}-seed{seed}"))
    }
}

/// `models/<stem>.safetensors` in the run's folder `run`.
pub fn weights_in(run: &Path, stem: &str) -> PathBuf {
    run.join(MODELS).join(format!("{}.safetensors", as_file_name(stem)))
}

/// Checks that `path` is a run's folder.
///
/// # Errors
/// It does not exist, is no folder, or holds no config.
pub fn expect_run(path: &Path) -> Result<()> {
    let shown = path.display();
    let error = if path.join(CONFIG).is_file() {
        return Ok(());
    } else if path.is_dir() {
        Error::request(format!("{shown} is not a run's folder: it holds no {CONFIG}"))
    } else if path.exists() {
        Error::request(format!("{shown} is a file, expected a run's folder"))
    } else {
        Error::request(format!("{shown} does not exist, expected a run's folder"))
    };
    Err(error.help("a run's folder is what `kd-engine run` made, for instance runs/<name>-1"))
}

/// The folders made so far; removed again unless all of them could be made.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    fn folder_and_parents(&mut self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.folder_and_parents(parent)?;
        }
        match self.folder(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn folder(&mut self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        self.0.push(path.to_path_buf());
        Ok(())
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::request(format!("the output folder {} cannot be written: {error}", path.display()))
        .help("give another one with --out")
}

fn refuse_used(out: &Path) -> Result<()> {
    let shown = out.display();
    match fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) if out.join(CONFIG).is_file() => {
                Err(Error::request(format!("the output folder {shown} already holds a run"))
                    .help(format!("continue it with --resume {shown}, or give another --out")))
            }
            Some(_) => Err(Error::request(format!("the output folder {shown} is not empty"))
                .help("give a folder that is empty or does not exist yet")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) if out.is_file() => Err(Error::request(format!("the output folder {shown} is a file"))
            .help("give a folder that is empty or does not exist yet")),
        Err(error) => Err(unwritable(out, &error)),
    }
}

/// Makes `<stem>-<number>` with the number after the highest in use. Whoever makes a number's folder first has it; the
/// other one tries the next.
fn next_free(runs: &Path, stem: &str, made: &mut Made) -> io::Result<PathBuf> {
    let mut highest = 0;
    for entry in fs::read_dir(runs)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(stem)?.strip_prefix('-')?.parse::<u64>().ok());
        highest = highest.max(number.unwrap_or(0));
    }
    loop {
        highest += 1;
        let path = runs.join(format!("{stem}-{highest}"));
        match made.folder(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// `name` as part of a path: nothing that leaves the folder, hides the file or needs quoting.
pub(crate) fn as_file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.+".contains(c) { c } else { '-' };
    let plain: String = name.chars().map(plain).collect();
    let plain = plain.trim_start_matches('.');
    if plain.is_empty() { "run".into() } else { plain.into() }
}

/// Locks the folder against a second process. File systems that cannot lock are trusted.
fn lock(path: &Path) -> Result<Option<File>> {
    let Ok(folder) = File::open(path) else { return Ok(None) };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => {
            Err(Error::request(format!("another process is training in {}", path.display()))
                .help("wait for it or stop it first"))
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Removes what a kill left half-written in `folder`.
pub(crate) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(ASIDE) {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
