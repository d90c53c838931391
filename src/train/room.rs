//! Whether a plan fits into the machine's memory, and which batch would.

use super::records::Phase;
use crate::error::{Error, Result};

/// Bytes that can be had without pushing anything else out of memory; none where the system does not tell.
pub fn available_bytes() -> Option<u64> {
    available_of(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

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

/// Says that a phase's plan does not fit, and what would.
pub fn too_large(phase: Phase, batch: usize, planned: u64, available: u64, fits: usize) -> Error {
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / (1024.0 * 1024.0));
    let key = match phase {
        Phase::Pretrain => "pretrain",
        Phase::Distil => "train",
    };
    let (planned, available) = (mib(planned), mib(available));
    let error = Error::request(format!(
        "{key}.batch_size = {batch} needs {planned} of memory, but only {available} are available"
    ));
    error.help(match fits {
        0 => "not even one image at a time fits: choose smaller models".to_string(),
        _ => format!("the largest batch that fits is {fits}: --set {key}.batch_size={fits}"),
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

    #[test]
    fn the_system_is_understood() {
        let text = "MemTotal:       24683520 kB\nMemFree:         17578000 kB\nMemAvailable:   23336960 kB\n";
        assert_eq!(available_of(text), Some(23_336_960 * 1024));
        assert_eq!(available_of("MemFree: 12 kB\n"), None);
        assert_eq!(available_of("MemAvailable: many\n"), None);
    }
}
