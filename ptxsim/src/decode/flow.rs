//! The control flow graph of a kernel: basic blocks, where diverged lanes meet again, and which registers may be read
//! before they are written.

use super::draft::{GUARD, Slot};
use super::registers::Register;
use crate::exec::code::{Code, Kind, NONE};
use std::collections::{BTreeSet, HashMap};

/// No instruction: the end of the kernel.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// A set of small numbers.
#[derive(Clone, PartialEq)]
pub(crate) struct Set(Vec<u64>);

impl Set {
    pub fn new(size: usize, full: bool) -> Set {
        Set(vec![if full { u64::MAX } else { 0 }; size.div_ceil(64)])
    }
    pub fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 != 0
    }
    pub fn put(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }
    pub fn drop(&mut self, index: usize) {
        self.0[index / 64] &= !(1 << (index % 64));
    }
    pub fn meet(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }
    pub fn join(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }
}

/// A basic block: instructions `start..end`.
pub(crate) struct Block {
    pub start: usize,
    pub end: usize,
    pub successors: Vec<usize>,
    pub predecessors: Vec<usize>,
}

/// The graph.
pub(crate) struct Flow {
    pub blocks: Vec<Block>,
    /// For each block, the first instruction of its immediate postdominator, or `NOWHERE`.
    pub meets: Vec<u32>,
}

impl Flow {
    /// Cuts the code into blocks and finds the postdominators.
    pub fn new(code: &[Code]) -> Flow {
        let mut leaders = BTreeSet::from([0]);
        for (index, code) in code.iter().enumerate() {
            if code.kind == Kind::Branch {
                leaders.insert(code.immediate as usize);
            }
            if !matches!(code.kind, Kind::Plain | Kind::Guarded) {
                leaders.insert(index + 1);
            }
        }
        leaders.retain(|leader| *leader < code.len());
        let starts: Vec<usize> = leaders.into_iter().collect();
        let block_of: HashMap<usize, usize> = starts.iter().enumerate().map(|(block, start)| (*start, block)).collect();
        let mut blocks: Vec<Block> = starts
            .iter()
            .enumerate()
            .map(|(block, start)| {
                let end = starts.get(block + 1).copied().unwrap_or(code.len());
                let last = &code[end - 1];
                let guarded = last.guard != NONE;
                let mut successors = Vec::new();
                if last.kind == Kind::Branch {
                    successors.push(block_of[&(last.immediate as usize)]);
                }
                let leaves = matches!(last.kind, Kind::Branch | Kind::Exit | Kind::Trap);
                if (!leaves || guarded) && end < code.len() && !successors.contains(&(block + 1)) {
                    successors.push(block + 1);
                }
                Block { start: *start, end, successors, predecessors: Vec::new() }
            })
            .collect();
        for block in 0..blocks.len() {
            for successor in blocks[block].successors.clone() {
                blocks[successor].predecessors.push(block);
            }
        }
        let meets = postdominators(&blocks, code);
        Flow { blocks, meets }
    }
}

/// Whether a block can leave the kernel.
fn leaves(block: &Block, code: &[Code]) -> bool {
    matches!(code[block.end - 1].kind, Kind::Exit | Kind::Trap) || block.end == code.len()
}

/// Immediate postdominators: Cooper, Harvey and Kennedy, A Simple, Fast Dominance Algorithm (2001), on the reversed
/// graph with one virtual exit, which is block number `blocks.len()`.
fn postdominators(blocks: &[Block], code: &[Code]) -> Vec<u32> {
    let exit = blocks.len();
    // Postorder of the reversed graph from the exit.
    let mut order = Vec::new();
    let mut seen = vec![false; exit + 1];
    let mut stack = vec![(exit, 0)];
    seen[exit] = true;
    let exits: Vec<usize> = (0..exit).filter(|block| leaves(&blocks[*block], code)).collect();
    while let Some((block, next)) = stack.pop() {
        let before = if block == exit { &exits } else { &blocks[block].predecessors };
        match before.get(next) {
            Some(&other) => {
                stack.push((block, next + 1));
                if !seen[other] {
                    seen[other] = true;
                    stack.push((other, 0));
                }
            }
            None => order.push(block),
        }
    }
    let mut rank = vec![usize::MAX; exit + 1];
    order.iter().enumerate().for_each(|(position, block)| rank[*block] = position);
    let mut parent = vec![None; exit + 1];
    parent[exit] = Some(exit);
    let mut changed = true;
    while changed {
        changed = false;
        for &block in order.iter().rev().filter(|block| **block != exit) {
            let own_exit = leaves(&blocks[block], code).then_some(exit);
            let mut best: Option<usize> = None;
            for after in blocks[block].successors.iter().copied().chain(own_exit) {
                if parent[after].is_none() {
                    continue;
                }
                best = Some(match best {
                    None => after,
                    Some(mut one) => {
                        let mut other = after;
                        while one != other {
                            while rank[one] < rank[other] {
                                one = parent[one].unwrap_or(exit);
                            }
                            while rank[other] < rank[one] {
                                other = parent[other].unwrap_or(exit);
                            }
                        }
                        one
                    }
                });
            }
            if parent[block] != best {
                parent[block] = best;
                changed = true;
            }
        }
    }
    (0..exit)
        .map(|block| match parent[block] {
            Some(after) if after != exit => blocks[after].start as u32,
            _ => NOWHERE,
        })
        .collect()
}

/// Registers looked at while an instruction runs, because they may not be written yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    /// Number of the guard among the tracked registers, if it is one.
    pub guard: Option<u32>,
    /// Numbers among the tracked registers that are read.
    pub reads: Vec<u32>,
    /// Numbers among the tracked registers that are written.
    pub writes: Vec<u32>,
    /// A copy: what is written is as unwritten as what is read.
    pub copies: bool,
}

/// Finds the registers that some path reads before writing them, and the instructions that touch those.
///
/// On every other path a read is proved to follow a write, so nothing has to be looked at while the kernel runs.
pub(crate) fn track(
    flow: &Flow,
    code: &[Code],
    slots: &[Vec<Slot>],
    copies: &[bool],
    known: &[Register],
    number: &HashMap<Register, usize>,
) -> (Vec<Register>, HashMap<u32, Track>) {
    let total = number.len();
    let mut entry = Set::new(total, false);
    known.iter().for_each(|register| entry.put(number[register]));
    let transfer = |state: &mut Set, index: usize, mut early: Option<&mut BTreeSet<Register>>| {
        let mut defined = true;
        for slot in slots[index].iter().filter(|slot| !slot.write) {
            if !state.has(number[&slot.register]) {
                defined = false;
                if let Some(early) = early.as_deref_mut() {
                    early.insert(slot.register);
                }
            }
        }
        if code[index].guard == NONE && (defined || !copies[index]) {
            slots[index].iter().filter(|slot| slot.write).for_each(|slot| state.put(number[&slot.register]));
        } else if code[index].guard == NONE {
            slots[index].iter().filter(|slot| slot.write).for_each(|slot| state.drop(number[&slot.register]));
        } else if copies[index] && !defined {
            slots[index].iter().filter(|slot| slot.write).for_each(|slot| state.drop(number[&slot.register]));
        }
    };
    let mut ends = vec![Set::new(total, true); flow.blocks.len()];
    let start = |block: usize, ends: &[Set]| {
        let mut state = if block == 0 { entry.clone() } else { Set::new(total, true) };
        flow.blocks[block].predecessors.iter().for_each(|before| state.meet(&ends[*before]));
        state
    };
    let mut changed = true;
    while changed {
        changed = false;
        for (block, span) in flow.blocks.iter().enumerate() {
            let mut state = start(block, &ends);
            (span.start..span.end).for_each(|index| transfer(&mut state, index, None));
            if state != ends[block] {
                ends[block] = state;
                changed = true;
            }
        }
    }
    let mut early = BTreeSet::new();
    for (block, span) in flow.blocks.iter().enumerate() {
        let mut state = start(block, &ends);
        (span.start..span.end).for_each(|index| transfer(&mut state, index, Some(&mut early)));
    }
    let tracked: Vec<Register> = early.into_iter().collect();
    let place: HashMap<Register, u32> =
        tracked.iter().enumerate().map(|(at, register)| (*register, at as u32)).collect();
    let mut tracks = HashMap::new();
    if tracked.is_empty() {
        return (tracked, tracks);
    }
    for (index, slots) in slots.iter().enumerate() {
        let numbers = |write: bool| -> Vec<u32> {
            let slots = slots.iter().filter(|slot| slot.write == write && slot.at != GUARD);
            slots.filter_map(|slot| place.get(&slot.register).copied()).collect()
        };
        let guard = slots.iter().find(|slot| slot.at == GUARD).and_then(|slot| place.get(&slot.register).copied());
        let found = Track { guard, reads: numbers(false), writes: numbers(true), copies: copies[index] };
        if found.guard.is_some() || !found.reads.is_empty() || !found.writes.is_empty() {
            tracks.insert(index as u32, found);
        }
    }
    (tracked, tracks)
}
