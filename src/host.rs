//! What the operating system tells of this machine.

/// Bytes that can be had without pushing anything else out of memory; none where the system does not tell.
pub fn available_bytes() -> Option<u64> {
    available_of(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_understood() {
        let text = "MemTotal:       24683520 kB\nMemFree:         17578000 kB\nMemAvailable:   23336960 kB\n";
        assert_eq!(available_of(text), Some(23_336_960 * 1024));
        assert_eq!(available_of("MemFree: 12 kB\n"), None);
        assert_eq!(available_of("MemAvailable: many\n"), None);
    }
}
