//! Gives registers to rows: registers that are never alive at once share a row, so that the rows of a warp stay in the
//! processor's first cache although the PTX names a new register for every value.
//!
//! Linear scan (Poletto and Sarkar 1999) over the span of instructions in which a register is alive. Lanes that took
//! different ways do not disturb each other: each writes its own lanes of a row only.

use super::draft::Slot;
use super::flow::{Flow, Set};
use super::registers::{Class, Register};
use crate::exec::code::{Code, NONE};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The row (in units of 32 lanes x 4 bytes) or predicate of each register, and how many there are.
pub(crate) struct Rows {
    pub place: HashMap<Register, u16>,
    pub rows: usize,
    pub predicates: usize,
    /// Rows below this are halves of wide ones.
    pub wide: u16,
}

/// Assigns all registers; those of `known` keep a place of their own. `None` if there are more than 65535 rows.
pub(crate) fn assign(
    flow: &Flow,
    code: &[Code],
    slots: &[Vec<Slot>],
    known: &[Register],
    number: &HashMap<Register, usize>,
) -> Option<Rows> {
    let spans = spans(flow, code, slots, number);
    let fixed: HashSet<Register> = known.iter().copied().collect();
    let mut order: Vec<(usize, usize, Register)> = number
        .iter()
        .filter(|(register, _)| !fixed.contains(register))
        .filter_map(|(register, number)| spans[*number].map(|(from, to)| (from, to, *register)))
        .collect();
    order.sort();
    let mut counts = [0u32; 3];
    let mut free: [Vec<u32>; 3] = Default::default();
    let mut ends: BTreeMap<(usize, Register), u32> = BTreeMap::new();
    let mut found: Vec<(Register, u32)> = Vec::new();
    for (from, to, register) in order {
        while let Some((&(end, done), &row)) = ends.first_key_value() {
            if end >= from {
                break;
            }
            ends.pop_first();
            free[done.class as usize].push(row);
        }
        let class = register.class as usize;
        let row = free[class].pop().unwrap_or_else(|| {
            counts[class] += 1;
            counts[class] - 1
        });
        ends.insert((to, register), row);
        found.push((register, row));
    }
    for register in known {
        let class = register.class as usize;
        found.push((*register, counts[class]));
        counts[class] += 1;
    }
    let wide = counts[Class::Wide as usize];
    let rows = (2 * wide + counts[Class::Row as usize]) as usize;
    let predicates = counts[Class::Predicate as usize] as usize;
    if rows >= NONE as usize || predicates >= NONE as usize {
        return None;
    }
    let place = found
        .into_iter()
        .map(|(register, row)| {
            let place = match register.class {
                Class::Wide => 2 * row,
                Class::Row => 2 * wide + row,
                Class::Predicate => row,
            };
            (register, place as u16)
        })
        .collect();
    Some(Rows { place, rows, predicates, wide: 2 * wide as u16 })
}

/// From where to where each register is alive: instruction `i` reads at `2 i` and writes at `2 i + 1`.
fn spans(
    flow: &Flow,
    code: &[Code],
    slots: &[Vec<Slot>],
    number: &HashMap<Register, usize>,
) -> Vec<Option<(usize, usize)>> {
    let total = number.len();
    // Walks a block backwards; tells of every register alive at a position.
    let walk = |block: usize, live: &mut Set, note: &mut dyn FnMut(usize, usize)| {
        let span = &flow.blocks[block];
        for index in (span.start..span.end).rev() {
            for slot in slots[index].iter().filter(|slot| slot.write) {
                let number = number[&slot.register];
                note(number, 2 * index + 1);
                // A guarded write leaves other lanes as they were.
                if code[index].guard == NONE {
                    live.drop(number);
                } else {
                    live.put(number);
                }
            }
            for slot in slots[index].iter().filter(|slot| !slot.write) {
                let number = number[&slot.register];
                note(number, 2 * index);
                live.put(number);
            }
        }
    };
    let mut starts = vec![Set::new(total, false); flow.blocks.len()];
    let end = |block: usize, starts: &[Set]| {
        let mut live = Set::new(total, false);
        flow.blocks[block].successors.iter().for_each(|after| live.join(&starts[*after]));
        live
    };
    let mut changed = true;
    while changed {
        changed = false;
        for block in (0..flow.blocks.len()).rev() {
            let mut live = end(block, &starts);
            walk(block, &mut live, &mut |_, _| ());
            if live != starts[block] {
                starts[block] = live;
                changed = true;
            }
        }
    }
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; total];
    let mut note = |number: usize, at: usize| {
        let (from, to) = spans[number].unwrap_or((at, at));
        spans[number] = Some((from.min(at), to.max(at)));
    };
    for block in 0..flow.blocks.len() {
        let mut live = end(block, &starts);
        for number in (0..total).filter(|number| live.has(*number)) {
            note(number, 2 * flow.blocks[block].end);
        }
        for number in (0..total).filter(|number| starts[block].has(*number)) {
            note(number, 2 * flow.blocks[block].start);
        }
        walk(block, &mut live, &mut note);
    }
    spans
}
