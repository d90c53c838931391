//! One block: its warps take turns until all are done.

pub(crate) use super::warp::State;

use super::barrier::{self, BARRIERS, Barrier};
use super::warp::Warp;
use super::{Context, lanes::WARP};
use crate::decode::Kernel;
use crate::decode::registers::{Known, Special};
use crate::fault::FaultKind;

/// Instructions that a warp runs before another has its turn, where no seed says otherwise: warps that wait for one
/// another in a loop get on.
const SLICE: u64 = 1 << 20;

/// SplitMix64 (Steele, Lea and Flood 2014): the next random number.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Fisher and Yates.
pub(crate) fn shuffle<T>(items: &mut [T], state: &mut u64) {
    for at in (1..items.len()).rev() {
        items.swap(at, (random(state) % (at as u64 + 1)) as usize);
    }
}

/// Writes what is known before the kernel runs, in all warps: constants and special registers.
pub(crate) fn prepare(context: &mut Context, warps: &mut [Warp], dynamic_shared: u32) {
    let count = warps.len() as u32;
    for (index, warp) in warps.iter_mut().enumerate() {
        context.warp = index;
        context.rows = warp.rows.as_mut_ptr() as *mut u32;
        for (place, known) in &context.kernel.known {
            match known {
                Known::Truth(value) => warp.predicates[*place as usize] = if *value { u32::MAX } else { 0 },
                // SAFETY: the decoder made these rows, of the width that goes with the constant.
                Known::Constant(value) => unsafe {
                    if context.kernel.wide(*place) {
                        *(context.row::<u64>(*place) as *mut [u64; WARP]) = [*value; WARP];
                    } else {
                        *(context.row::<u32>(*place) as *mut [u32; WARP]) = [*value as u32; WARP];
                    }
                },
                Known::Special(special) => {
                    let mut row = [0; WARP];
                    for (lane, value) in row.iter_mut().enumerate() {
                        let bit = 1u32 << lane;
                        *value = match special {
                            Special::Thread(axis) => context.thread(lane)[*axis],
                            Special::BlockSize(axis) => context.block_size[*axis],
                            Special::Block(_) => 0,
                            Special::Grid(axis) => context.grid[*axis],
                            Special::Lane => lane as u32,
                            Special::Warp => index as u32,
                            Special::Warps => count,
                            Special::LaneMask(0) => bit,
                            Special::LaneMask(1) => bit | (bit - 1),
                            Special::LaneMask(2) => bit - 1,
                            Special::LaneMask(3) => !(bit - 1),
                            Special::LaneMask(_) => !(bit | (bit - 1)),
                            Special::DynamicShared => dynamic_shared,
                            Special::TotalShared => context.shared.bytes() as u32,
                        };
                    }
                    // SAFETY: as above.
                    unsafe { *(context.row::<u32>(*place) as *mut [u32; WARP]) = row };
                }
            }
        }
    }
}

/// Runs one block; false when it faulted.
pub(crate) fn run(context: &mut Context, warps: &mut [Warp], budget: u64, seed: Option<u64>) -> bool {
    let kernel: &Kernel = context.kernel;
    let threads = context.block_size.iter().product::<u32>() as usize;
    let mut state = seed.map(|seed| seed ^ (context.block_number as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
    let mut left = budget;
    context.barriers = [Barrier::default(); BARRIERS];
    if context.checks.initialisation {
        context.shared.forget();
        context.local.forget();
    }
    if let Some(races) = &mut context.races {
        races.reset();
    }
    for (index, warp) in warps.iter_mut().enumerate() {
        let lanes = (threads - index * WARP).min(WARP);
        warp.start(if lanes == WARP { u32::MAX } else { (1 << lanes) - 1 });
        context.rows = warp.rows.as_mut_ptr() as *mut u32;
        for (place, known) in &kernel.known {
            if let Known::Special(Special::Block(axis)) = known {
                // SAFETY: the decoder made this a row.
                unsafe { *(context.row::<u32>(*place) as *mut [u32; WARP]) = [context.block[*axis]; WARP] };
            }
        }
    }
    let mut order: Vec<usize> = (0..warps.len()).collect();
    loop {
        if let Some(state) = &mut state {
            shuffle(&mut order, state);
        }
        let mut moved = false;
        for &index in &order {
            if warps[index].state != State::Ready {
                continue;
            }
            moved = true;
            context.warp = index;
            let slice = match &mut state {
                // Mostly long turns, sometimes very short ones: both kinds of missing barriers show.
                Some(state) => 1 + random(state) % if random(state).is_multiple_of(2) { 64 } else { 4096 },
                None => SLICE,
            };
            if !warps[index].run(context, slice, &mut left) {
                return false;
            }
            barrier::open(context, warps);
        }
        if moved {
            continue;
        }
        let Some(waiting) = warps.iter().position(|warp| matches!(warp.state, State::Waiting { .. })) else { break };
        let State::Waiting { barrier, index } = warps[waiting].state else { break };
        let here = warps.iter().filter(|warp| matches!(warp.state, State::Waiting { .. })).count();
        let gone = warps.iter().filter(|warp| warp.state == State::Done).count();
        let expected = context.barriers[barrier as usize].expected;
        let message = format!(
            "warp {waiting} waits for {expected} threads at barrier {barrier} for ever: of {} warps {here} wait, {gone} have left",
            warps.len()
        );
        context.warp = waiting;
        let code = &kernel.codes[index as usize];
        return context.fail(code, FaultKind::DivergentBarrier, Some(0), None, None, message);
    }
    context.tally.end_block();
    true
}
