//! f16 and bf16 arithmetic (PTX ISA 9.7.4), alone and two in a register, and the formats themselves.

use super::float::{NAN, maximum, minimum, two_sum};
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::exec::Handler;
use crate::exec::lanes::{binary, ternary, unary};

/// bf16 to float32: the upper half.
#[inline(always)]
pub(super) fn from_bf16(bits: u32) -> f32 {
    f32::from_bits(bits << 16)
}

/// float32 to bf16, to nearest, ties to even.
#[inline(always)]
pub(super) fn to_bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 { 0x7fff } else { (bits.wrapping_add(0x7fff + (bits >> 16 & 1))) >> 16 }
}

/// f16 to float32, exactly.
#[inline(always)]
pub(super) fn from_f16(bits: u32) -> f32 {
    let (sign, rest) = ((bits & 0x8000) << 16, bits & 0x7fff);
    let value = match rest {
        0x7c01.. => NAN,
        0x7c00 => 0x7f80_0000,
        0x0400.. => (rest << 13) + (112 << 23),
        // Subnormal: a multiple of 2^-24.
        _ => (rest as f32 * f32::from_bits((127 - 24) << 23)).to_bits(),
    };
    f32::from_bits(sign | value)
}

/// float64 to f16, to nearest, ties to even; `beyond` is what the exact value has more (its sign counts).
#[inline(always)]
fn round_f16(x: f64, beyond: f64) -> u32 {
    let sign = (x.to_bits() >> 48) as u32 & 0x8000;
    if x.is_nan() {
        return 0x7fff;
    }
    // Rounded to odd, no bit that decides is lost in the next rounding.
    let x = if beyond != 0.0 && x.to_bits() & 1 == 0 && x.is_finite() {
        if (beyond > 0.0) == (x > 0.0) { f64::from_bits(x.to_bits() + 1) } else { f64::from_bits(x.to_bits() - 1) }
    } else {
        x
    };
    let size = x.abs();
    // The step of f16 at this size: 2^(exponent - 10), at least 2^-24.
    let exponent = ((size.to_bits() >> 52) as i64 - 1023).clamp(-14, 16);
    let step = f64::from_bits(((exponent - 10 + 1023) as u64) << 52);
    let units = (size / step).round_ties_even();
    let value = units * step;
    if value >= 65520.0 {
        return sign | 0x7c00;
    }
    if value < f64::from_bits((1023 - 14) << 52) {
        return sign | (value * 16_777_216.0) as u32;
    }
    let bits = value.to_bits();
    sign | (((bits >> 52) as u32 - 1023 + 15) << 10) | (bits >> 42) as u32 & 0x3ff
}

/// float32 to f16, to nearest, ties to even.
#[inline(always)]
pub(super) fn to_f16(x: f32) -> u32 {
    round_f16(x as f64, 0.0)
}

#[inline(always)]
fn round_bf16(x: f64, beyond: f64) -> u32 {
    // To odd in float64, then to odd in float32: the last rounding decides alone.
    let near = x as f32;
    let exact = near as f64 == x && beyond == 0.0 || !near.is_finite();
    if exact || near.to_bits() & 1 == 1 {
        return to_bf16(near);
    }
    let wide = near as f64;
    let above = wide < x || wide == x && beyond > 0.0;
    to_bf16(if above { near.next_up() } else { near.next_down() })
}

/// A value of two formats: how it is read and rounded.
macro_rules! by_format {
    ($bf16:expr, $packed:expr, $map:ident, |$($x:ident),+| $value:expr) => {
        match ($bf16, $packed) {
            (false, false) => $map(|$($x: u32),+| { $(let $x = from_f16($x & 0xffff);)+ round_pair($value, round_f16) }),
            (true, false) => $map(|$($x: u32),+| { $(let $x = from_bf16($x & 0xffff);)+ round_pair($value, round_bf16) }),
            (false, true) => $map(|$($x: u32),+| {
                let low = { $(let $x = from_f16($x & 0xffff);)+ round_pair($value, round_f16) };
                let high = { $(let $x = from_f16($x >> 16);)+ round_pair($value, round_f16) };
                high << 16 | low
            }),
            (true, true) => $map(|$($x: u32),+| {
                let low = { $(let $x = from_bf16($x & 0xffff);)+ round_pair($value, round_bf16) };
                let high = { $(let $x = from_bf16($x >> 16);)+ round_pair($value, round_bf16) };
                high << 16 | low
            }),
        }
    };
}

#[inline(always)]
fn round_pair((x, beyond): (f64, f64), round: impl Fn(f64, f64) -> u32) -> u32 {
    round(x, beyond)
}

/// Decodes f16 and bf16 arithmetic; what compute capability 8.0 has.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Half;
    let opcode = draft.instruction.opcode.as_str();
    let count = match opcode {
        "abs" | "neg" => 1,
        "fma" => 3,
        "add" | "sub" | "mul" | "min" | "max" => 2,
        _ => return Refusal::new(format!("{opcode} is not known on f16 and bf16")),
    };
    let rounded = matches!(opcode, "add" | "sub" | "mul" | "fma");
    if opcode == "fma" {
        draft.need(&["rn"])?;
    } else if rounded {
        draft.flag("rn");
    }
    let nan = matches!(opcode, "min" | "max") && draft.flag("NaN");
    // bf16 has only these on compute capability 8.0.
    let formats: &[&str] = match opcode {
        "add" | "sub" | "mul" => &["f16", "f16x2"],
        _ => &["f16", "f16x2", "bf16", "bf16x2"],
    };
    let format = draft.need(formats)?;
    let (bf16, packed) = (format.starts_with('b'), format.ends_with("x2"));
    let bits = if packed { 32 } else { 16 };
    draft.plain(bits, &[bits; 3][..count])?;
    Ok(match (opcode, nan) {
        ("abs", _) if packed => unary(|a: u32| a & 0x7fff_7fff),
        ("abs", _) => unary(|a: u32| a & 0x7fff),
        ("neg", _) if packed => unary(|a: u32| a ^ 0x8000_8000),
        ("neg", _) => unary(|a: u32| a ^ 0x8000),
        ("fma", _) => by_format!(bf16, packed, ternary, |a, b, c| two_sum(a as f64 * b as f64, c as f64)),
        ("add", _) => by_format!(bf16, packed, binary, |a, b| two_sum(a as f64, b as f64)),
        ("sub", _) => by_format!(bf16, packed, binary, |a, b| two_sum(a as f64, -b as f64)),
        ("mul", _) => by_format!(bf16, packed, binary, |a, b| (a as f64 * b as f64, 0.0)),
        ("min", false) => by_format!(bf16, packed, binary, |a, b| (minimum(a, b) as f64, 0.0)),
        ("max", false) => by_format!(bf16, packed, binary, |a, b| (maximum(a, b) as f64, 0.0)),
        ("min", true) => by_format!(bf16, packed, binary, |a, b| (
            if a.is_nan() || b.is_nan() { f64::NAN } else { minimum(a, b) as f64 },
            0.0
        )),
        _ => by_format!(bf16, packed, binary, |a, b| (
            if a.is_nan() || b.is_nan() { f64::NAN } else { maximum(a, b) as f64 },
            0.0
        )),
    })
}
