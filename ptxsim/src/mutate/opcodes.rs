//! Changes of what an instruction computes: a related operation, another comparison, a multiply-add without its addend.

use super::facts::Facts;
use super::{Change, Class, renamed};
use crate::ast::{Instruction, Operand};

/// The related operation: `add` and `sub`, `mul` and `add`, `min` and `max`, `and` and `or`, `shl` and `shr`...
pub(super) fn related(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let modifiers = &instruction.modifiers;
    let Some(kind) = modifiers.last() else { return Vec::new() };
    let has = |word: &str| modifiers.iter().any(|modifier| modifier == word);
    let float = kind.starts_with('f') || kind.starts_with("bf");
    let same = || modifiers.clone();
    let only_kind = || vec![kind.clone()];
    let without = |word: &str| modifiers.iter().filter(|modifier| *modifier != word).cloned().collect::<Vec<_>>();
    let replaced = |from: &str, to: &str| {
        modifiers.iter().map(|modifier| if modifier == from { to.to_string() } else { modifier.clone() }).collect()
    };
    let second = instruction.operands.get(2);
    let equal = instruction.operands.get(1) == second;
    let (opcode, modifiers): (&str, Vec<String>) = match instruction.opcode.as_str() {
        // Nothing more and nothing less is the same.
        "add" | "sub" if second.is_some_and(is_zero) => return Vec::new(),
        "add" => ("sub", same()),
        "addc" => ("subc", same()),
        "sub" => ("add", same()),
        "subc" => ("addc", same()),
        "mul" if float => ("add", same()),
        "mul" if has("lo") => ("add", without("lo")),
        "mul" if has("hi") => ("mul", replaced("hi", "lo")),
        "div" if float && (has("approx") || has("full")) => ("mul", vec!["rn".to_string(), kind.clone()]),
        "div" if float => ("mul", same()),
        "div" => ("mul", vec!["lo".to_string(), kind.clone()]),
        "rem" => ("div", same()),
        // Of equal operands, these give the operand itself.
        "min" | "max" | "and" | "or" if equal => return Vec::new(),
        "min" => ("max", same()),
        "max" => ("min", same()),
        "and" => ("or", same()),
        "or" => ("and", same()),
        "xor" => ("or", same()),
        "shl" => ("shr", vec![kind.replace('b', "u")]),
        "shr" => ("shl", vec![kind.replace(['u', 's'], "b")]),
        "neg" => ("mov", only_kind()),
        "not" => ("mov", only_kind()),
        "abs" if float => ("neg", same()),
        "abs" => ("neg", only_kind()),
        "ex2" if kind == "f32" => ("lg2", same()),
        "lg2" => ("ex2", same()),
        "sin" => ("cos", same()),
        "cos" => ("sin", same()),
        "rsqrt" | "rcp" if kind == "f32" => ("sqrt", same()),
        "sqrt" if kind == "f32" => ("rcp", same()),
        "popc" => ("clz", same()),
        "clz" => ("popc", same()),
        "vote" if has("any") => ("vote", replaced("any", "all")),
        "vote" if has("all") => ("vote", replaced("all", "any")),
        "redux" if has("add") => ("redux", replaced("add", "max")),
        "atom" | "red" if has("add") && (kind == "u32" || kind == "s32") => {
            (instruction.opcode.as_str(), replaced("add", "max"))
        }
        "atom" | "red" | "redux" if has("min") => (instruction.opcode.as_str(), replaced("min", "max")),
        "atom" | "red" | "redux" if has("max") => (instruction.opcode.as_str(), replaced("max", "min")),
        "atom" | "red" | "redux" if has("and") => (instruction.opcode.as_str(), replaced("and", "or")),
        "atom" | "red" | "redux" if has("or") => (instruction.opcode.as_str(), replaced("or", "and")),
        _ => return Vec::new(),
    };
    vec![(Class::Opcode, Some(renamed(instruction, opcode, modifiers)))]
}

/// A comparison with its boundary moved, and turned around: `lt` becomes `le` and `gt`.
pub(super) fn comparisons(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    if !matches!(instruction.opcode.as_str(), "setp" | "set") {
        return Vec::new();
    }
    let mut changes = Vec::new();
    let mut change = |index: usize, word: &str| {
        let mut modifiers = instruction.modifiers.clone();
        modifiers[index] = word.to_string();
        changes.push((Class::Comparison, Some(renamed(instruction, &instruction.opcode, modifiers))));
    };
    let others: &[&str] = match instruction.modifiers.first().map(String::as_str) {
        Some("eq") => &["ne"],
        Some("ne") => &["eq"],
        Some("lt") => &["le", "gt"],
        Some("le") => &["lt", "ge"],
        Some("gt") => &["ge", "lt"],
        Some("ge") => &["gt", "le"],
        Some("lo") => &["ls", "hi"],
        Some("ls") => &["lo", "hs"],
        Some("hi") => &["hs", "lo"],
        Some("hs") => &["hi", "ls"],
        Some("equ") => &["neu"],
        Some("neu") => &["equ"],
        Some("ltu") => &["leu", "gtu"],
        Some("leu") => &["ltu", "geu"],
        Some("gtu") => &["geu", "ltu"],
        Some("geu") => &["gtu", "leu"],
        Some("num") => &["nan"],
        Some("nan") => &["num"],
        _ => &[],
    };
    others.iter().for_each(|other| change(0, other));
    // With a further predicate: `setp.lt.and.s32`.
    match instruction.modifiers.get(1).map(String::as_str) {
        Some("and") => change(1, "or"),
        Some("or") => change(1, "and"),
        Some("xor") => change(1, "or"),
        _ => {}
    }
    changes
}

/// `fma` and `mad` become `mul`, which bf16 does not have on every device.
pub(super) fn addends(instruction: &Instruction, _: &Facts) -> Vec<Change> {
    let multiplies = matches!(instruction.opcode.as_str(), "fma" | "mad");
    let bf16 = instruction.modifiers.last().is_some_and(|kind| kind.starts_with("bf16"));
    let adds = instruction.operands.get(3).is_some_and(|addend| !is_zero(addend));
    if !multiplies || !adds || bf16 || instruction.operands.len() != 4 {
        return Vec::new();
    }
    let mut product = renamed(instruction, "mul", instruction.modifiers.clone());
    product.operands.truncate(3);
    vec![(Class::Addend, Some(product))]
}

/// Zero as integer, or as float of either sign.
fn is_zero(operand: &Operand) -> bool {
    match operand {
        Operand::Integer(value) => *value == 0,
        Operand::Float32(bits) => f32::from_bits(*bits) == 0.0,
        Operand::Float64(bits) => f64::from_bits(*bits) == 0.0,
        _ => false,
    }
}
