//! How kernels are chosen where several do the same work: by rules of thumb, or by what was measured on this GPU.
//!
//! What is measured, and when, `src/tape/tune.rs` says. Here is what is known, where it is kept, and what a piece of work
//! has chosen: whoever takes it up again takes the same choices, because with other tiles sums are rounded otherwise.

mod cache;
mod choices;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::cache::Cache;
pub use self::choices::Choices;
use super::kernels;
use super::nvrtc::cache::folder;
use crate::error::{Error, Result};

/// The environment variable that says whether a GPU's kernels are chosen by measuring: `on`, as without it, or `off`; or the
/// file of a run or of the cache whose choices are taken, and nothing is measured.
pub const SWITCH: &str = "KD_TUNING";

/// How plans choose; by default by rules of thumb. Clones share what they know and what they have chosen.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    /// What was measured; `None`: nothing ever is.
    cache: Option<Arc<Cache>>,
    /// Whether what nobody knows is measured.
    measures: bool,
    /// What was chosen so far.
    made: Arc<Mutex<Choices>>,
}

impl Tuning {
    /// For the GPU `name`: by measuring, unless the environment says otherwise.
    ///
    /// # Errors
    /// If the environment says something else, or names a file that cannot be read.
    pub fn of_gpu(name: &str, capability: (u32, u32)) -> Result<Self> {
        match env::var(SWITCH).as_deref() {
            Err(_) | Ok("" | "on") => {
                let folder = folder("tuning");
                Ok(Self::measured(Cache::open(folder.as_deref(), name, capability, kernels::fingerprint())))
            }
            Ok("off") => Ok(Self::default()),
            Ok(path) => Self::of_file(Path::new(path)),
        }
    }

    /// As the file at `path` says, and by rules of thumb where it says nothing.
    ///
    /// # Errors
    /// If there is no such file, or it is another one.
    fn of_file(path: &Path) -> Result<Self> {
        let shown = path.display();
        let fault = |reason: String| {
            Error::request(format!("{SWITCH} is `{shown}`: {reason}"))
                .help("expected \"on\", \"off\", or the tuning.toml of a run")
        };
        let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let choices = Choices::parse(&text, None).map_err(fault)?;
        let cache = Cache::open(None, "", (0, 0), 0);
        cache.add(&choices);
        Ok(Self { measures: false, ..Self::measured(cache) })
    }

    /// By measuring what `cache` does not know.
    pub fn measured(cache: Cache) -> Self {
        Self { cache: Some(Arc::new(cache)), measures: true, made: Arc::default() }
    }

    /// For a piece of work of its own that starts with `choices`: they count more than what was measured. Without any, it was
    /// begun by rules of thumb and goes on by them.
    pub fn taken_up(&self, choices: Option<Choices>) -> Self {
        match choices {
            None => Self::default(),
            Some(choices) => Self { made: Arc::new(Mutex::new(choices)), ..self.clone() },
        }
    }

    /// With what is known now and by rules of thumb, for plans that are never run.
    pub fn as_known(&self) -> Self {
        Self { measures: false, made: Arc::new(Mutex::new(self.made())), ..self.clone() }
    }

    /// Whether what is not known is measured.
    pub fn measures(&self) -> bool {
        self.measures
    }

    /// Whether nothing is known and nothing ever will be: all goes by rules of thumb.
    pub fn is_off(&self) -> bool {
        self.cache.is_none() && self.lock().is_empty()
    }

    /// The variant for `key`, if it is known and among `names`.
    pub fn known(&self, key: &str, names: &[String]) -> Option<String> {
        let is_one = |name: &String| names.contains(name);
        let made = self.lock().get(key).map(str::to_string);
        made.filter(is_one).or_else(|| self.cache.as_ref()?.get(key).filter(is_one))
    }

    /// Keeps what was measured; the answer is what holds from now on.
    pub fn keep(&self, measured: Choices) -> Choices {
        match &self.cache {
            None => measured,
            Some(cache) => cache.add(&measured),
        }
    }

    /// Remembers that a plan was made with `choices`.
    pub fn make(&self, choices: &Choices) {
        self.lock().extend(choices);
    }

    /// What plans have chosen so far, the choices that were taken up among it.
    pub fn made(&self) -> Choices {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Choices> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
