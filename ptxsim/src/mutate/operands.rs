//! Changes of what an instruction works on: places of operands, special registers, offsets, constants.

use super::facts::Facts;
use super::{Change, Class, rewired};
use crate::ast::{Instruction, Operand};

/// Operands of one type whose order matters, and elements of vectors.
pub(super) fn swapped(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let has = |word: &str| instruction.modifiers.iter().any(|modifier| modifier == word);
    let count = instruction.operands.len();
    let mut changes = Vec::new();
    let mut swap = |left: usize, right: usize| {
        changes.push((Class::Operands, Some(rewired(instruction, |operands| operands.swap(left, right)))));
    };
    match instruction.opcode.as_str() {
        "sub" | "subc" | "div" | "rem" | "selp" | "prmt" | "shf" | "copysign" | "slct" if count >= 3 => swap(1, 2),
        // The amount of a shift has 32 bits, whatever is shifted.
        "shl" | "shr" if count == 3 && (has("b32") || has("u32") || has("s32")) => swap(1, 2),
        "setp" | "set" if count >= 3 && is_ordered(&instruction.modifiers) => swap(1, 2),
        // Two floats become a pair of bf16 or f16.
        "cvt" if count == 3 => swap(1, 2),
        // a * b + c becomes c * b + a and a * c + b; a wide addend is of another type.
        "fma" | "mad" if count == 4 && !has("wide") => {
            swap(1, 3);
            swap(2, 3);
        }
        "lop3" if count == 5 && depends_on_order(&instruction.operands[4]) => swap(1, 2),
        _ => {}
    }
    // Elements: of the registers of a load, store or move, and of the parts of a matrix.
    let pairs: &[(usize, usize, usize)] = match instruction.opcode.as_str() {
        "ld" | "mov" | "ldmatrix" => &[(0, 0, 1), (0, 1, 2), (1, 0, 1)],
        "st" => &[(1, 0, 1), (1, 1, 2)],
        "mma" => &[(1, 0, 1), (1, 1, 2), (2, 0, 1)],
        _ => &[],
    };
    for (operand, left, right) in pairs {
        if let Some(Operand::Vector(parts)) = instruction.operands.get(*operand)
            && *right < parts.len()
        {
            let changed = rewired(instruction, |operands| {
                if let Operand::Vector(parts) = &mut operands[*operand] {
                    parts.swap(*left, *right);
                }
            });
            changes.push((Class::Operands, Some(changed)));
        }
    }
    changes
}

/// Whether a comparison is other than `eq`, `ne` and their like, which are the same both ways round.
fn is_ordered(modifiers: &[String]) -> bool {
    modifiers
        .first()
        .is_some_and(|comparison| !matches!(comparison.as_str(), "eq" | "ne" | "equ" | "neu" | "num" | "nan"))
}

/// Whether the table of a `lop3` differs between (a, b) = (0, 1) and (1, 0), for any c. Its bit `4a + 2b + c` is the
/// result.
fn depends_on_order(table: &Operand) -> bool {
    let Operand::Integer(table) = table else { return true };
    (table >> 2 & 3) != (table >> 4 & 3)
}

/// A special register in place of another one.
pub(super) fn special_registers(instruction: &Instruction, facts: &Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    for (index, operand) in instruction.operands.iter().enumerate() {
        let Operand::Register(name) = operand else { continue };
        let others: &[&str] = match name.as_str() {
            "%tid.x" => &["%ctaid.x", "%laneid"],
            "%tid.y" => &["%tid.x", "%tid.z"],
            "%tid.z" => &["%tid.y"],
            "%ctaid.x" => &["%tid.x", "%ctaid.y"],
            "%ctaid.y" => &["%ctaid.x", "%ctaid.z"],
            "%ctaid.z" => &["%ctaid.y"],
            "%ntid.x" => &["%nctaid.x", "%ntid.y"],
            "%ntid.y" => &["%ntid.x"],
            "%ntid.z" => &["%ntid.y"],
            "%nctaid.x" => &["%ntid.x", "%nctaid.y"],
            "%nctaid.y" => &["%nctaid.x"],
            "%nctaid.z" => &["%nctaid.y"],
            "%laneid" => &["%tid.x"],
            "%warpid" => &["%laneid"],
            _ => &[],
        };
        // Within a single warp both are the same.
        let one_warp = facts.most_threads().is_some_and(|threads| threads <= 32);
        let same = |other: &str| one_warp && (name == "%laneid" || other == "%laneid");
        for other in others.iter().filter(|other| !same(other)) {
            let changed = rewired(instruction, |operands| operands[index] = Operand::Register(other.to_string()));
            changes.push((Class::SpecialRegister, Some(changed)));
        }
    }
    changes
}

/// An address one access further and one nearer.
pub(super) fn offsets(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let Some(step) = access_bytes(instruction) else { return Vec::new() };
    let mut changes = Vec::new();
    for (index, operand) in instruction.operands.iter().enumerate() {
        if let Operand::Address(base, offset) = operand {
            for moved in [offset.wrapping_add(step), offset.wrapping_sub(step)] {
                let changed = rewired(instruction, |operands| operands[index] = Operand::Address(base.clone(), moved));
                changes.push((Class::Offset, Some(changed)));
            }
        }
    }
    changes
}

/// How many bytes a thread accesses at an address.
fn access_bytes(instruction: &Instruction) -> Option<i64> {
    match instruction.opcode.as_str() {
        "ld" | "st" | "atom" | "red" => {
            let element = instruction.modifiers.iter().rev().find_map(|modifier| crate::parse::bytes_of(modifier))?;
            let count = instruction.modifiers.iter().find_map(|modifier| match modifier.as_str() {
                "v2" => Some(2),
                "v4" => Some(4),
                "v8" => Some(8),
                _ => None,
            });
            Some(element as i64 * count.unwrap_or(1))
        }
        // A row of eight elements of 16 bits.
        "ldmatrix" | "stmatrix" => Some(16),
        "cp" => match instruction.operands.get(2) {
            Some(Operand::Integer(bytes)) => Some(*bytes),
            _ => None,
        },
        _ => None,
    }
}

/// A constant one larger and one smaller.
pub(super) fn immediates(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    for (index, operand) in instruction.operands.iter().enumerate() {
        if has_other_rules(instruction, index) {
            continue;
        }
        for other in neighbours(instruction, operand) {
            changes.push((Class::Immediate, Some(rewired(instruction, |operands| operands[index] = other))));
        }
    }
    changes
}

/// Constants that are no data: numbers of barriers, sizes of copies, times; and all that `shfl` reads except its lane
/// and its members (of the clamp only some bits count).
fn has_other_rules(instruction: &Instruction, index: usize) -> bool {
    match instruction.opcode.as_str() {
        "bar" | "barrier" | "cp" | "nanosleep" | "mma" => true,
        "shfl" => index == 3,
        _ => false,
    }
}

fn neighbours(instruction: &Instruction, operand: &Operand) -> Vec<Operand> {
    let is = |kind: &str| instruction.modifiers.last().is_some_and(|modifier| modifier == kind);
    match operand {
        // A predicate is zero or not.
        Operand::Integer(value) if is("pred") => vec![Operand::Integer(i64::from(*value == 0))],
        Operand::Integer(value) => {
            let mut others = vec![value.wrapping_add(1), value.wrapping_sub(1)];
            match instruction.opcode.as_str() {
                "lop3" => others.retain(|table| (0..256).contains(table)),
                // From there on, an arithmetic shift leaves nothing but the sign.
                "shr" if is("s32") => others.retain(|amount| *amount != 32),
                "shr" if is("s64") => others.retain(|amount| *amount != 64),
                _ => {}
            }
            // Beyond the smallest number comes the largest, as in the register.
            let bits =
                instruction.modifiers.last().and_then(|kind| crate::parse::bytes_of(kind)).map(|bytes| 8 * bytes);
            let wrapped = |other: i64| match bits {
                Some(bits @ ..=32) if other < -(1 << (bits - 1)) || other >> bits > 0 => other & ((1 << bits) - 1),
                _ => other,
            };
            others.into_iter().map(|other| Operand::Integer(wrapped(other))).collect()
        }
        // Where one more changes nothing (an infinity, 2^24 and beyond), the sign is changed.
        Operand::Float32(bits) => {
            let value = f32::from_bits(*bits);
            let other = if value + 1.0 == value { -value } else { value + 1.0 };
            if value.is_nan() { Vec::new() } else { vec![Operand::Float32(other.to_bits())] }
        }
        Operand::Float64(bits) => {
            let value = f64::from_bits(*bits);
            let other = if value + 1.0 == value { -value } else { value + 1.0 };
            if value.is_nan() { Vec::new() } else { vec![Operand::Float64(other.to_bits())] }
        }
        _ => Vec::new(),
    }
}
