//! Moves, packing and unpacking, and conversions between address spaces (PTX ISA 9.7.9.1 to 9.7.9.6, 9.7.9.20).

use super::compare;
use crate::ast::Operand;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::exec::lanes::{Lane, WARP, binary, logic, unary, versions, write_row};
use crate::exec::{Code, Context, Handler};
use crate::memory::{LOCAL_WINDOW, PARAMETER_WINDOW, SHARED_WINDOW, WINDOW};

const TYPES: [&str; 12] = ["pred", "b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64", "f32", "f64"];

/// Decodes moves.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Move;
    match draft.instruction.opcode.as_str() {
        "mov" => mov(draft),
        "cvta" => cvta(draft),
        "isspacep" => isspacep(draft),
        other => Refusal::new(format!("{other} is not a move")),
    }
}

fn mov(draft: &mut Draft) -> Result<Handler, Refusal> {
    let kind = draft.kind(&TYPES)?;
    draft.end(2)?;
    let operands = &draft.instruction.operands;
    let (target, source) = (&operands[0], &operands[1]);
    if kind.letter == 'p' {
        draft.copies = true;
        draft.target_predicate(0, target)?;
        if draft.source_predicate(1, source)? {
            return Refusal::new("a negated predicate is not known here");
        }
        draft.source_predicate(2, source)?;
        return Ok(logic(|a, _| a));
    }
    let part = |count: usize| match (kind.letter, kind.bits, count) {
        ('b', 32 | 64, 2) => Ok(kind.bits / 2),
        ('b', 64, 4) => Ok(16),
        _ => Refusal::new(format!("{count} parts are not known here")),
    };
    match (target, source) {
        (Operand::Vector(parts), whole) => {
            let bits = part(parts.len())?;
            for (at, operand) in parts.iter().enumerate() {
                draft.target(at, operand, bits)?;
            }
            draft.source(parts.len(), whole, kind.bits)?;
            draft.code.choice = parts.len() as u8;
            Ok(match (kind.bits, parts.len()) {
                (32, _) => make_unpack::<u32, 16>(),
                (_, 2) => make_unpack::<u64, 32>(),
                _ => make_unpack::<u64, 16>(),
            })
        }
        (whole, Operand::Vector(parts)) => {
            let bits = part(parts.len())?;
            draft.target(0, whole, kind.bits)?;
            for (at, operand) in parts.iter().enumerate() {
                draft.source(at + 1, operand, bits)?;
            }
            Ok(match (kind.bits, parts.len()) {
                (32, _) => binary(|a: u32, b: u32| a | b << 16),
                (_, 2) => binary(|a: u32, b: u32| a as u64 | (b as u64) << 32),
                _ => crate::exec::lanes::quaternary(|a: u32, b: u32, c: u32, d: u32| {
                    a as u64 | (b as u64) << 16 | (c as u64) << 32 | (d as u64) << 48
                }),
            })
        }
        _ => {
            draft.copies = true;
            draft.target(0, target, kind.bits)?;
            draft.source(1, source, kind.bits)?;
            Ok(if kind.bits == 64 { unary(|a: u64| a) } else { unary(|a: u32| a) })
        }
    }
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made `choice` rows of 32 bits and one of `T`.
unsafe fn unpack<T: Lane + Into<u64>, const BITS: u32>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above.
    unsafe {
        let count = code.choice as usize;
        let whole = context.values::<T>(code.r[count]);
        for part in 0..count {
            let mut out = [0u32; WARP];
            for lane in 0..WARP {
                out[lane] = (whole[lane].into() >> (BITS as usize * part)) as u32 & (u32::MAX >> (32 - BITS));
            }
            write_row(context.row::<u32>(code.r[part]), &out, mask);
        }
    }
    true
}
versions!(make_unpack, unpack, fast_unpack, [T: Lane + Into<u64>, const BITS: u32], [T, BITS]);

const SPACES: [&str; 5] = ["global", "shared", "local", "const", "param"];

fn cvta(draft: &mut Draft) -> Result<Handler, Refusal> {
    let to = draft.flag("to");
    let space = draft.need(&SPACES)?;
    draft.kind(&["u64"])?;
    draft.plain(64, &[64])?;
    Ok(match (space, to) {
        ("shared", false) => unary(|a: u64| a.wrapping_add(SHARED_WINDOW)),
        ("shared", true) => unary(|a: u64| a.wrapping_sub(SHARED_WINDOW)),
        ("local", false) => unary(|a: u64| a.wrapping_add(LOCAL_WINDOW)),
        ("local", true) => unary(|a: u64| a.wrapping_sub(LOCAL_WINDOW)),
        ("param", false) => unary(|a: u64| a.wrapping_add(PARAMETER_WINDOW)),
        ("param", true) => unary(|a: u64| a.wrapping_sub(PARAMETER_WINDOW)),
        // Global and constant memory have the same addresses in the generic space.
        _ => unary(|a: u64| a),
    })
}

fn isspacep(draft: &mut Draft) -> Result<Handler, Refusal> {
    let space = draft.need(&["global", "shared", "local", "param"])?;
    draft.end(2)?;
    compare::test(draft, 64)?;
    Ok(match space {
        "shared" => compare::unary(|a: u64| a.wrapping_sub(SHARED_WINDOW) < WINDOW),
        "local" => compare::unary(|a: u64| a.wrapping_sub(LOCAL_WINDOW) < WINDOW),
        "param" => compare::unary(|a: u64| a.wrapping_sub(PARAMETER_WINDOW) < WINDOW),
        _ => compare::unary(|a: u64| a < PARAMETER_WINDOW),
    })
}
