//! The ready experiments inside the binary: the files of `presets/`.

use crate::error::{Error, Result};

/// A ready experiment.
#[derive(Debug)]
pub struct Preset {
    /// Its name: what `run` takes for a config.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The preset that `run` takes when no config is given.
pub const DEFAULT: &str = "fashion-classroom";

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        &[$(Preset { name: $name, text: include_str!(concat!("../../presets/", $name, ".toml")) }),*]
    };
}

/// Every preset, in the order in which they are listed.
pub const PRESETS: &[Preset] = presets!["fashion-classroom",];

impl Preset {
    /// What it is for: the comment it starts with, up to the first full stop.
    pub fn title(&self) -> String {
        let comment: Vec<&str> = self.text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
        let comment = comment.join(" ");
        comment.split_once(". ").map_or(comment.trim_end_matches('.'), |(first, _)| first).to_string()
    }
}

/// The preset called `name`.
///
/// # Errors
/// Where there is none, with the nearest.
pub fn find(name: &str) -> Result<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
        Error::request(format!("there is no preset `{name}`")).suggest(name, PRESETS.iter().map(|preset| preset.name))
    })
}
