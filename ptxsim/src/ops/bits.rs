//! Logic, shifts and bit fields (PTX ISA 9.7.8 and the bit instructions of 9.7.1).

use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::exec::Handler;
use crate::exec::lanes::{binary, logic, quaternary, ternary, unary};

const UNTYPED: [&str; 4] = ["pred", "b16", "b32", "b64"];

/// A handler for rows of up to 32 bits or of 64.
macro_rules! by_bits {
    ($bits:expr, $map:ident, |$($name:ident),+| $value:expr) => {
        if $bits == 64 { $map(|$($name: u64),+| $value) } else { $map(|$($name: u32),+| $value) }
    };
}

/// Decodes logic, shifts and bit fields.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Integer;
    let opcode = draft.instruction.opcode.as_str();
    let operands = &draft.instruction.operands;
    match opcode {
        "and" | "or" | "xor" => {
            let kind = draft.kind(&UNTYPED)?;
            if kind.letter == 'p' {
                draft.end(3)?;
                draft.work = Work::Compare;
                draft.target_predicate(0, &operands[0])?;
                let negated = [draft.source_predicate(1, &operands[1])?, draft.source_predicate(2, &operands[2])?];
                if negated != [false; 2] {
                    return Refusal::new("a negated predicate is not known here");
                }
                return Ok(match opcode {
                    "and" => logic(|a, b| a & b),
                    "or" => logic(|a, b| a | b),
                    _ => logic(|a, b| a ^ b),
                });
            }
            draft.plain(kind.bits, &[kind.bits; 2])?;
            Ok(match opcode {
                "and" => by_bits!(kind.bits, binary, |a, b| a & b),
                "or" => by_bits!(kind.bits, binary, |a, b| a | b),
                _ => by_bits!(kind.bits, binary, |a, b| a ^ b),
            })
        }
        "not" => {
            let kind = draft.kind(&UNTYPED)?;
            if kind.letter == 'p' {
                draft.end(2)?;
                draft.work = Work::Compare;
                draft.target_predicate(0, &operands[0])?;
                draft.source_predicate(1, &operands[1])?;
                draft.source_predicate(2, &operands[1])?;
                return Ok(logic(|a, _| !a));
            }
            draft.plain(kind.bits, &[kind.bits])?;
            Ok(match kind.bits {
                16 => unary(|a: u32| !a & 0xffff),
                32 => unary(|a: u32| !a),
                _ => unary(|a: u64| !a),
            })
        }
        "cnot" => {
            let kind = draft.kind(&UNTYPED[1..])?;
            draft.plain(kind.bits, &[kind.bits])?;
            Ok(if kind.bits == 64 { unary(|a: u64| (a == 0) as u64) } else { unary(|a: u32| (a == 0) as u32) })
        }
        "shl" => {
            let kind = draft.kind(&UNTYPED[1..])?;
            draft.plain(kind.bits, &[kind.bits, 32])?;
            Ok(match kind.bits {
                16 => binary(|a: u32, b: u32| if b > 15 { 0 } else { (a << (b & 31)) & 0xffff }),
                32 => binary(|a: u32, b: u32| if b > 31 { 0 } else { a << (b & 31) }),
                _ => binary(|a: u64, b: u32| if b > 63 { 0 } else { a << (b & 63) }),
            })
        }
        "shr" => {
            let kind = draft.kind(&["b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64"])?;
            draft.plain(kind.bits, &[kind.bits, 32])?;
            Ok(match (kind.is_signed(), kind.bits) {
                (true, 16) => binary(|a: u32, b: u32| (a as u16 as i16 >> b.min(15)) as u16 as u32),
                (true, 32) => binary(|a: u32, b: u32| (a as i32 >> b.min(31)) as u32),
                (true, _) => binary(|a: u64, b: u32| (a as i64 >> b.min(63)) as u64),
                (_, 64) => binary(|a: u64, b: u32| if b > 63 { 0 } else { a >> (b & 63) }),
                _ => binary(|a: u32, b: u32| if b > 31 { 0 } else { a >> (b & 31) }),
            })
        }
        "shf" => {
            let side = draft.need(&["l", "r"])?;
            let mode = draft.need(&["clamp", "wrap"])?;
            draft.kind(&["b32"])?;
            draft.plain(32, &[32; 3])?;
            // The 64 bits b:a, shifted; the left shift gives the upper half.
            Ok(match (side, mode) {
                ("l", "wrap") => ternary(|a: u32, b: u32, c: u32| (join(a, b) << (c & 31) >> 32) as u32),
                ("l", _) => ternary(|a: u32, b: u32, c: u32| (join(a, b) << c.min(32) >> 32) as u32),
                (_, "wrap") => ternary(|a: u32, b: u32, c: u32| (join(a, b) >> (c & 31)) as u32),
                _ => ternary(|a: u32, b: u32, c: u32| (join(a, b) >> c.min(32)) as u32),
            })
        }
        "lop3" => {
            draft.kind(&["b32"])?;
            draft.plain(32, &[32; 4])?;
            let Some(crate::ast::Operand::Integer(0..=255)) = operands.get(4) else {
                return Refusal::new("the table of lop3 is an integer below 256");
            };
            Ok(quaternary(|a: u32, b: u32, c: u32, table: u32| {
                (0..8).fold(0, |all, row| {
                    let of = |x: u32, bit: u32| if row & bit != 0 { x } else { !x };
                    all | if table >> row & 1 != 0 { of(a, 4) & of(b, 2) & of(c, 1) } else { 0 }
                })
            }))
        }
        "prmt" => {
            draft.kind(&["b32"])?;
            draft.plain(32, &[32; 3])?;
            Ok(ternary(|a: u32, b: u32, selector: u32| {
                let bytes = (b as u64) << 32 | a as u64;
                (0..4).fold(0, |all, at| {
                    let choice = selector >> (4 * at);
                    let byte = (bytes >> (8 * (choice & 7))) as u32 & 0xff;
                    let byte = if choice & 8 != 0 { (byte as u8 as i8 >> 7) as u8 as u32 } else { byte };
                    all | byte << (8 * at)
                })
            }))
        }
        "bfe" => {
            let kind = draft.kind(&["u32", "s32", "u64", "s64"])?;
            draft.plain(kind.bits, &[kind.bits, 32, 32])?;
            Ok(match (kind.is_signed(), kind.bits) {
                (false, 32) => ternary(|a: u32, b: u32, c: u32| field(a as u64, b, c, 32, false) as u32),
                (true, 32) => ternary(|a: u32, b: u32, c: u32| field(a as u64, b, c, 32, true) as u32),
                (false, _) => ternary(|a: u64, b: u32, c: u32| field(a, b, c, 64, false)),
                _ => ternary(|a: u64, b: u32, c: u32| field(a, b, c, 64, true)),
            })
        }
        "bfi" => {
            let kind = draft.kind(&["b32", "b64"])?;
            draft.plain(kind.bits, &[kind.bits, kind.bits, 32, 32])?;
            Ok(match kind.bits {
                32 => quaternary(|a: u32, b: u32, at: u32, length: u32| {
                    insert(a as u64, b as u64, at & 255, length & 255, 32) as u32
                }),
                _ => quaternary(|a: u64, b: u64, at: u32, length: u32| insert(a, b, at & 255, length & 255, 64)),
            })
        }
        "popc" | "clz" => {
            let kind = draft.kind(&["b32", "b64"])?;
            draft.plain(32, &[kind.bits])?;
            Ok(match (opcode, kind.bits) {
                ("popc", 32) => unary(|a: u32| a.count_ones()),
                ("popc", _) => unary(|a: u64| a.count_ones()),
                (_, 32) => unary(|a: u32| a.leading_zeros()),
                _ => unary(|a: u64| a.leading_zeros()),
            })
        }
        "brev" => {
            let kind = draft.kind(&["b32", "b64"])?;
            draft.plain(kind.bits, &[kind.bits])?;
            Ok(by_bits!(kind.bits, unary, |a| a.reverse_bits()))
        }
        "bfind" => {
            let shift = draft.flag("shiftamt");
            let kind = draft.kind(&["u32", "s32", "u64", "s64"])?;
            draft.plain(32, &[kind.bits])?;
            Ok(match (kind.is_signed(), kind.bits, shift) {
                (false, 32, false) => unary(|a: u32| found(a.leading_zeros(), 32, false)),
                (false, 32, true) => unary(|a: u32| found(a.leading_zeros(), 32, true)),
                (true, 32, false) => unary(|a: u32| found((a ^ (a as i32 >> 31) as u32).leading_zeros(), 32, false)),
                (true, 32, true) => unary(|a: u32| found((a ^ (a as i32 >> 31) as u32).leading_zeros(), 32, true)),
                (false, _, false) => unary(|a: u64| found(a.leading_zeros(), 64, false)),
                (false, _, true) => unary(|a: u64| found(a.leading_zeros(), 64, true)),
                (true, _, false) => unary(|a: u64| found((a ^ (a as i64 >> 63) as u64).leading_zeros(), 64, false)),
                (true, _, true) => unary(|a: u64| found((a ^ (a as i64 >> 63) as u64).leading_zeros(), 64, true)),
            })
        }
        other => Refusal::new(format!("{other} is not a bit instruction")),
    }
}

#[inline(always)]
fn join(low: u32, high: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// The place of the highest bit, or how far it would have to be shifted; all ones if there is none.
#[inline(always)]
fn found(zeros: u32, bits: u32, shift: bool) -> u32 {
    match zeros == bits {
        true => u32::MAX,
        false if shift => zeros,
        false => bits - 1 - zeros,
    }
}

/// `bfe`: `length` bits from `at`, extended by the sign at the field's end, or at the value's end if that is nearer.
#[inline(always)]
fn field(value: u64, at: u32, length: u32, bits: u32, signed: bool) -> u64 {
    let (at, length) = (at & 255, length & 255);
    let top = (at + length).saturating_sub(1).min(bits - 1);
    let sign = signed && length > 0 && value >> top & 1 != 0;
    (0..bits.min(64)).fold(0, |all, bit| {
        let set = if bit < length && at + bit < bits { value >> (at + bit) & 1 != 0 } else { sign };
        all | (set as u64) << bit
    })
}

/// `bfi`: `length` bits of `a` put into `b` from `at`.
#[inline(always)]
fn insert(a: u64, b: u64, at: u32, length: u32, bits: u32) -> u64 {
    if at >= bits || length == 0 {
        return b;
    }
    let ones = if length > 63 { u64::MAX } else { (1 << length) - 1 };
    let mask = ones << at;
    (b & !mask) | (a << at & mask)
}
