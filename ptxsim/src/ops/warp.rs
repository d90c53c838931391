//! Instructions in which the lanes of a warp work together (PTX ISA 9.7.9.6 `shfl.sync`, 9.7.13.8 to 9.7.13.12).

use crate::ast::Operand;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::exec::code::NONE;
use crate::exec::lanes::{Lane, WARP, versions, write_row};
use crate::exec::{Code, Context, Handler};
use crate::fault::FaultKind;

/// Decodes shuffles, votes, matches and reductions.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Warp;
    let operands = &draft.instruction.operands;
    match draft.instruction.opcode.as_str() {
        "activemask" => {
            draft.kind(&["b32"])?;
            draft.end(1)?;
            draft.target(0, &operands[0], 32)?;
            Ok(make_activemask())
        }
        "shfl" => {
            draft.need(&["sync"])?;
            let mode = draft.need(&["up", "down", "bfly", "idx"])?;
            draft.kind(&["b32"])?;
            draft.end(5)?;
            match &operands[0] {
                Operand::Pair(value, inside) => {
                    draft.target(0, value, 32)?;
                    draft.target_predicate(5, inside)?;
                }
                value => draft.target(0, value, 32)?,
            }
            for at in 1..5 {
                draft.source(at, &operands[at], 32)?;
            }
            Ok(match mode {
                "up" => make_shuffle::<0>(),
                "down" => make_shuffle::<1>(),
                "bfly" => make_shuffle::<2>(),
                _ => make_shuffle::<3>(),
            })
        }
        "vote" => {
            draft.need(&["sync"])?;
            let mode = draft.need(&["all", "any", "uni", "ballot"])?;
            draft.kind(if mode == "ballot" { &["b32"] } else { &["pred"] })?;
            draft.end(3)?;
            match mode {
                "ballot" => draft.target(0, &operands[0], 32)?,
                _ => draft.target_predicate(0, &operands[0])?,
            }
            draft.code.immediate = draft.source_predicate(1, &operands[1])? as i64;
            draft.source(2, &operands[2], 32)?;
            draft.code.choice =
                ["all", "any", "uni", "ballot"].iter().position(|name| *name == mode).unwrap_or(0) as u8;
            Ok(make_vote())
        }
        "match" => {
            let mode = draft.need(&["any", "all"])?;
            draft.need(&["sync"])?;
            let kind = draft.kind(&["b32", "b64"])?;
            draft.end(3)?;
            match (&operands[0], mode) {
                (Operand::Pair(value, same), "all") => {
                    draft.target(0, value, 32)?;
                    draft.target_predicate(3, same)?;
                }
                (value, _) => draft.target(0, value, 32)?,
            }
            draft.source(1, &operands[1], kind.bits)?;
            draft.source(2, &operands[2], 32)?;
            draft.code.choice = (mode == "all") as u8;
            Ok(if kind.bits == 64 { make_matches::<u64>() } else { make_matches::<u32>() })
        }
        _ => {
            draft.need(&["sync"])?;
            let operation = draft.need(&["add", "min", "max", "and", "or", "xor"])?;
            let kind = draft.kind(match operation {
                "add" | "min" | "max" => &["u32", "s32"],
                _ => &["b32"],
            })?;
            draft.end(3)?;
            draft.target(0, &operands[0], 32)?;
            draft.source(1, &operands[1], 32)?;
            draft.source(2, &operands[2], 32)?;
            Ok(match (operation, kind.is_signed()) {
                ("add", _) => reduce(|a, b| a.wrapping_add(b)),
                ("min", true) => reduce(|a, b| (a as i32).min(b as i32) as u32),
                ("max", true) => reduce(|a, b| (a as i32).max(b as i32) as u32),
                ("min", _) => reduce(|a, b| a.min(b)),
                ("max", _) => reduce(|a, b| a.max(b)),
                ("and", _) => reduce(|a, b| a & b),
                ("or", _) => reduce(|a, b| a | b),
                _ => reduce(|a, b| a ^ b),
            })
        }
    }
}

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn activemask(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: the decoder made `r[0]` a row.
    unsafe { write_row(context.row::<u32>(code.r[0]), &[context.active & mask; WARP], mask) };
    true
}
versions!(make_activemask, activemask, fast_activemask, [], []);

#[inline(always)]
// SAFETY: see `Handler`; `r[0]` gets lane `r[2]` of `r[1]`, clamped as `r[3]` says, among the members `r[4]`.
unsafe fn shuffle<const MODE: u8>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: the decoder made these rows.
    unsafe {
        if !context.converged_row(code, mask, code.r[4]) {
            return false;
        }
        let (a, b, c) =
            (context.values::<u32>(code.r[1]), context.values::<u32>(code.r[2]), context.values::<u32>(code.r[3]));
        let (mut out, mut inside, mut read) = ([0u32; WARP], 0u32, 0u32);
        for lane in 0..WARP as u32 {
            let (by, clamp, segment) = (b[lane as usize] & 31, c[lane as usize] & 31, c[lane as usize] >> 8 & 31);
            let most = (lane & segment) | (clamp & !segment);
            let least = lane & segment;
            let (from, good) = match MODE {
                0 => (lane.wrapping_sub(by), lane as i32 - by as i32 >= most as i32),
                1 => (lane + by, lane + by <= most),
                2 => (lane ^ by, lane ^ by <= most),
                _ => (least | (by & !segment), least | (by & !segment) <= most),
            };
            let from = if good { from & 31 } else { lane };
            out[lane as usize] = a[from as usize];
            inside |= (good as u32) << lane;
            read |= if mask >> lane & 1 != 0 { 1 << from } else { 0 };
        }
        if read & !mask != 0 && context.checks.convergence {
            let from = (read & !mask).trailing_zeros();
            let message = format!("lane {from} is read, which takes no part: the value is undefined");
            return context.fail(code, FaultKind::Undefined, None, None, None, message);
        }
        write_row(context.row::<u32>(code.r[0]), &out, mask);
        if code.r[5] != NONE {
            context.set_predicate(code.r[5], inside, mask);
        }
    }
    true
}
versions!(make_shuffle, shuffle, fast_shuffle, [const MODE: u8], [MODE]);

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn vote(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: the decoder made `r[1]` a predicate, `r[2]` a row, and `r[0]` what `choice` needs.
    unsafe {
        if !context.converged_row(code, mask, code.r[2]) {
            return false;
        }
        let votes = (context.predicate(code.r[1]) ^ if code.immediate != 0 { u32::MAX } else { 0 }) & mask;
        let holds = match code.choice {
            0 => votes == mask,
            1 => votes != 0,
            2 => votes == mask || votes == 0,
            _ => {
                write_row(context.row::<u32>(code.r[0]), &[votes; WARP], mask);
                return true;
            }
        };
        context.set_predicate(code.r[0], if holds { u32::MAX } else { 0 }, mask);
    }
    true
}
versions!(make_vote, vote, fast_vote, [], []);

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn matches<T: Lane + PartialEq>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: the decoder made `r[1]` a row of `T`, `r[0]` and `r[2]` rows of 32 bits.
    unsafe {
        if !context.converged_row(code, mask, code.r[2]) {
            return false;
        }
        let values = context.values::<T>(code.r[1]);
        let mut out = [0u32; WARP];
        for lane in 0..WARP {
            for other in (0..WARP).filter(|other| mask >> other & 1 != 0) {
                out[lane] |= ((values[lane] == values[other]) as u32) << other;
            }
        }
        if code.choice == 1 {
            let same = out[mask.trailing_zeros() as usize % WARP] == mask;
            out = [if same { mask } else { 0 }; WARP];
            if code.r[3] != NONE {
                context.set_predicate(code.r[3], if same { u32::MAX } else { 0 }, mask);
            }
        }
        write_row(context.row::<u32>(code.r[0]), &out, mask);
    }
    true
}
versions!(make_matches, matches, fast_matches, [T: Lane + PartialEq], [T]);

fn reduce<F: Fn(u32, u32) -> u32 + Copy + 'static>(_: F) -> Handler {
    make_run_reduce::<F>()
}

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn run_reduce<F: Fn(u32, u32) -> u32 + Copy + 'static>(context: &mut Context, code: &Code, mask: u32) -> bool {
    const { assert!(size_of::<F>() == 0, "the closure captures something") };
    // SAFETY: a copyable type without bytes; one existed when the handler was made.
    let f: F = unsafe { std::mem::zeroed() };
    // SAFETY: the decoder made these rows.
    unsafe {
        if !context.converged_row(code, mask, code.r[2]) {
            return false;
        }
        let values = context.values::<u32>(code.r[1]);
        let lanes = (0..WARP).filter(|lane| mask >> lane & 1 != 0).map(|lane| values[lane]);
        let result = lanes.reduce(f).unwrap_or(0);
        write_row(context.row::<u32>(code.r[0]), &[result; WARP], mask);
    }
    true
}
versions!(make_run_reduce, run_reduce, fast_run_reduce, [F: Fn(u32, u32) -> u32 + Copy + 'static], [F]);
