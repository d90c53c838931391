//! What was measured, kept in the user's cache folder: a file for each GPU and version of the kernels.
//!
//! It is only ever replaced whole, by one process at a time, which reads it again before: what another one has measured
//! meanwhile stays, and is taken by both. A file that is damaged is as good as none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Choices;

/// The choices for one GPU and one version of the kernels.
#[derive(Debug)]
pub struct Cache {
    /// `None`: they are forgotten when the process ends.
    path: Option<PathBuf>,
    made_on: String,
    known: Mutex<Choices>,
}

impl Cache {
    /// The choices for the GPU `name` of that compute capability, and for kernels with that fingerprint, as the file in
    /// `folder` has them.
    pub fn open(folder: Option<&Path>, name: &str, capability: (u32, u32), kernels: u64) -> Self {
        let (major, minor) = capability;
        let made_on = format!("{name}, compute capability {major}.{minor}, kernels {kernels:016x}");
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = folder.map(|folder| folder.join(format!("{plain}-{major}.{minor}-{kernels:016x}.toml")));
        let cache = Self { path, made_on, known: Mutex::default() };
        match cache.read() {
            Ok(known) => *cache.known() = known,
            Err(reason) => {
                let path = cache.path.as_deref().unwrap_or(Path::new(""));
                tracing::warn!("{} is not used, and made anew: {reason}", path.display());
            }
        }
        cache
    }

    /// The variant for `key`, if it is known.
    pub fn get(&self, key: &str) -> Option<String> {
        self.known().get(key).map(str::to_string)
    }

    /// Keeps what was measured. The answer is what holds from now on: where another process was faster, what it has found.
    pub fn add(&self, measured: &Choices) -> Choices {
        let mut known = self.known();
        let _lock = self.lock();
        let mut all = self.read().unwrap_or_default();
        let mut kept = Choices::default();
        for (key, name) in measured.iter() {
            let others = all.get(key).filter(|other| known.get(key) != Some(other));
            kept.insert(key, others.unwrap_or(name));
        }
        all.extend(&kept);
        if let Some(path) = &self.path
            && let Err(error) = write(path, &all.to_toml(Some(&self.made_on)))
        {
            // It is a convenience: the next run measures again.
            tracing::warn!("{} cannot be written: {error}", path.display());
        }
        known.extend(&all);
        kept
    }

    fn known(&self) -> MutexGuard<'_, Choices> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file says; nothing where there is none.
    fn read(&self) -> Result<Choices, String> {
        match self.path.as_ref().map(fs::read_to_string) {
            None => Ok(Choices::default()),
            Some(Ok(text)) => Choices::parse(&text, Some(&self.made_on)),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Choices::default()),
            Some(Err(error)) => Err(error.to_string()),
        }
    }

    /// Waits until no other process writes, for as long as the file is open. File systems that cannot lock are trusted:
    /// the worst is that something is measured twice.
    fn lock(&self) -> Option<File> {
        let path = self.path.as_ref()?;
        fs::create_dir_all(path.parent()?).ok()?;
        let file = File::options().create(true).append(true).open(path.with_extension("lock")).ok()?;
        file.lock().ok()?;
        Some(file)
    }
}

/// Replaces the file at `path` whole.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.join(format!(".tmp-{}-{name}", std::process::id()));
    let written = || {
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    written().inspect_err(|_| {
        let _ = fs::remove_file(&aside);
    })
}
