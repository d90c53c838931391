//! What an entry says about its registers as a whole, whatever the order in which its instructions run.

use std::collections::{HashMap, HashSet};

use crate::ast::{Entry, Instruction, Operand};

pub(super) struct Facts<'a> {
    entry: &'a Entry,
    /// Registers and their declared types.
    kinds: HashMap<String, &'a str>,
    /// Registers that some instruction reads.
    read: HashSet<&'a str>,
    /// Integer registers in whose value the sign bit is never set.
    nonnegative: HashSet<&'a str>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(entry: &'a Entry) -> Facts<'a> {
        let mut kinds = HashMap::new();
        for (kind, name, count) in &entry.registers {
            match count {
                0 => drop(kinds.insert(name.clone(), kind.as_str())),
                _ => kinds.extend((0..*count).map(|index| (format!("{name}{index}"), kind.as_str()))),
            }
        }
        let mut read = HashSet::new();
        for instruction in &entry.instructions {
            read.extend(instruction.guard.iter().map(|(name, _)| name.as_str()));
            let inputs = if writes(instruction) { 1 } else { 0 };
            instruction.operands[inputs.min(instruction.operands.len())..].iter().for_each(|operand| {
                registers(operand, &mut read);
            });
        }
        let nonnegative = nonnegative(entry, &kinds);
        Facts { entry, kinds, read, nonnegative }
    }

    /// Bits of a register's declared type; `None` for predicates and what is not declared.
    pub(super) fn bits(&self, register: &str) -> Option<u64> {
        self.kinds.get(register).and_then(|kind| crate::parse::bytes_of(kind)).map(|bytes| 8 * bytes)
    }

    /// Whether the instruction does nothing but write registers that nobody reads.
    pub(super) fn unread(&self, instruction: &Instruction) -> bool {
        let pure = !matches!(instruction.opcode.as_str(), "atom" | "bar" | "barrier");
        let mut written = HashSet::new();
        if let (true, Some(operand)) = (writes(instruction), instruction.operands.first()) {
            registers(operand, &mut written);
        }
        pure && !written.is_empty() && written.is_disjoint(&self.read)
    }

    /// Whether the instruction at `index` is a branch to the one that follows anyway.
    pub(super) fn leads_on(&self, instruction: &Instruction, index: usize) -> bool {
        instruction.opcode == "bra"
            && instruction.operands.iter().all(|operand| match operand {
                Operand::Name(target) => self.entry.labels.iter().any(|(name, at)| name == target && *at == index + 1),
                _ => false,
            })
    }

    /// Whether all but the lowest `bits` bits of the instruction's result, of `width` bits, are shifted out wherever it is
    /// read.
    pub(super) fn shifted_out(&self, instruction: &Instruction, bits: u64, width: u64) -> bool {
        let Some(result @ Operand::Register(name)) = instruction.operands.first() else { return false };
        self.entry.instructions.iter().all(|reader| {
            let mut read = HashSet::new();
            read.extend(reader.guard.iter().map(|(guard, _)| guard.as_str()));
            let first = if writes(reader) { 1 } else { 0 };
            reader.operands.iter().skip(first).for_each(|operand| registers(operand, &mut read));
            let shifts = reader.opcode == "shl"
                && reader.operands.get(1) == Some(result)
                && matches!(reader.operands.get(2), Some(Operand::Integer(by)) if *by >= (width - bits) as i64);
            shifts || !read.contains(name.as_str())
        })
    }

    /// Whether the sign bit of the operand is never set, taken as an integer of `bits`.
    pub(super) fn is_nonnegative(&self, operand: &Operand, bits: u64) -> bool {
        match operand {
            Operand::Register(name) => is_small_special(name) || self.nonnegative.contains(name.as_str()),
            Operand::Integer(value) => *value >= 0 && (bits >= 64 || *value >> (bits - 1) == 0),
            _ => false,
        }
    }

    /// Most threads of a block, where the entry says so.
    pub(super) fn most_threads(&self) -> Option<u64> {
        self.entry.max_threads.map(|sizes| sizes.iter().map(|size| u64::from(*size)).product())
    }
}

/// The declared type of a register.
pub(super) fn kind_of<'a>(entry: &'a Entry, register: &str) -> Option<&'a str> {
    let declared = entry.registers.iter().find(|(_, name, count)| match count {
        0 => name == register,
        _ => register.strip_prefix(name.as_str()).and_then(|rest| rest.parse().ok()).is_some_and(|n: u32| n < *count),
    });
    declared.map(|(kind, ..)| kind.as_str())
}

/// Whether the first operand is where the result goes.
pub(super) fn writes(instruction: &Instruction) -> bool {
    match instruction.opcode.as_str() {
        "st" | "red" | "bra" | "ret" | "exit" | "trap" | "cp" | "membar" | "fence" | "prefetch" | "prefetchu"
        | "nanosleep" | "brkpt" | "pmevent" | "stmatrix" | "discard" | "applypriority" => false,
        "bar" | "barrier" => instruction.modifiers.iter().any(|modifier| modifier == "red"),
        _ => !matches!(instruction.operands.first(), Some(Operand::Address(..))),
    }
}

/// Adds the registers within an operand.
fn registers<'a>(operand: &'a Operand, found: &mut HashSet<&'a str>) {
    match operand {
        Operand::Register(name) => drop(found.insert(name)),
        Operand::Address(inner, _) | Operand::Not(inner) => registers(inner, found),
        Operand::Vector(parts) => parts.iter().for_each(|part| registers(part, found)),
        Operand::Pair(left, right) => {
            registers(left, found);
            registers(right, found);
        }
        Operand::Name(_) | Operand::Integer(_) | Operand::Float32(_) | Operand::Float64(_) | Operand::Sink => {}
    }
}

/// Special registers below 2^31 (PTX ISA manual, chapter 10): places and sizes within grid and block.
fn is_small_special(name: &str) -> bool {
    ["%tid.", "%ntid.", "%ctaid.", "%nctaid.", "%laneid", "%warpid"].iter().any(|prefix| name.starts_with(prefix))
}

/// The registers whose every writer writes nothing negative: all are taken to be so until one is found that is not.
fn nonnegative<'a>(entry: &'a Entry, kinds: &HashMap<String, &str>) -> HashSet<&'a str> {
    let mut believed = HashSet::new();
    for instruction in entry.instructions.iter().filter(|instruction| writes(instruction)) {
        instruction.operands.iter().take(1).for_each(|operand| registers(operand, &mut believed));
    }
    loop {
        let before = believed.len();
        for instruction in entry.instructions.iter().filter(|instruction| writes(instruction)) {
            let mut written = HashSet::new();
            instruction.operands.iter().take(1).for_each(|operand| registers(operand, &mut written));
            if !written.is_empty() && !writes_nonnegative(instruction, &believed, kinds) {
                believed.retain(|name| !written.contains(name));
            }
        }
        if believed.len() == before {
            return believed;
        }
    }
}

fn writes_nonnegative(instruction: &Instruction, believed: &HashSet<&str>, kinds: &HashMap<String, &str>) -> bool {
    // The halves of a value have signs of their own.
    let Some(Operand::Register(result)) = instruction.operands.first() else { return false };
    let modifiers: Vec<&str> = instruction.modifiers.iter().map(String::as_str).collect();
    let input = |index: usize| match instruction.operands.get(index) {
        Some(Operand::Register(name)) => is_small_special(name) || believed.contains(name.as_str()),
        Some(Operand::Integer(value)) => (0..1 << 15).contains(value),
        _ => false,
    };
    match (instruction.opcode.as_str(), modifiers.as_slice()) {
        ("mov", [kind]) => !kind.starts_with('f') && input(1),
        ("and", _) => input(1) || input(2),
        ("or" | "xor", _) => input(1) && input(2),
        ("shr", [kind]) => {
            let shifts = matches!(instruction.operands.get(2), Some(Operand::Integer(1..)));
            input(1) || (shifts && !kind.starts_with('s'))
        }
        ("min" | "max" | "selp", [kind]) => !kind.starts_with('f') && input(1) && input(2),
        ("rem", [kind]) => kind.starts_with('u') && (input(1) || input(2)),
        ("div", [kind]) => kind.starts_with('u') && input(1),
        // To more bits: a value without a sign, or one that is not negative.
        ("cvt", [to, from]) => match (int_bits(to), int_bits(from)) {
            (Some(to), Some(width)) => to > width && (!from.starts_with('s') || input(1)),
            _ => false,
        },
        ("popc" | "clz", _) => true,
        ("ld", [.., from]) if from.starts_with('u') => {
            let width = kinds.get(result).and_then(|kind| crate::parse::bytes_of(kind));
            matches!((width, crate::parse::bytes_of(from)), (Some(width), Some(from)) if width > from)
        }
        _ => false,
    }
}

fn int_bits(kind: &str) -> Option<u64> {
    let digits = kind.strip_prefix(['u', 's'])?;
    digits.parse().ok()
}
