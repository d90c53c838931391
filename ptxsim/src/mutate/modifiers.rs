//! Changes of how an instruction works: rounding, subnormals, signs, layouts, lanes, zero fill.

use super::facts::Facts;
use super::{Change, Class, renamed};
use crate::ast::{Instruction, Operand};

/// The instruction with other modifiers as a change.
fn changed(class: Class, instruction: &Instruction, modifiers: Vec<String>) -> Change {
    (class, Some(renamed(instruction, &instruction.opcode, modifiers)))
}

/// The instruction with one modifier replaced as a change.
fn replaced(class: Class, instruction: &Instruction, index: usize, by: &str) -> Change {
    let mut modifiers = instruction.modifiers.clone();
    modifiers[index] = by.to_string();
    changed(class, instruction, modifiers)
}

/// To nearest becomes toward zero, and the other directions become one another. Arithmetic only in float32: what f16
/// and bf16 have is rounding to nearest, and of float64 no check sees the last bit.
pub(super) fn rounding(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let kind = instruction.modifiers.last().map_or("", String::as_str);
    let single = kind == "f32";
    match instruction.opcode.as_str() {
        "cvt" => {}
        "fma" | "mad" | "div" | "sqrt" | "rcp" if single => {}
        "add" | "sub" | "mul" if single => {
            // Without a word these round to nearest.
            if !instruction.modifiers.iter().any(|modifier| ["rn", "rz", "rm", "rp"].contains(&modifier.as_str())) {
                let mut modifiers = instruction.modifiers.clone();
                modifiers.insert(0, "rz".to_string());
                return vec![changed(Class::Rounding, instruction, modifiers)];
            }
        }
        _ => return Vec::new(),
    }
    if instruction.opcode == "cvt" && is_exact(&instruction.modifiers) {
        return Vec::new();
    }
    let mut changes = Vec::new();
    for (index, modifier) in instruction.modifiers.iter().enumerate() {
        let other = match modifier.as_str() {
            "rn" => "rz",
            "rz" | "rm" | "rp" => "rn",
            "rni" | "rmi" | "rpi" => "rzi",
            "rzi" => "rni",
            _ => continue,
        };
        changes.push(replaced(Class::Rounding, instruction, index, other));
    }
    changes
}

/// Whether every value of the source type of a conversion is one of the result's.
fn is_exact(modifiers: &[String]) -> bool {
    let kinds: Vec<&str> = modifiers.iter().rev().take(2).map(String::as_str).collect();
    match kinds.as_slice() {
        [from, "f32"] => ["u8", "s8", "u16", "s16"].contains(from),
        [from, "f64"] => ["u8", "s8", "u16", "s16", "u32", "s32"].contains(from),
        _ => false,
    }
}

/// `.ftz` where there was none, and none where it was.
pub(super) fn subnormals(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    if let Some(index) = instruction.modifiers.iter().position(|modifier| modifier == "ftz") {
        // `rcp.approx.ftz.f64` has no other form.
        if instruction.modifiers.last().is_some_and(|kind| kind == "f64") {
            return Vec::new();
        }
        let mut modifiers = instruction.modifiers.clone();
        modifiers.remove(index);
        return vec![changed(Class::Subnormals, instruction, modifiers)];
    }
    let knows = matches!(
        instruction.opcode.as_str(),
        "add"
            | "sub"
            | "mul"
            | "fma"
            | "div"
            | "min"
            | "max"
            | "abs"
            | "neg"
            | "setp"
            | "set"
            | "rcp"
            | "sqrt"
            | "rsqrt"
            | "ex2"
            | "lg2"
            | "sin"
            | "cos"
    );
    if !knows || instruction.modifiers.last().is_none_or(|kind| kind != "f32") {
        return Vec::new();
    }
    // It stands behind the rounding and before `.sat`, `.NaN` and the type.
    let mut modifiers = instruction.modifiers.clone();
    let behind = ["sat", "NaN", "xorsign", "abs", "f32", "u32", "s32"];
    let index = modifiers.iter().position(|modifier| behind.contains(&modifier.as_str())).unwrap_or(0);
    modifiers.insert(index, "ftz".to_string());
    vec![changed(Class::Subnormals, instruction, modifiers)]
}

/// Signed becomes unsigned and back, where the sign counts and a value may have it.
pub(super) fn signedness(instruction: &Instruction, facts: &Facts) -> Vec<Change> {
    let modifiers = &instruction.modifiers;
    let (Some(first), Some(kind)) = (modifiers.first(), modifiers.last()) else { return Vec::new() };
    let last = modifiers.len() - 1;
    let positive = |index: usize, bits: u64| {
        instruction.operands.get(index).is_some_and(|operand| facts.is_nonnegative(operand, bits))
    };
    let counts = match (instruction.opcode.as_str(), other_sign(kind)) {
        // Equality knows no sign.
        ("setp" | "set", Some((_, bits))) => {
            matches!(first.as_str(), "lt" | "le" | "gt" | "ge") && !(positive(1, bits) && positive(2, bits))
        }
        ("shr", Some((_, bits))) => !positive(1, bits),
        ("cvt", _) if last == 0 => false,
        // From an integer to one of as many bits or fewer, the sign of the source makes no difference.
        ("cvt", Some((_, bits))) => {
            let to_bits = other_sign(&modifiers[last - 1]).map(|(_, to_bits)| to_bits);
            let seen = to_bits.is_none_or(|to_bits| to_bits > bits && !facts.shifted_out(instruction, bits, to_bits));
            !positive(1, bits) && seen
        }
        // From a float to an integer, the type of the result counts: the other one clamps negative values to zero.
        ("cvt", None) => {
            return match other_sign(&modifiers[last - 1]) {
                Some((other, _)) if other.starts_with('u') => {
                    vec![replaced(Class::Signedness, instruction, last - 1, &other)]
                }
                _ => Vec::new(),
            };
        }
        // A load into a wider register extends what it loads.
        ("ld", Some((_, bits))) => match instruction.operands.first() {
            Some(Operand::Register(name)) => {
                facts.bits(name).is_some_and(|width| width > bits && !facts.shifted_out(instruction, bits, width))
            }
            _ => false,
        },
        _ => false,
    };
    match other_sign(kind) {
        Some((other, _)) if counts => vec![replaced(Class::Signedness, instruction, last, &other)],
        _ => Vec::new(),
    }
}

/// The integer type of the other signedness, and its bits.
fn other_sign(kind: &str) -> Option<(String, u64)> {
    let (other, bits) = match kind.split_at_checked(1)? {
        ("s", bits) => ("u", bits),
        ("u", bits) => ("s", bits),
        _ => return None,
    };
    let bits = bits.parse().ok().filter(|bits| [8, 16, 32, 64].contains(bits))?;
    Some((format!("{other}{bits}"), bits))
}

/// `ldmatrix` with its transposition on or off.
pub(super) fn layouts(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    if instruction.opcode != "ldmatrix" {
        return Vec::new();
    }
    let mut modifiers = instruction.modifiers.clone();
    if let Some(index) = modifiers.iter().position(|modifier| modifier == "trans") {
        modifiers.remove(index);
    } else if let Some(index) = modifiers.iter().position(|modifier| ["x1", "x2", "x4"].contains(&modifier.as_str())) {
        modifiers.insert(index + 1, "trans".to_string());
    }
    vec![changed(Class::Layout, instruction, modifiers)]
}

/// `shfl` from another lane.
pub(super) fn shuffles(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    for (index, modifier) in instruction.modifiers.iter().enumerate().filter(|_| instruction.opcode == "shfl") {
        let other = match modifier.as_str() {
            "bfly" => "down",
            "down" => "up",
            "up" => "down",
            "idx" => "bfly",
            _ => continue,
        };
        changes.push(replaced(Class::Shuffle, instruction, index, other));
    }
    changes
}

/// `cp.async` that copies all, whatever its size of the source says; and one that fills all with zeros.
pub(super) fn fills(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let copies = instruction.opcode == "cp" && matches!(instruction.operands.first(), Some(Operand::Address(..)));
    let Some(Operand::Integer(bytes)) = instruction.operands.get(2).filter(|_| copies) else { return Vec::new() };
    let with = |source: Option<i64>| {
        let mut changed = instruction.clone();
        changed.operands.truncate(3);
        changed.operands.extend(source.map(Operand::Integer));
        (Class::Fill, Some(changed))
    };
    match instruction.operands.get(3) {
        None => vec![with(Some(0))],
        Some(Operand::Integer(size)) if size == bytes => vec![with(Some(0))],
        Some(_) => vec![with(None), with(Some(0))],
    }
}
