//! Asynchronous copies from global to shared memory (PTX ISA 9.7.9.25 `cp.async`).
//!
//! What is copied is read when the instruction runs and written when its thread waits for it: shared memory changes only
//! then. Until then the destination is marked, and touching it is a fault.

use crate::ast::Operand;
use crate::checks::races::Touch;
use crate::checks::watch::watch;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::decode::registers::Space;
use crate::exec::lanes::{WARP, versions};
use crate::exec::{Code, Context, Handler};
use crate::fault::FaultKind;
use crate::memory::access;
use crate::memory::each_word;
use crate::ops::memory::written;

/// The destination's address has 64 bits.
const WIDE: u8 = 1;

/// Copies of one instruction that are on their way.
struct Copy {
    /// Lanes whose copy has not been waited for.
    mask: u32,
    bytes: u32,
    /// Places in shared memory.
    offsets: [u32; WARP],
    data: [[u8; 16]; WARP],
    /// Number of the group of each lane that the copy belongs to.
    group: [u32; WARP],
    index: u32,
}

/// Copies of a warp.
#[derive(Default)]
pub(crate) struct Queue {
    copies: Vec<Copy>,
    /// Groups that each lane has committed.
    committed: [u32; WARP],
}

impl Queue {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.copies.clear();
        self.committed = [0; WARP];
    }
}

/// Decodes `cp.async` and what waits for it.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::AsyncCopy;
    draft.need(&["async"])?;
    let operands = &draft.instruction.operands;
    match draft.need(&["ca", "cg", "commit_group", "wait_group", "wait_all"])? {
        "commit_group" => {
            draft.end(0)?;
            Ok(make_commit())
        }
        "wait_group" => {
            draft.end(1)?;
            let Operand::Integer(count @ 0..=0xffff) = operands[0] else {
                return Refusal::new("the number of groups is an integer");
            };
            draft.code.immediate = count;
            Ok(make_wait())
        }
        "wait_all" => {
            draft.end(0)?;
            draft.code.immediate = -1;
            Ok(make_wait())
        }
        cache => {
            draft.need(&["shared", "shared::cta"])?;
            draft.need(&["global"])?;
            draft.one_of(&["L2::64B", "L2::128B", "L2::256B"]);
            draft.end(if operands.len() == 3 { 3 } else { 4 })?;
            let (Operand::Address(to, to_offset), Operand::Address(from, from_offset)) = (&operands[0], &operands[1])
            else {
                return Refusal::new("the first two operands are addresses");
            };
            let (Ok(low), Ok(high)) = (i32::try_from(*to_offset), i32::try_from(*from_offset)) else {
                return Refusal::new("the offsets have to fit 32 bits");
            };
            draft.code.immediate = (low as u32 as i64) | (high as i64) << 32;
            match &**to {
                Operand::Name(name) if draft.registers.variable(name)?.space == Space::Shared => {
                    draft.source(0, to, 32)?
                }
                Operand::Name(name) => return Refusal::new(format!("{name} is not in shared memory")),
                to => {
                    if draft.source_of(0, to, 32)? == 64 {
                        draft.code.choice |= WIDE;
                    }
                }
            }
            draft.source(1, from, 64)?;
            draft.source(2, operands.get(3).unwrap_or(&operands[2]), 32)?;
            match (cache, &operands[2]) {
                ("ca", Operand::Integer(4)) => Ok(make_copy::<4>()),
                ("ca", Operand::Integer(8)) => Ok(make_copy::<8>()),
                (_, Operand::Integer(16)) => Ok(make_copy::<16>()),
                (_, size) => Refusal::new(format!("cp.async.{cache} of {size} bytes is not known")),
            }
        }
    }
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made the rows.
unsafe fn copy<const B: usize>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above; `group` checks every access.
    unsafe {
        let to_offset = code.immediate as i32;
        let from_offset = (code.immediate >> 32) as u64;
        let mut to = [0u64; WARP];
        if code.choice & WIDE != 0 {
            let row = context.values::<u64>(code.r[0]);
            (0..WARP).for_each(|lane| to[lane] = row[lane].wrapping_add(to_offset as i64 as u64));
        } else {
            let row = context.values::<u32>(code.r[0]);
            (0..WARP).for_each(|lane| to[lane] = row[lane].wrapping_add(to_offset as u32) as u64);
        }
        let mut from = context.values::<u64>(code.r[1]);
        from.iter_mut().for_each(|address| *address = address.wrapping_add(from_offset));
        let sizes = context.values::<u32>(code.r[2]);
        let Some(target) = access::group(context, code, Space::Shared, &mut to, mask, B as u64, Touch::Write) else {
            return false;
        };
        if context.pending != 0
            && context.checks.initialisation
            && !access::not_pending(context, code, &target, B as u64)
        {
            return false;
        }
        if (context.counting || context.races.is_some()) && !watch(context, code, &target, &to, B as u64, Touch::Write)
        {
            return false;
        }
        let mut copy = Copy {
            mask,
            bytes: B as u32,
            offsets: target.offsets,
            data: [[0; 16]; WARP],
            group: context.copies.committed,
            index: code.index,
        };
        let (mut whole, mut part) = (0u32, 0u32);
        for lane in (0..WARP).filter(|lane| mask >> lane & 1 != 0) {
            match sizes[lane] as usize {
                0 => {}
                size if size == B => whole |= 1 << lane,
                size if size < B => part |= 1 << lane,
                size => {
                    let message = format!("the source has {size} bytes, more than the {B} that are copied");
                    return context.fail(code, FaultKind::Undefined, Some(lane), Some(from[lane]), None, message);
                }
            }
            if !from[lane].is_multiple_of(B as u64) {
                let message = format!("the source of a copy of {B} bytes has to be a multiple of {B}");
                return context.fail(code, FaultKind::Misaligned, Some(lane), Some(from[lane]), None, message);
            }
        }
        while whole != 0 {
            let mut addresses = from;
            let Some(group) = access::group(context, code, Space::Global, &mut addresses, whole, B as u64, Touch::Read)
            else {
                return false;
            };
            if context.checks.initialisation
                && !written::<B>(&group, false)
                && !access::unwritten(context, code, &group, B as u64)
            {
                return false;
            }
            if (context.counting || context.races.is_some())
                && !watch(context, code, &group, &addresses, B as u64, Touch::Read)
            {
                return false;
            }
            for lane in 0..WARP {
                if group.mask >> lane & 1 != 0 {
                    let place = group.data.add(group.offsets[lane] as usize);
                    copy.data[lane].as_mut_ptr().copy_from_nonoverlapping(place, B);
                }
            }
            whole &= !group.mask;
        }
        // Copies that end in zeros read byte by byte.
        for lane in (0..WARP).filter(|lane| part >> lane & 1 != 0) {
            for byte in 0..sizes[lane] as usize {
                let mut addresses = [from[lane] + byte as u64; WARP];
                let only = 1 << lane;
                let Some(group) = access::group(context, code, Space::Global, &mut addresses, only, 1, Touch::Read)
                else {
                    return false;
                };
                if context.checks.initialisation
                    && !written::<1>(&group, false)
                    && !access::unwritten(context, code, &group, 1)
                {
                    return false;
                }
                if (context.counting || context.races.is_some())
                    && !watch(context, code, &group, &addresses, 1, Touch::Read)
                {
                    return false;
                }
                copy.data[lane][byte] = *group.data.add(group.offsets[lane] as usize);
            }
        }
        for lane in (0..WARP).filter(|lane| mask >> lane & 1 != 0) {
            each_word(target.offsets[lane] as u64, B as u64, |word, bits| {
                *target.shadow.add(word as usize) |= bits << 4;
            });
        }
        context.pending += mask.count_ones() * B as u32;
        context.copies.copies.push(copy);
    }
    true
}
versions!(make_copy, copy, fast_copy, [const B: usize], [B]);

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn commit(context: &mut Context, _: &Code, mask: u32) -> bool {
    for (lane, committed) in context.copies.committed.iter_mut().enumerate() {
        *committed += mask >> lane & 1;
    }
    true
}
versions!(make_commit, commit, fast_commit, [], []);

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn wait(context: &mut Context, code: &Code, mask: u32) -> bool {
    let mut copies = std::mem::take(&mut context.copies.copies);
    let committed = context.copies.committed;
    let (data, shadow) = (context.shared.data(), context.shared.shadow());
    let mut sound = true;
    for copy in &mut copies {
        for lane in 0..WARP {
            // All of a lane's groups but the last `immediate`; -1: also those not committed.
            let done = code.immediate < 0 || copy.group[lane] as i64 + code.immediate < committed[lane] as i64;
            if copy.mask & mask & 1 << lane == 0 || !done {
                continue;
            }
            copy.mask &= !(1 << lane);
            let (offset, bytes) = (copy.offsets[lane], copy.bytes);
            context.pending -= bytes;
            // SAFETY: the place was checked when the copy began; shared memory has not changed its size.
            unsafe {
                data.add(offset as usize).copy_from_nonoverlapping(copy.data[lane].as_ptr(), bytes as usize);
                each_word(offset as u64, bytes as u64, |word, bits| {
                    let place = shadow.add(word as usize);
                    *place = (*place | bits) & !(bits << 4);
                });
            }
            let warp = context.warp;
            let Some(races) = &mut context.races else { continue };
            if let Some(other) = races.touch(warp, lane, offset as usize, bytes as usize, Touch::Write) {
                let message = format!(
                    "the copy arrives here, and thread number {} {} it with no barrier between",
                    other.thread,
                    if other.wrote { "has written" } else { "has read" }
                );
                let issue = &context.kernel.codes[copy.index as usize];
                let label = Some("shared memory".into());
                sound &= context.fail(issue, FaultKind::SharedRace, Some(lane), Some(offset as u64), label, message);
            }
        }
    }
    copies.retain(|copy| copy.mask != 0);
    context.copies.copies = copies;
    sound
}
versions!(make_wait, wait, fast_wait, [], []);
