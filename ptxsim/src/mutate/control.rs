//! Changes of whether something happens at all: guards, branches, barriers, waits, stores.

use super::facts::Facts;
use super::{Change, Class};
use crate::ast::{Instruction, Operand};

/// A guard negated and a guard gone.
pub(super) fn guards(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let Some((register, negated)) = &instruction.guard else { return Vec::new() };
    let class = if instruction.opcode == "bra" { Class::Branch } else { Class::Guard };
    let with = |guard| (class, Some(Instruction { guard, ..instruction.clone() }));
    vec![with(Some((register.clone(), !negated))), with(None)]
}

/// Barriers and fences gone; waits for asynchronous copies that wait for fewer or not at all; commits gone.
pub(super) fn waits(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let has = |word: &str| instruction.modifiers.iter().any(|modifier| modifier == word);
    match instruction.opcode.as_str() {
        // `bar.red` has a result, which has to come from somewhere.
        "bar" | "barrier" if !has("red") => vec![(Class::Barrier, None)],
        "membar" | "fence" => vec![(Class::Barrier, None)],
        "cp" if has("wait_all") || has("commit_group") => vec![(Class::Wait, None)],
        "cp" if has("wait_group") => {
            let mut changes = vec![(Class::Wait, None)];
            if let Some(Operand::Integer(count)) = instruction.operands.first() {
                let mut changed = instruction.clone();
                changed.operands[0] = Operand::Integer(count + 1);
                changes.push((Class::Wait, Some(changed)));
            }
            changes
        }
        _ => Vec::new(),
    }
}

/// Stores, reductions in memory and asynchronous copies gone; a multiply-add that leaves its addend as it is.
pub(super) fn dropped(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let has = |word: &str| instruction.modifiers.iter().any(|modifier| modifier == word);
    match (instruction.opcode.as_str(), instruction.operands.as_slice()) {
        ("st" | "red" | "stmatrix", _) | ("cp", [Operand::Address(..), ..]) => vec![(Class::Dropped, None)],
        ("mma", [result, _, _, addend]) if result == addend => vec![(Class::Dropped, None)],
        ("fma" | "mad", [result, _, _, addend]) if result == addend => vec![(Class::Dropped, None)],
        ("fma" | "mad", [result, _, _, addend]) if !has("wide") => {
            let mut moved = instruction.clone();
            moved.opcode = "mov".to_string();
            moved.modifiers = moved.modifiers.last().cloned().into_iter().collect();
            moved.operands = vec![result.clone(), addend.clone()];
            vec![(Class::Dropped, Some(moved))]
        }
        _ => Vec::new(),
    }
}
