//! Integer arithmetic (PTX ISA 9.7.1). Values of 16 bits stand zero-extended in rows of 32.

use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal, Type};
use crate::exec::Handler;
use crate::exec::lanes::{binary, ternary, unary};

const ALL: [&str; 6] = ["s16", "u16", "s32", "u32", "s64", "u64"];

/// Signed value of 16 bits.
#[inline(always)]
fn h(value: u32) -> i32 {
    value as u16 as i16 as i32
}

/// A handler for each type: the expression on signed or unsigned values, wrapped back into the row.
macro_rules! by_type {
    ($kind:expr, $map:ident, |$($name:ident),+| signed $signed:expr, unsigned $unsigned:expr) => {
        match ($kind.letter, $kind.bits) {
            ('s', 16) => $map(|$($name: u32),+| { $(let $name = h($name);)+ ($signed) as u32 & 0xffff }),
            ('u', 16) => $map(|$($name: u32),+| ($unsigned) as u32 & 0xffff),
            ('s', 32) => $map(|$($name: u32),+| { $(let $name = $name as i32;)+ ($signed) as u32 }),
            ('u', 32) => $map(|$($name: u32),+| ($unsigned) as u32),
            ('s', 64) => $map(|$($name: u64),+| { $(let $name = $name as i64;)+ ($signed) as u64 }),
            _ => $map(|$($name: u64),+| ($unsigned) as u64),
        }
    };
}

/// Division as the hardware does it: what is divided by zero gives all ones, the rest is the dividend; the smallest
/// number divided by minus one wraps.
macro_rules! quotient {
    ($a:expr, $b:expr) => {
        if $b == 0 { !0 } else { $a.wrapping_div($b) }
    };
}
macro_rules! remainder {
    ($a:expr, $b:expr) => {
        if $b == 0 { $a } else { $a.wrapping_rem($b) }
    };
}

/// Decodes integer arithmetic.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Integer;
    match draft.instruction.opcode.as_str() {
        "add" | "sub" => {
            let add = draft.instruction.opcode == "add";
            let saturate = draft.flag("sat");
            let kind = draft.kind(if saturate { &["s32"] } else { &ALL })?;
            draft.plain(kind.bits, &[kind.bits; 2])?;
            Ok(match (add, saturate) {
                (true, true) => binary(|a: u32, b: u32| (a as i32).saturating_add(b as i32) as u32),
                (false, true) => binary(|a: u32, b: u32| (a as i32).saturating_sub(b as i32) as u32),
                (true, _) => by_type!(kind, binary, |a, b| signed a.wrapping_add(b), unsigned a.wrapping_add(b)),
                _ => by_type!(kind, binary, |a, b| signed a.wrapping_sub(b), unsigned a.wrapping_sub(b)),
            })
        }
        "mul" => {
            let part = draft.need(&["lo", "hi", "wide"])?;
            let kind = draft.kind(if part == "wide" { &ALL[..4] } else { &ALL })?;
            draft.plain(if part == "wide" { kind.bits * 2 } else { kind.bits }, &[kind.bits; 2])?;
            Ok(match part {
                "lo" => by_type!(kind, binary, |a, b| signed a.wrapping_mul(b), unsigned a.wrapping_mul(b)),
                "hi" => high(kind),
                _ => match (kind.letter, kind.bits) {
                    ('s', 16) => binary(|a: u32, b: u32| (h(a) * h(b)) as u32),
                    ('u', 16) => binary(|a: u32, b: u32| a * b),
                    ('s', _) => binary(|a: u32, b: u32| (a as i32 as i64 * b as i32 as i64) as u64),
                    _ => binary(|a: u32, b: u32| a as u64 * b as u64),
                },
            })
        }
        "mad" => {
            let part = draft.need(&["lo", "hi", "wide"])?;
            let saturate = part == "hi" && draft.flag("sat");
            let kind = draft.kind(match part {
                "wide" => &ALL[..4],
                _ if saturate => &["s32"],
                _ => &ALL,
            })?;
            let wide = if part == "wide" { kind.bits * 2 } else { kind.bits };
            draft.plain(wide, &[kind.bits, kind.bits, wide])?;
            Ok(match (part, kind.letter, kind.bits) {
                ("lo", _, 16) => ternary(|a: u32, b: u32, c: u32| a.wrapping_mul(b).wrapping_add(c) & 0xffff),
                ("lo", _, 32) => ternary(|a: u32, b: u32, c: u32| a.wrapping_mul(b).wrapping_add(c)),
                ("lo", ..) => ternary(|a: u64, b: u64, c: u64| a.wrapping_mul(b).wrapping_add(c)),
                ("hi", 's', 16) => {
                    ternary(|a: u32, b: u32, c: u32| (((h(a) * h(b)) >> 16) as u32).wrapping_add(c) & 0xffff)
                }
                ("hi", _, 16) => ternary(|a: u32, b: u32, c: u32| ((a * b) >> 16).wrapping_add(c) & 0xffff),
                ("hi", ..) if saturate => ternary(|a: u32, b: u32, c: u32| {
                    ((a as i32 as i64 * b as i32 as i64) >> 32)
                        .wrapping_add(c as i32 as i64)
                        .clamp(i32::MIN as i64, i32::MAX as i64) as u32
                }),
                ("hi", 's', 32) => ternary(|a: u32, b: u32, c: u32| {
                    (((a as i32 as i64 * b as i32 as i64) >> 32) as u32).wrapping_add(c)
                }),
                ("hi", _, 32) => {
                    ternary(|a: u32, b: u32, c: u32| (((a as u64 * b as u64) >> 32) as u32).wrapping_add(c))
                }
                ("hi", 's', _) => ternary(|a: u64, b: u64, c: u64| {
                    (((a as i64 as i128 * b as i64 as i128) >> 64) as u64).wrapping_add(c)
                }),
                ("hi", ..) => {
                    ternary(|a: u64, b: u64, c: u64| (((a as u128 * b as u128) >> 64) as u64).wrapping_add(c))
                }
                (_, 's', 16) => ternary(|a: u32, b: u32, c: u32| ((h(a) * h(b)) as u32).wrapping_add(c)),
                (_, _, 16) => ternary(|a: u32, b: u32, c: u32| (a * b).wrapping_add(c)),
                (_, 's', _) => {
                    ternary(|a: u32, b: u32, c: u64| ((a as i32 as i64 * b as i32 as i64) as u64).wrapping_add(c))
                }
                _ => ternary(|a: u32, b: u32, c: u64| (a as u64 * b as u64).wrapping_add(c)),
            })
        }
        "div" => {
            let kind = draft.kind(&ALL)?;
            draft.plain(kind.bits, &[kind.bits; 2])?;
            Ok(match (kind.letter, kind.bits) {
                ('u', 32) => binary(divide),
                ('s', 32) => binary(divide_signed),
                _ => by_type!(kind, binary, |a, b| signed quotient!(a, b), unsigned quotient!(a, b)),
            })
        }
        "rem" => {
            let kind = draft.kind(&ALL)?;
            draft.plain(kind.bits, &[kind.bits; 2])?;
            Ok(match (kind.letter, kind.bits) {
                ('u', 32) => binary(|a: u32, b: u32| match b {
                    0 => a,
                    _ => a.wrapping_sub(divide(a, b).wrapping_mul(b)),
                }),
                ('s', 32) => binary(|a: u32, b: u32| match b {
                    0 => a,
                    _ => a.wrapping_sub(divide_signed(a, b).wrapping_mul(b)),
                }),
                _ => by_type!(kind, binary, |a, b| signed remainder!(a, b), unsigned remainder!(a, b)),
            })
        }
        "min" => {
            let kind = draft.kind(&ALL)?;
            draft.plain(kind.bits, &[kind.bits; 2])?;
            Ok(by_type!(kind, binary, |a, b| signed a.min(b), unsigned a.min(b)))
        }
        "max" => {
            let kind = draft.kind(&ALL)?;
            draft.plain(kind.bits, &[kind.bits; 2])?;
            Ok(by_type!(kind, binary, |a, b| signed a.max(b), unsigned a.max(b)))
        }
        "abs" => {
            let kind = draft.kind(&["s16", "s32", "s64"])?;
            draft.plain(kind.bits, &[kind.bits])?;
            Ok(by_type!(kind, unary, |a| signed a.wrapping_abs(), unsigned a))
        }
        "neg" => {
            let kind = draft.kind(&["s16", "s32", "s64"])?;
            draft.plain(kind.bits, &[kind.bits])?;
            Ok(by_type!(kind, unary, |a| signed a.wrapping_neg(), unsigned a))
        }
        "sad" => {
            let kind = draft.kind(&ALL)?;
            draft.plain(kind.bits, &[kind.bits; 3])?;
            Ok(by_type!(kind, ternary, |a, b, c|
                signed c.wrapping_add(a.max(b).wrapping_sub(a.min(b))), unsigned c.wrapping_add(a.max(b) - a.min(b))))
        }
        "mul24" => {
            draft.need(&["lo"])?;
            let kind = draft.kind(&["s32", "u32"])?;
            draft.plain(32, &[32; 2])?;
            Ok(match kind.letter {
                's' => binary(|a: u32, b: u32| (((a << 8) as i32 >> 8).wrapping_mul((b << 8) as i32 >> 8)) as u32),
                _ => binary(|a: u32, b: u32| (a & 0xff_ffff).wrapping_mul(b & 0xff_ffff)),
            })
        }
        "mad24" => {
            draft.need(&["lo"])?;
            let kind = draft.kind(&["s32", "u32"])?;
            draft.plain(32, &[32; 3])?;
            Ok(match kind.letter {
                's' => ternary(|a: u32, b: u32, c: u32| {
                    (((a << 8) as i32 >> 8).wrapping_mul((b << 8) as i32 >> 8) as u32).wrapping_add(c)
                }),
                _ => ternary(|a: u32, b: u32, c: u32| (a & 0xff_ffff).wrapping_mul(b & 0xff_ffff).wrapping_add(c)),
            })
        }
        "dp4a" => {
            let first = draft.need(&["s32", "u32"])?;
            let second = draft.need(&["s32", "u32"])?;
            draft.plain(32, &[32; 3])?;
            Ok(match (first, second) {
                ("s32", "s32") => {
                    ternary(|a: u32, b: u32, c: u32| dot(a, b, c, |x| x as i8 as i32, |x| x as i8 as i32))
                }
                ("s32", _) => ternary(|a: u32, b: u32, c: u32| dot(a, b, c, |x| x as i8 as i32, |x| x as i32)),
                (_, "s32") => ternary(|a: u32, b: u32, c: u32| dot(a, b, c, |x| x as i32, |x| x as i8 as i32)),
                _ => ternary(|a: u32, b: u32, c: u32| dot(a, b, c, |x| x as i32, |x| x as i32)),
            })
        }
        other => Refusal::new(format!("{other} is not an integer instruction")),
    }
}

/// Division in float64, which divides several lanes at once. It is exact: the quotient of two 32-bit integers is an
/// integer or at least 1 / b away from one, and the rounding error of a / b is below 2^-21 / b. The whole quotient is read
/// from the lower bits of its sum with 2^52.
#[inline(always)]
fn divide(a: u32, b: u32) -> u32 {
    let whole = (a as f64 / b as f64).trunc();
    if b == 0 { u32::MAX } else { (whole + 4_503_599_627_370_496.0).to_bits() as u32 }
}

/// As [`divide`]; 2^52 + 2^51 is added, so that negative quotients stand there in two's complement.
#[inline(always)]
fn divide_signed(a: u32, b: u32) -> u32 {
    let whole = (a as i32 as f64 / b as i32 as f64).trunc();
    if b == 0 { u32::MAX } else { (whole + 6_755_399_441_055_744.0).to_bits() as u32 }
}

/// `c` and the products of the four bytes of `a` and `b`.
#[inline(always)]
fn dot(a: u32, b: u32, c: u32, f: impl Fn(u8) -> i32, g: impl Fn(u8) -> i32) -> u32 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    (0..4).fold(c, |sum, at| sum.wrapping_add((f(a[at]) * g(b[at])) as u32))
}

/// The upper half of a product.
fn high(kind: Type) -> Handler {
    match (kind.letter, kind.bits) {
        ('s', 16) => binary(|a: u32, b: u32| ((h(a) * h(b)) >> 16) as u32 & 0xffff),
        ('u', 16) => binary(|a: u32, b: u32| (a * b) >> 16),
        ('s', 32) => binary(|a: u32, b: u32| ((a as i32 as i64 * b as i32 as i64) >> 32) as u32),
        ('u', 32) => binary(|a: u32, b: u32| ((a as u64 * b as u64) >> 32) as u32),
        ('s', _) => binary(|a: u64, b: u64| ((a as i64 as i128 * b as i64 as i128) >> 64) as u64),
        _ => binary(|a: u64, b: u64| ((a as u128 * b as u128) >> 64) as u64),
    }
}
