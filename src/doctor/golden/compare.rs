//! Whether an output is the golden one.

use super::{Golden, Kind};

/// The first element that is not as it has to be, in words.
pub(super) fn difference(golden: &Golden, found: &[u8]) -> Option<String> {
    if found.len() != golden.output.len() {
        return Some(format!("{} bytes instead of {}", found.len(), golden.output.len()));
    }
    if !golden.bound.is_empty() {
        return beyond_bound(golden, found);
    }
    let size = if golden.kind == Kind::Bf16 { 2 } else { 4 };
    let pairs = golden.output.chunks(size).zip(found.chunks(size));
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    let is_nan = |word: u32| match golden.kind {
        Kind::Bits => false,
        Kind::F32 => f32::from_bits(word).is_nan(),
        Kind::Bf16 => f32::from_bits(word << 16).is_nan(),
    };
    let pairs = pairs.map(|(expected, found)| (word(expected), word(found)));
    let agree = |expected: u32, found: u32| expected == found || (is_nan(expected) && is_nan(found));
    let (element, (expected, found)) = pairs.enumerate().find(|(_, (expected, found))| !agree(*expected, *found))?;
    let digits = 2 * size;
    Some(format!("element {element} is {found:#0width$x}, expected {expected:#0width$x}", width = digits + 2))
}

fn beyond_bound(golden: &Golden, found: &[u8]) -> Option<String> {
    let floats = |bytes: &[u8]| -> Vec<f64> {
        let (words, _) = bytes.as_chunks::<4>();
        words.iter().map(|word| f64::from(f32::from_le_bytes(*word))).collect()
    };
    let (expected, found, bounds) = (floats(&golden.output), floats(found), floats(&golden.bound));
    if bounds.len() != expected.len() {
        return Some(format!("{} bounds for {} numbers", bounds.len(), expected.len()));
    }
    let within = |element: usize| (found[element] - expected[element]).abs() <= bounds[element];
    let element = (0..bounds.len()).find(|element| !within(*element))?;
    let (found, expected, bound) = (found[element], expected[element], bounds[element]);
    Some(format!("element {element} is {found}, expected {expected} give or take {bound:e}"))
}
