//! Mutants of a kernel, for tests of its tests: each is the kernel with one small change of a kind that people make. A
//! check that is worth its name fails on every mutant that does not mean the same.
//!
//! The changes follow from the instructions alone and not from anything that is checked elsewhere:
//! [`Class`] lists them. Left out are changes that cannot show by the rules of PTX: of results that nothing reads, of
//! operands that are equal, of the sign of what is never negative, of cache and scheduling hints.
//!
//! ```
//! let text = ".version 8.7 .target sm_80 .address_size 64
//!     .entry k(.param .u64 y) { .reg .b64 %rd<2>; .reg .b32 %r<3>;
//!     ld.param.u64 %rd1, [y]; mov.u32 %r1, %tid.x; sub.s32 %r2, %r1, 7; st.global.u32 [%rd1], %r2; ret; }";
//! let module = ptxsim::ast::Module::parse(text)?;
//! for mutant in ptxsim::mutate::mutants(&module, "k") {
//!     println!("{mutant}");
//!     let changed = mutant.apply(&module); // has entry `k` and no other
//!     assert_ne!(changed.entries[0], module.entries[0]);
//! }
//! # Ok::<(), ptxsim::ParseError>(())
//! ```

mod control;
mod facts;
mod modifiers;
mod opcodes;
mod operands;
mod reveal;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::ast::{Entry, Instruction, Module};
use facts::Facts;

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Two operands of an instruction that is not commutative, or two elements of a vector, change places.
    Operands,
    /// A special register is read in place of another, `%ctaid.x` in place of `%tid.x`.
    SpecialRegister,
    /// The offset of an address is one access further or nearer.
    Offset,
    /// A constant is one larger or smaller.
    Immediate,
    /// An opcode becomes a related one, `add` becomes `sub`.
    Opcode,
    /// A comparison has its boundary or its direction changed.
    Comparison,
    /// `fma` and `mad` without their addend.
    Addend,
    /// Round to nearest becomes toward zero, and back.
    Rounding,
    /// Subnormal numbers are flushed to zero, or no longer.
    Subnormals,
    /// Signed becomes unsigned, and back.
    Signedness,
    /// `ldmatrix` transposes where it did not, and does not where it did.
    Layout,
    /// `shfl` reads another lane.
    Shuffle,
    /// `cp.async` fills other bytes with zeros.
    Fill,
    /// A guard is negated or gone.
    Guard,
    /// The condition of a branch is negated or gone.
    Branch,
    /// A barrier or a fence is gone.
    Barrier,
    /// A wait for asynchronous copies waits for fewer, or is gone, or so is the commit before it.
    Wait,
    /// A store, a copy or a multiply-add is gone.
    Dropped,
}

/// A kernel with one change.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutant {
    /// The name of the entry.
    pub entry: String,
    /// The kind of change.
    pub class: Class,
    /// Line of the changed instruction in the PTX text, from 1.
    pub line: u32,
    /// File and line in the source, where known.
    pub source: Option<(String, u32)>,
    /// The instruction before the change.
    pub before: String,
    /// The instruction after the change; `None` where it is gone.
    pub after: Option<String>,
    index: usize,
    replacement: Option<Instruction>,
}

impl Mutant {
    /// The module with this mutant's entry in place of the original, and without the other entries.
    ///
    /// `module` is the one that [`mutants`] was given.
    pub fn apply(&self, module: &Module) -> Module {
        let Module { version, target, files, variables, entries } = module;
        let entries = entries.iter().filter(|entry| entry.name == self.entry).map(|entry| self.changed(entry));
        Module {
            version: version.clone(),
            target: target.clone(),
            files: files.clone(),
            variables: variables.clone(),
            entries: entries.collect(),
        }
    }

    fn changed(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        match &self.replacement {
            Some(replacement) => entry.instructions[self.index] = replacement.clone(),
            None => {
                entry.instructions.remove(self.index);
                for (_, at) in &mut entry.labels {
                    *at -= usize::from(*at > self.index);
                }
            }
        }
        entry
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, PTX line {}", self.entry, self.line)?;
        if let Some((file, line)) = &self.source {
            write!(f, " ({file}:{line})")?;
        }
        write!(f, ", {:?}: `{}` ", self.class, self.before)?;
        match &self.after {
            Some(after) => write!(f, "became `{after}`"),
            None => write!(f, "is gone"),
        }
    }
}

/// A change of an instruction: its kind, and what stands in its place, `None` for nothing.
type Change = (Class, Option<Instruction>);

/// What makes changes out of an instruction.
type Operator = fn(&Instruction, &Facts) -> Vec<Change>;

const OPERATORS: [Operator; 16] = [
    operands::swapped,
    operands::special_registers,
    operands::offsets,
    operands::immediates,
    opcodes::related,
    opcodes::comparisons,
    opcodes::addends,
    modifiers::rounding,
    modifiers::subnormals,
    modifiers::signedness,
    modifiers::layouts,
    modifiers::shuffles,
    modifiers::fills,
    control::guards,
    control::waits,
    control::dropped,
];

/// All mutants of an entry, in the order of its instructions; none where the module has no such entry.
pub fn mutants(module: &Module, entry: &str) -> Vec<Mutant> {
    let Some(entry) = module.entries.iter().find(|known| known.name == entry) else { return Vec::new() };
    let facts = Facts::of(entry);
    let mut found: Vec<Mutant> = Vec::new();
    for (index, instruction) in entry.instructions.iter().enumerate() {
        if facts.unread(instruction) || facts.leads_on(instruction, index) {
            continue;
        }
        let first = found.len();
        for (class, replacement) in OPERATORS.iter().flat_map(|operator| operator(instruction, &facts)) {
            let known = found[first..].iter().any(|mutant| mutant.replacement == replacement);
            if replacement.as_ref() == Some(instruction) || known {
                continue;
            }
            let source = instruction.source.map(|(file, line)| {
                let name = module.files.iter().find(|(number, _)| *number == file);
                (name.map_or_else(|| format!("file {file}"), |(_, name)| name.clone()), line)
            });
            found.push(Mutant {
                entry: entry.name.clone(),
                class,
                line: instruction.line,
                source,
                before: instruction.to_string(),
                after: replacement.as_ref().map(Instruction::to_string),
                index,
                replacement,
            });
        }
    }
    found
}

/// A sample of `count` mutants, or all where there are fewer: as even over the classes as they allow, drawn by `seed`
/// within each class, in the order they had. The same call gives the same sample.
pub fn sample(mutants: Vec<Mutant>, count: usize, seed: u64) -> Vec<Mutant> {
    let mut classes: Vec<Class> = mutants.iter().map(|mutant| mutant.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let mut state = seed;
    // Which classes are served first is drawn as well: a small sample does not reach all of them.
    shuffle(&mut classes, &mut state);
    // Each mutant's turn: the first of every class come first, then the second of every class, and so on.
    let mut turns: Vec<(usize, usize, usize)> = Vec::with_capacity(mutants.len());
    for (rank, class) in classes.into_iter().enumerate() {
        let mut members: Vec<usize> = (0..mutants.len()).filter(|index| mutants[*index].class == class).collect();
        shuffle(&mut members, &mut state);
        turns.extend(members.into_iter().enumerate().map(|(turn, index)| (turn, rank, index)));
    }
    turns.sort_unstable();
    turns.truncate(count);
    let mut chosen = vec![false; mutants.len()];
    turns.iter().for_each(|(_, _, index)| chosen[*index] = true);
    mutants.into_iter().zip(chosen).filter_map(|(mutant, chosen)| chosen.then_some(mutant)).collect()
}

/// Fisher and Yates' shuffle.
fn shuffle<T>(items: &mut [T], state: &mut u64) {
    for last in (1..items.len()).rev() {
        items.swap(last, (random(state) % (last as u64 + 1)) as usize);
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The instruction with another opcode and other modifiers.
fn renamed(instruction: &Instruction, opcode: &str, modifiers: Vec<String>) -> Instruction {
    Instruction { opcode: opcode.to_string(), modifiers, ..instruction.clone() }
}

/// The instruction with other operands.
fn rewired(instruction: &Instruction, change: impl FnOnce(&mut Vec<crate::ast::Operand>)) -> Instruction {
    let mut changed = instruction.clone();
    change(&mut changed.operands);
    changed
}
