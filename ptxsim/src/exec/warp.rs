//! One warp: its lanes, the stack of diverged paths, and the loop that runs it.
//!
//! Lanes that branch apart meet again at the branch's immediate postdominator, as the compiler for the hardware arranges
//! it. The stack holds the paths that are still to be run and where each of them ends.

use super::code::{Code, Kind, NONE};
use super::lanes::FULL;
use super::{Context, barrier};
use crate::decode::flow::NOWHERE;
use crate::fault::FaultKind;
use crate::ops::async_copy::Queue;

/// A path: lanes, where they are, and where they wait for the others.
#[derive(Clone, Copy, Debug)]
struct Path {
    at: u32,
    until: u32,
    mask: u32,
}

/// What a warp waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    /// At the barrier of this number, from the instruction of this index.
    Waiting {
        barrier: u8,
        index: u32,
    },
    Done,
}

/// A warp.
pub(crate) struct Warp {
    pub rows: Vec<Row>,
    pub predicates: Vec<u32>,
    pub state: State,
    pub started: u32,
    pub live: u32,
    /// For each tracked register the lanes that have written it.
    pub written: Vec<u32>,
    pub copies: Queue,
    paths: Vec<Path>,
}

/// A register of 32 lanes, aligned for vector instructions.
#[repr(align(64))]
#[derive(Clone, Copy)]
pub(crate) struct Row(#[allow(dead_code, reason = "only looked at through a pointer")] pub [u32; 32]);

impl Warp {
    /// A warp of so many rows and predicates, its registers unwritten.
    pub fn new(rows: usize, predicates: usize, tracked: usize) -> Warp {
        Warp {
            rows: vec![Row([0; 32]); rows],
            predicates: vec![0; predicates],
            state: State::Done,
            started: 0,
            live: 0,
            written: vec![0; tracked],
            copies: Queue::default(),
            paths: Vec::new(),
        }
    }

    /// Puts the warp at the kernel's first instruction.
    pub fn start(&mut self, lanes: u32) {
        self.state = State::Ready;
        self.started = lanes;
        self.live = lanes;
        self.written.fill(0);
        self.copies.clear();
        self.paths.clear();
        self.paths.push(Path { at: 0, until: NOWHERE, mask: lanes });
    }

    /// Runs until the warp is done, waits at a barrier, faults (false), or has run `slice` instructions. What it ran is
    /// taken off `budget`.
    pub fn run(&mut self, context: &mut Context, slice: u64, budget: &mut u64) -> bool {
        context.rows = self.rows.as_mut_ptr() as *mut u32;
        context.predicates = self.predicates.as_mut_ptr();
        context.started = self.started;
        context.live = self.live;
        std::mem::swap(&mut context.copies, &mut self.copies);
        let sound = self.run_paths(context, slice, budget);
        std::mem::swap(&mut context.copies, &mut self.copies);
        self.live = context.live;
        sound
    }

    fn run_paths(&mut self, context: &mut Context, slice: u64, budget: &mut u64) -> bool {
        let kernel = context.kernel;
        let codes: &[Code] = &kernel.codes;
        let mut left = slice as i64;
        'paths: while let Some(path) = self.paths.last_mut() {
            let active = path.mask & context.live;
            if active == 0 || path.at == path.until {
                self.paths.pop();
                continue;
            }
            let (mut at, until) = (path.at, path.until);
            context.active = active;
            'blocks: loop {
                let end = kernel.ends[at as usize];
                let length = (end - at) as u64;
                if *budget < length || left <= 0 {
                    path.at = at;
                    if *budget >= length {
                        return true;
                    }
                    let code = &codes[at as usize];
                    let lane = active.trailing_zeros() as usize;
                    let message = "the block has run more warp instructions than the budget allows".to_string();
                    return context.fail(code, FaultKind::Budget, Some(lane), None, None, message);
                }
                *budget -= length;
                left -= length as i64;
                context.tally.ran(at, end, active);
                for code in &codes[at as usize..end as usize] {
                    match code.kind {
                        Kind::Plain => {
                            // SAFETY: the context holds this warp's rows and the code is its kernel's.
                            if !unsafe { (code.run)(context, code, active) } {
                                return false;
                            }
                            continue;
                        }
                        Kind::Guarded => {
                            let mut mask = active;
                            if code.guard != NONE {
                                // SAFETY: the decoder made the guard a predicate.
                                let guard = unsafe { context.predicate(code.guard) };
                                mask &= if code.negated { !guard } else { guard };
                            }
                            if code.tracked && !track(&mut self.written, context, code, active, mask) {
                                return false;
                            }
                            if mask != active {
                                context.tally.idle(code.index, active & !mask);
                            }
                            // SAFETY: as above.
                            if mask != 0 && !unsafe { (code.run)(context, code, mask) } {
                                return false;
                            }
                            continue;
                        }
                        _ => {}
                    }
                    let mut mask = active;
                    if code.tracked && !track(&mut self.written, context, code, active, active) {
                        return false;
                    }
                    if code.guard != NONE {
                        // SAFETY: as above.
                        let guard = unsafe { context.predicate(code.guard) };
                        mask &= if code.negated { !guard } else { guard };
                    }
                    match code.kind {
                        Kind::Branch if mask == 0 => break,
                        Kind::Branch if mask == active => {
                            at = code.immediate as u32;
                            if at == until {
                                self.paths.pop();
                                continue 'paths;
                            }
                            continue 'blocks;
                        }
                        Kind::Branch => {
                            if code.choice == 1 {
                                let message = format!("bra.uni taken by lanes {mask:#010x} of {active:#010x} only");
                                let lane = Some(mask.trailing_zeros() as usize);
                                return context.fail(code, FaultKind::DivergentCollective, lane, None, None, message);
                            }
                            let meet = kernel.meets[code.index as usize];
                            let (taken, next) = (code.immediate as u32, code.index + 1);
                            if until == meet || meet == NOWHERE {
                                self.paths.pop();
                            } else {
                                path.at = meet;
                                path.mask = active;
                            }
                            let until = meet;
                            for (at, mask) in [(taken, mask), (next, active & !mask)] {
                                if at != meet {
                                    self.paths.push(Path { at, until, mask });
                                }
                            }
                            continue 'paths;
                        }
                        Kind::Exit => {
                            context.live &= !mask;
                            if mask == active {
                                self.paths.pop();
                                continue 'paths;
                            }
                            path.at = end;
                            continue 'paths;
                        }
                        Kind::Barrier if mask == 0 => {}
                        Kind::Barrier => {
                            path.at = end;
                            let Some(barrier) = barrier::arrive(context, code, mask) else { return false };
                            if let Some(barrier) = barrier {
                                self.state = State::Waiting { barrier, index: code.index };
                                return true;
                            }
                        }
                        Kind::Trap if mask == 0 => {}
                        _ => {
                            let lane = Some(mask.trailing_zeros() as usize);
                            let message = "the kernel executed trap".to_string();
                            return context.fail(code, FaultKind::Trap, lane, None, None, message);
                        }
                    }
                }
                at = end;
                if at == until {
                    self.paths.pop();
                    continue 'paths;
                }
            }
        }
        self.state = State::Done;
        true
    }
}

/// Looks at the registers that may be unwritten.
#[cold]
#[inline(never)]
fn track(written: &mut [u32], context: &mut Context, code: &Code, active: u32, mask: u32) -> bool {
    let kernel = context.kernel;
    let Some(track) = kernel.tracks.get(&code.index) else { return true };
    // A guard is read by all lanes, the operands by those that it lets through.
    let guard = track.guard.map(|guard| (guard, active, true));
    let reads = track.reads.iter().map(|read| (*read, mask, !track.copies));
    let mut defined = FULL;
    for (read, lanes, strict) in guard.into_iter().chain(reads) {
        let missing = lanes & !written[read as usize];
        if missing != 0 && strict && context.checks.registers {
            let name = &kernel.tracked[read as usize];
            let lane = Some(missing.trailing_zeros() as usize);
            let message = format!("register {name} is read before it is written");
            return context.fail(code, FaultKind::UninitialisedRegister, lane, None, None, message);
        }
        if !strict {
            defined &= written[read as usize];
        }
    }
    for write in &track.writes {
        let value = if track.copies { defined } else { FULL };
        let place = &mut written[*write as usize];
        *place = (*place & !mask) | (value & mask);
    }
    true
}
