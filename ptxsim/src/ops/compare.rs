//! Comparison and selection (PTX ISA 9.7.6): `setp`, `set`, `selp`, `slct`, and predicates of one value.

use super::float::{f, flush};
use crate::ast::Operand;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal, Type};
use crate::exec::Handler;
use crate::exec::lanes::{self, ternary};

const INTEGER: [&str; 10] = ["eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"];
const FLOAT: [&str; 14] = ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"];
const TYPES: [&str; 13] = ["b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64", "f32", "f64", "f16", "bf16"];

/// A handler that compares values made of the rows' bits.
macro_rules! ordered {
    ($make:path, $name:expr, $row:ident, |$x:ident| $value:expr) => {{
        macro_rules! on {
            ($a:ident, $b:ident, $holds:expr) => {
                $make(|$a: $row, $b: $row| {
                    let $a = {
                        let $x = $a;
                        $value
                    };
                    let $b = {
                        let $x = $b;
                        $value
                    };
                    $holds
                })
            };
        }
        match $name {
            "eq" => on!(a, b, a == b),
            "ne" => on!(a, b, a != b),
            "lt" | "lo" => on!(a, b, a < b),
            "le" | "ls" => on!(a, b, a <= b),
            "gt" | "hi" => on!(a, b, a > b),
            _ => on!(a, b, a >= b),
        }
    }};
}

/// As [`ordered`], for floats: with the comparisons that hold when one value is not a number.
macro_rules! unordered {
    ($make:path, $name:expr, $row:ident, |$x:ident| $value:expr) => {{
        macro_rules! on {
            ($a:ident, $b:ident, $holds:expr) => {
                $make(|$a: $row, $b: $row| {
                    let $a = {
                        let $x = $a;
                        $value
                    };
                    let $b = {
                        let $x = $b;
                        $value
                    };
                    $holds
                })
            };
        }
        match $name {
            // `ne` is false where a value is not a number, which `!=` is not.
            "ne" => on!(a, b, a < b || a > b),
            "equ" => on!(a, b, !(a < b || a > b)),
            "neu" => on!(a, b, a != b),
            "ltu" => on!(a, b, !(a >= b)),
            "leu" => on!(a, b, !(a > b)),
            "gtu" => on!(a, b, !(a <= b)),
            "geu" => on!(a, b, !(a < b)),
            "num" => on!(a, b, !a.is_nan() && !b.is_nan()),
            "nan" => on!(a, b, a.is_nan() || b.is_nan()),
            name => ordered!($make, name, $row, |$x| $value),
        }
    }};
}

/// The handler of a comparison, made by `lanes::compare` or `lanes::set`.
macro_rules! handler_of {
    ($make:path, $name:expr, $kind:expr, $ftz:expr) => {
        match ($kind.letter, $kind.bits) {
            ('f', 32) if $ftz => unordered!($make, $name, u32, |x| flush(f(x))),
            ('f', 32) => unordered!($make, $name, u32, |x| f(x)),
            ('f', 64) => unordered!($make, $name, u64, |x| f64::from_bits(x)),
            ('f', _) => unordered!($make, $name, u32, |x| super::half::from_f16(x)),
            ('h', _) => unordered!($make, $name, u32, |x| super::half::from_bf16(x)),
            ('s', 16) => ordered!($make, $name, u32, |x| x as u16 as i16),
            ('s', 32) => ordered!($make, $name, u32, |x| x as i32),
            ('s', _) => ordered!($make, $name, u64, |x| x as i64),
            (_, 64) => ordered!($make, $name, u64, |x| x),
            _ => ordered!($make, $name, u32, |x| x),
        }
    };
}

/// What comes behind the opcode of `setp` and `set`: comparison, boolean operation (as `lanes::join` wants it), `.ftz`.
fn header<'n>(draft: &mut Draft<'_, '_>, names: &[&'n str]) -> Result<(&'n str, u8), Refusal> {
    let name = draft.need(names)?;
    let choice = match draft.one_of(&["and", "or", "xor"]) {
        None => 0,
        Some("and") => 1,
        Some("or") => 2,
        Some(_) => 3,
    };
    Ok((name, choice))
}

/// Checks that the comparison is one of the type's.
fn check(name: &str, kind: Type) -> Result<(), Refusal> {
    let known: &[&str] = match kind.letter {
        'f' | 'h' => &FLOAT,
        'b' => &INTEGER[..2],
        's' => &INTEGER[..6],
        _ => &INTEGER,
    };
    match known.contains(&name) {
        true => Ok(()),
        false => Refusal::new(format!("comparison .{name} is not known on this type")),
    }
}

/// Decodes comparison and selection.
#[allow(
    clippy::double_comparisons,
    clippy::nonminimal_bool,
    reason = "`ne` and `equ` differ from != and == where a value is not a number"
)]
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Compare;
    let mut names: Vec<&str> = INTEGER.to_vec();
    names.extend(&FLOAT[6..]);
    let operands = &draft.instruction.operands;
    match draft.instruction.opcode.as_str() {
        "setp" => {
            let (name, choice) = header(draft, &names)?;
            let ftz = draft.flag("ftz");
            let kind = draft.kind(if ftz { &["f32"] } else { &TYPES[..13] })?;
            check(name, kind)?;
            draft.end(if choice == 0 { 3 } else { 4 })?;
            match &operands[0] {
                Operand::Pair(yes, no) => {
                    draft.target_predicate(0, yes)?;
                    draft.target_predicate(4, no)?;
                }
                one => draft.target_predicate(0, one)?,
            }
            draft.source(1, &operands[1], kind.bits)?;
            draft.source(2, &operands[2], kind.bits)?;
            draft.code.choice = choice;
            if choice != 0 && draft.source_predicate(3, &operands[3])? {
                draft.code.choice |= 4;
            }
            Ok(handler_of!(lanes::compare, name, kind, ftz))
        }
        "set" => {
            let (name, choice) = header(draft, &names)?;
            let ftz = draft.flag("ftz");
            let target = draft.kind(&["u32", "s32", "f32"])?;
            let kind = draft.kind(if ftz { &["f32"] } else { &TYPES[..11] })?;
            check(name, kind)?;
            draft.end(if choice == 0 { 3 } else { 4 })?;
            draft.target(0, &operands[0], 32)?;
            draft.source(1, &operands[1], kind.bits)?;
            draft.source(2, &operands[2], kind.bits)?;
            draft.code.choice = choice | if target.letter == 'f' { 8 } else { 0 };
            if choice != 0 && draft.source_predicate(3, &operands[3])? {
                draft.code.choice |= 4;
            }
            Ok(handler_of!(lanes::set, name, kind, ftz))
        }
        "selp" => {
            let kind = draft.kind(&TYPES[..11])?;
            draft.end(4)?;
            draft.target(0, &operands[0], kind.bits)?;
            draft.source(1, &operands[1], kind.bits)?;
            draft.source(2, &operands[2], kind.bits)?;
            draft.code.choice = draft.source_predicate(3, &operands[3])? as u8;
            Ok(if kind.bits == 64 { lanes::select::<u64>() } else { lanes::select::<u32>() })
        }
        "slct" => {
            let ftz = draft.flag("ftz");
            let kind = draft.kind(&TYPES[..11])?;
            let sign = draft.kind(if ftz { &["f32"] } else { &["s32", "f32"] })?;
            draft.plain(kind.bits, &[kind.bits, kind.bits, 32])?;
            // Not a number selects the second; -0 and what is flushed to it are zero, the first.
            Ok(match (kind.bits, sign.letter, ftz) {
                (64, 's', _) => ternary(|a: u64, b: u64, c: u32| if c as i32 >= 0 { a } else { b }),
                (64, _, false) => ternary(|a: u64, b: u64, c: u32| if f(c) >= 0.0 { a } else { b }),
                (64, _, true) => ternary(|a: u64, b: u64, c: u32| if flush(f(c)) >= 0.0 { a } else { b }),
                (_, 's', _) => ternary(|a: u32, b: u32, c: u32| if c as i32 >= 0 { a } else { b }),
                (_, _, false) => ternary(|a: u32, b: u32, c: u32| if f(c) >= 0.0 { a } else { b }),
                (_, _, true) => ternary(|a: u32, b: u32, c: u32| if flush(f(c)) >= 0.0 { a } else { b }),
            })
        }
        other => Refusal::new(format!("{other} is not a comparison")),
    }
}

/// Binds the operands of a predicate of one value.
pub(super) fn test(draft: &mut Draft, bits: u32) -> Result<(), Refusal> {
    draft.work = Work::Compare;
    let operands = &draft.instruction.operands;
    draft.target_predicate(0, &operands[0])?;
    draft.source(1, &operands[1], bits)?;
    draft.source(2, &operands[1], bits)
}

/// A handler of a predicate of one value.
pub(super) fn unary<A: lanes::Lane, F: Fn(A) -> bool + Copy + 'static>(f: F) -> Handler {
    lanes::compare(move |a: A, _: A| f(a))
}
