//! Branches, exits, barriers and fences (PTX ISA 9.7.12 and 9.7.13).

use crate::ast::Operand;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::exec::Handler;
use crate::exec::barrier::{AND, ARRIVE, OR, POPC, SYNC};
use crate::exec::code::Kind;
use crate::exec::lanes::versions;
use crate::exec::{Code, Context};
use std::collections::HashMap;

/// Decodes control flow.
pub(super) fn decode(draft: &mut Draft, labels: &HashMap<&str, usize>) -> Result<Handler, Refusal> {
    let operands = &draft.instruction.operands;
    match draft.instruction.opcode.as_str() {
        "bra" => {
            draft.work = Work::Branch;
            draft.code.choice = draft.flag("uni") as u8;
            draft.end(1)?;
            let Operand::Name(label) = &operands[0] else { return Refusal::new("a branch needs a label") };
            let Some(target) = labels.get(label.as_str()) else {
                return Refusal::new(format!("label {label} is not there"));
            };
            draft.code.immediate = *target as i64;
            draft.code.kind = Kind::Branch;
        }
        "ret" | "exit" => {
            draft.work = Work::Branch;
            draft.code.choice = (draft.instruction.opcode == "ret" && draft.flag("uni")) as u8;
            draft.end(0)?;
            draft.code.kind = Kind::Exit;
        }
        "trap" => {
            draft.work = Work::Branch;
            draft.end(0)?;
            draft.code.kind = Kind::Trap;
        }
        "bar" | "barrier" => return barrier(draft),
        "membar" => {
            draft.work = Work::Barrier;
            draft.need(&["cta", "gl", "sys"])?;
            draft.end(0)?;
        }
        _ => {
            draft.work = Work::Barrier;
            draft.one_of(&["sc", "acq_rel"]);
            draft.need(&["cta", "gpu", "sys"])?;
            draft.end(0)?;
        }
    }
    Ok(super::nothing())
}

fn barrier(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Barrier;
    let operands = &draft.instruction.operands;
    if draft.instruction.opcode == "bar" && draft.flag("warp") {
        draft.need(&["sync"])?;
        draft.end(1)?;
        draft.source(0, &operands[0], 32)?;
        return Ok(make_sync_warp());
    }
    draft.flag("cta");
    let what = draft.need(&["sync", "arrive", "red"])?;
    let operation = if what == "red" { draft.need(&["popc", "and", "or"])? } else { "" };
    // `bar` is the aligned form; the other is held to the same: all threads of a warp come together.
    if draft.instruction.opcode == "barrier" {
        draft.flag("aligned");
    }
    match operation {
        "popc" => draft.kind(&["u32"])?,
        "" => crate::decode::draft::Type { letter: 'b', bits: 32 },
        _ => draft.kind(&["pred"])?,
    };
    if let Some(left) = draft.peek() {
        return Refusal::new(format!("modifier .{left} is not known here"));
    }
    let (first, last) = if what == "red" { (1, 1) } else { (0, 0) };
    let middle = operands.len().saturating_sub(first + last);
    if middle == 0 || middle > 2 || what == "arrive" && middle != 2 {
        return Refusal::new(format!("{} operands are not known here", operands.len()));
    }
    draft.source(1, &operands[first], 32)?;
    if middle == 2 {
        draft.source(2, &operands[first + 1], 32)?;
        draft.code.immediate = 1;
    }
    if what == "red" {
        match operation {
            "popc" => draft.target(0, &operands[0], 32)?,
            _ => draft.target_predicate(0, &operands[0])?,
        }
        if draft.source_predicate(3, &operands[operands.len() - 1])? {
            draft.code.immediate |= 2;
        }
    }
    draft.code.choice = match (what, operation) {
        ("sync", _) => SYNC,
        ("arrive", _) => ARRIVE,
        (_, "popc") => POPC,
        (_, "and") => AND,
        _ => OR,
    };
    draft.code.kind = Kind::Barrier;
    Ok(super::nothing())
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made `r[0]` a row.
unsafe fn sync_warp(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above.
    if !unsafe { context.converged_row(code, mask, code.r[0]) } {
        return false;
    }
    let warp = context.warp;
    if let Some(races) = &mut context.races {
        races.sync(warp);
    }
    true
}
versions!(make_sync_warp, sync_warp, fast_sync_warp, [], []);
