//! The tables of `docs/ladder.md`.

use std::sync::{Mutex, PoisonError};

use crate::counts::Counts;

/// The environment variable that has tables written instead of compared.
const WRITE: &str = "KD_LADDER_WRITE";

/// Held while the file is read or written.
static FILE: Mutex<()> = Mutex::new(());

/// Cells of a row.
const COLUMNS: [&str; 13] = [
    "rung",
    "launches",
    "instructions",
    "of a warp",
    "barriers",
    "multiply-adds each",
    "`mma`",
    "sectors",
    "times the least",
    "per request",
    "wavefronts",
    "conflicts",
    "bound",
];

/// A kernel's way from the simple version to the one that ships.
pub struct Family {
    /// Its heading.
    pub heading: &'static str,
    /// Multiply-adds that have to be made, where that is what it is about.
    pub multiply_adds: Option<u64>,
    /// Bytes that have to be moved.
    pub bytes: u64,
    /// Kernels and counts.
    pub rungs: Vec<(String, Counts)>,
    /// Version of the compiler that the rungs come from.
    pub nvrtc: (u32, u32),
}

impl Family {
    /// Fails if a rung brings nothing, or the table is another.
    pub fn check(&self) {
        for pair in self.rungs.windows(2) {
            let [(_, before), (name, after)] = pair else { unreachable!("windows of two") };
            let gains = [
                after.bound() < before.bound(),
                after.chain < before.chain,
                after.launches < before.launches,
                after.barriers < before.barriers,
            ];
            assert!(gains.contains(&true), "{name} brings nothing: {before:?}, {after:?}");
        }
        let found = self.rows();
        let _alone = FILE.lock().unwrap_or_else(PoisonError::into_inner);
        let file = crate::path("docs/ladder.md");
        let text = std::fs::read_to_string(&file).unwrap();
        // The rows that begin with a bar, in the section of that heading.
        let start = text.find(&format!("\n## {}\n", self.heading)).expect("the family has a section") + 1;
        let start = start + text[start..].find("\n|").expect("the section has a table") + 1;
        let length =
            text[start..].split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum::<usize>();
        let (table, found) = (&text[start..start + length], found.join("\n") + "\n");
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&file, [&text[..start], &found, &text[start + length..]].concat()).unwrap();
            return;
        }
        // Other compilers make other instructions.
        let (major, minor) = self.nvrtc;
        if !text.contains(&format!("NVRTC {major}.{minor})")) {
            println!("not compared: docs/ladder.md is not of NVRTC {major}.{minor}\n{found}");
            return;
        }
        assert!(table == found, "{}: committed\n{table}found\n{found}{WRITE}=1 writes it", self.heading);
    }

    fn rows(&self) -> Vec<String> {
        let row = |cells: &[String]| format!("| {} |", cells.join(" | "));
        let mut rows =
            vec![row(&COLUMNS.map(str::to_string)), format!("|---{}", "|--:".repeat(COLUMNS.len() - 1)) + "|"];
        let first = self.rungs[0].1.bound();
        for (name, counts) in &self.rungs {
            let each = |adds: u64| format!("{:.1}", adds as f64 / counts.instructions as f64);
            rows.push(row(&[
                name.clone(),
                counts.launches.to_string(),
                grouped(counts.instructions),
                grouped(counts.chain.round() as u64),
                grouped(counts.barriers.round() as u64),
                self.multiply_adds.map_or_else(|| "-".to_string(), each),
                grouped(counts.matrix),
                grouped(counts.sectors),
                format!("{:.2}", counts.sectors as f64 * 32.0 / self.bytes as f64),
                format!("{:.1}", counts.sectors as f64 / counts.requests as f64),
                grouped(counts.wavefronts),
                grouped(counts.conflicts),
                format!("{:.1}% ({})", 100.0 * counts.bound() / first, counts.limit()),
            ]));
        }
        rows
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
