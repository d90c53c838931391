//! Whether a plan fits into the machine's memory, and which batch would.

use super::records::Phase;
use crate::error::{Error, Result};

/// The largest batch below `batch` whose plan (`bytes` of a batch) is at most `available`; 0 if none is.
///
/// # Errors
/// As `bytes`.
pub fn largest(batch: usize, available: u64, bytes: impl Fn(usize) -> Result<u64>) -> Result<usize> {
    let (mut fits, mut too_large) = (0, batch);
    while too_large - fits > 1 {
        let middle = fits + (too_large - fits) / 2;
        if bytes(middle)? <= available { fits = middle } else { too_large = middle }
    }
    Ok(fits)
}

/// Says that the plan of a phase, whose stages train `seeds` seeds each, does not fit, and what would.
pub fn too_large(phase: Phase, seeds: usize, batch: usize, planned: u64, available: u64, fits: usize) -> Error {
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / (1024.0 * 1024.0));
    let key = match phase {
        Phase::Pretrain | Phase::Assist => "pretrain",
        Phase::Distil => "train",
    };
    let (planned, available) = (mib(planned), mib(available));
    let together = if seeds > 1 { format!(" with {seeds} seeds together") } else { String::new() };
    let error = Error::request(format!(
        "{key}.batch_size = {batch}{together} needs {planned} of memory, but only {available} are available"
    ));
    let apart = if seeds > 1 { ", or train one seed after the other: --set train.seeds_together=false" } else { "" };
    error.help(match fits {
        0 => format!("not even one image at a time fits: choose smaller models{apart}"),
        _ => format!("the largest batch that fits is {fits}: --set {key}.batch_size={fits}{apart}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_batch_is_found() {
        let bytes = |batch: usize| Ok(1000 + 7 * batch as u64);
        assert_eq!(largest(64, 1000 + 7 * 41, bytes).unwrap(), 41);
        assert_eq!(largest(64, 1000 + 7 * 42 - 1, bytes).unwrap(), 41);
        assert_eq!(largest(64, 1006, bytes).unwrap(), 0);
        assert_eq!(largest(1, 0, bytes).unwrap(), 0);
    }
}
