//! What a run leaves besides its results: the table `[output]`.

use super::reader::{Item, Reader};
use crate::error::Result;

/// What a run leaves besides its results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConfig {
    /// When checkpoints are written.
    pub checkpoints: Checkpoints,
}

/// When checkpoints are written and how many are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// After every so many epochs of each phase, and at its end. 0 for none but on interruption.
    pub every_epochs: u32,
    /// Also after every so many steps. 0 for none.
    pub every_steps: u32,
    /// How many of the newest are kept, at least 1.
    pub keep: usize,
}

impl OutputConfig {
    pub(super) fn standard() -> Self {
        Self { checkpoints: Checkpoints { every_epochs: 1, every_steps: 0, keep: 2 } }
    }

    pub(super) fn read(mut table: Reader<'_>) -> Result<Self> {
        let checkpoints = table.or("checkpoints", Self::standard().checkpoints, Checkpoints::read)?;
        table.finish()?;
        Ok(Self { checkpoints })
    }
}

impl Checkpoints {
    fn read(item: Item<'_>) -> Result<Self> {
        let standard = OutputConfig::standard().checkpoints;
        let most = i64::from(u32::MAX);
        let mut table = item.table()?;
        let every_epochs =
            table.or("every_epochs", standard.every_epochs, |item| Ok(item.integer(0..=most)? as u32))?;
        let every_steps = table.or("every_steps", standard.every_steps, |item| Ok(item.integer(0..=most)? as u32))?;
        let keep = table.or("keep", standard.keep, |item| Ok(item.integer(1..=most)? as usize))?;
        table.finish()?;
        Ok(Self { every_epochs, every_steps, keep })
    }
}
