//! Block barriers (PTX ISA, `bar` and `barrier`): warps arrive, the last one lets all of them go on.

use super::code::Code;
use super::lanes::WARP;
use super::{Context, block};
use crate::fault::FaultKind;

/// Bits of [`Code::choice`] for barriers: what a warp does there.
pub(crate) const SYNC: u8 = 0;
pub(crate) const ARRIVE: u8 = 1;
pub(crate) const POPC: u8 = 2;
pub(crate) const AND: u8 = 3;
pub(crate) const OR: u8 = 4;

/// Barriers of a block.
pub(crate) const BARRIERS: usize = 16;

/// One barrier while warps come to it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Barrier {
    /// Warps that have come (bits).
    pub warps: u64,
    /// Threads it waits for.
    pub expected: u32,
    /// Predicates of `bar.red`: how many hold.
    pub holds: u32,
    /// Threads that gave a predicate.
    pub voters: u32,
}

/// The running warp comes to a barrier. `None`: a fault; else the barrier that it has to wait at, if it does.
///
/// Operands: `r[1]` the barrier's number, `r[2]` the number of threads (if `immediate` is not 0), `r[3]` the predicate of
/// `bar.red`, negated if `immediate & 2`, and `r[0]` its result.
pub(crate) fn arrive(context: &mut Context, code: &Code, mask: u32) -> Option<Option<u8>> {
    if mask != context.started {
        let (message, missing) = if mask != context.live {
            (
                format!("only lanes {mask:#010x} of {:#010x} of the warp reach the barrier", context.live),
                context.live & !mask,
            )
        } else {
            (
                format!("lanes {:#010x} of the warp have left before the barrier", context.started & !mask),
                context.started & !mask,
            )
        };
        let lane = Some(missing.trailing_zeros() as usize);
        context.fail(code, FaultKind::DivergentBarrier, lane, None, None, message);
        return None;
    }
    let first = mask.trailing_zeros() as usize;
    let uniform = |context: &Context, place: u16| {
        // SAFETY: the decoder made the operands of barriers rows.
        let values = unsafe { context.values::<u32>(place) };
        (0..WARP).all(|lane| mask >> lane & 1 == 0 || values[lane] == values[first]).then_some(values[first])
    };
    let number = uniform(context, code.r[1]);
    let all = context.block_size.iter().product::<u32>();
    let expected = if code.immediate & 1 != 0 { uniform(context, code.r[2]) } else { Some(all.next_multiple_of(32)) };
    let (number, expected) = match (number, expected) {
        (Some(number), Some(expected)) if (number as usize) < BARRIERS && expected > 0 && expected % 32 == 0 => {
            (number, expected)
        }
        _ => {
            let message = format!(
                "barrier {number:?} for {expected:?} threads: a number below 16 and a multiple of 32 is needed"
            );
            context.fail(code, FaultKind::DivergentBarrier, Some(first), None, None, message);
            return None;
        }
    };
    let barrier = context.barriers[number as usize];
    let warp = 1u64 << context.warp;
    if barrier.warps != 0 && barrier.expected != expected || barrier.warps & warp != 0 {
        let message = if barrier.warps & warp != 0 {
            format!("the warp comes to barrier {number} a second time before it opens")
        } else {
            format!("barrier {number} waits for {} threads, not {expected}", barrier.expected)
        };
        context.fail(code, FaultKind::DivergentBarrier, Some(first), None, None, message);
        return None;
    }
    let mut barrier = Barrier { warps: barrier.warps | warp, expected, ..barrier };
    if code.choice >= POPC {
        // SAFETY: the decoder made this a predicate.
        let value = unsafe { context.predicate(code.r[3]) } ^ if code.immediate & 2 != 0 { u32::MAX } else { 0 };
        barrier.holds += (value & mask).count_ones();
        barrier.voters += mask.count_ones();
    }
    context.barriers[number as usize] = barrier;
    Some((code.choice != ARRIVE).then_some(number as u8))
}

/// Opens the barriers that all have come to.
pub(crate) fn open(context: &mut Context, warps: &mut [super::warp::Warp]) {
    for number in 0..BARRIERS {
        let barrier = context.barriers[number];
        if barrier.warps == 0 || barrier.warps.count_ones() * 32 < barrier.expected {
            continue;
        }
        context.barriers[number] = Barrier::default();
        if let Some(races) = &mut context.races {
            races.meet(barrier.warps);
        }
        for warp in warps.iter_mut() {
            let block::State::Waiting { barrier: at, index } = warp.state else { continue };
            if at as usize != number {
                continue;
            }
            warp.state = block::State::Ready;
            let code = &context.kernel.codes[index as usize];
            context.rows = warp.rows.as_mut_ptr() as *mut u32;
            context.predicates = warp.predicates.as_mut_ptr();
            // SAFETY: these are the rows of the waiting warp; the decoder made `r[0]` a row or a predicate as asked.
            unsafe {
                match code.choice {
                    POPC => super::lanes::write_row(context.row::<u32>(code.r[0]), &[barrier.holds; WARP], warp.live),
                    AND => {
                        let all = if barrier.holds == barrier.voters { u32::MAX } else { 0 };
                        context.set_predicate(code.r[0], all, warp.live);
                    }
                    OR => context.set_predicate(code.r[0], if barrier.holds > 0 { u32::MAX } else { 0 }, warp.live),
                    _ => {}
                }
            }
        }
    }
}
