//! float64 arithmetic (PTX ISA 9.7.3).

use super::compare;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::exec::Handler;
use crate::exec::lanes::{binary, ternary, unary};

/// The double of these bits.
#[inline(always)]
fn d(bits: u64) -> f64 {
    f64::from_bits(bits)
}

/// The canonical not-a-number.
const NAN: f64 = f64::from_bits(0x7fff_ffff_ffff_ffff);

#[inline(always)]
fn maximum(a: f64, b: f64) -> f64 {
    match a == b {
        true => d(a.to_bits() & b.to_bits()),
        false if a.is_nan() && b.is_nan() => NAN,
        false if a > b || b.is_nan() => a,
        false => b,
    }
}

#[inline(always)]
fn minimum(a: f64, b: f64) -> f64 {
    match a == b {
        true => d(a.to_bits() | b.to_bits()),
        false if a.is_nan() && b.is_nan() => NAN,
        false if a < b || b.is_nan() => a,
        false => b,
    }
}

/// Decodes float64 arithmetic; only rounding to nearest is known.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Float64;
    let opcode = draft.instruction.opcode.as_str();
    match opcode {
        "add" | "sub" | "mul" => {
            draft.flag("rn");
            draft.kind(&["f64"])?;
            draft.plain(64, &[64; 2])?;
            Ok(match opcode {
                "add" => binary(|a: u64, b: u64| (d(a) + d(b)).to_bits()),
                "sub" => binary(|a: u64, b: u64| (d(a) - d(b)).to_bits()),
                _ => binary(|a: u64, b: u64| (d(a) * d(b)).to_bits()),
            })
        }
        "fma" | "mad" => {
            draft.need(&["rn"])?;
            draft.kind(&["f64"])?;
            draft.plain(64, &[64; 3])?;
            Ok(ternary(|a: u64, b: u64, c: u64| d(a).mul_add(d(b), d(c)).to_bits()))
        }
        "div" => {
            draft.need(&["rn"])?;
            draft.kind(&["f64"])?;
            draft.plain(64, &[64; 2])?;
            Ok(binary(|a: u64, b: u64| (d(a) / d(b)).to_bits()))
        }
        "min" | "max" => {
            draft.kind(&["f64"])?;
            draft.plain(64, &[64; 2])?;
            Ok(match opcode {
                "min" => binary(|a: u64, b: u64| minimum(d(a), d(b)).to_bits()),
                _ => binary(|a: u64, b: u64| maximum(d(a), d(b)).to_bits()),
            })
        }
        "abs" | "neg" => {
            draft.kind(&["f64"])?;
            draft.plain(64, &[64])?;
            Ok(if opcode == "abs" { unary(|a: u64| a & !(1 << 63)) } else { unary(|a: u64| a ^ 1 << 63) })
        }
        "copysign" => {
            draft.kind(&["f64"])?;
            draft.plain(64, &[64; 2])?;
            Ok(binary(|a: u64, b: u64| a & 1 << 63 | b & !(1 << 63)))
        }
        "testp" => {
            let property = draft.need(&["finite", "infinite", "number", "notanumber", "normal", "subnormal"])?;
            draft.kind(&["f64"])?;
            draft.end(2)?;
            compare::test(draft, 64)?;
            Ok(match property {
                "finite" => compare::unary(|a: u64| d(a).is_finite()),
                "infinite" => compare::unary(|a: u64| d(a).is_infinite()),
                "number" => compare::unary(|a: u64| !d(a).is_nan()),
                "notanumber" => compare::unary(|a: u64| d(a).is_nan()),
                "normal" => compare::unary(|a: u64| d(a).is_normal()),
                _ => compare::unary(|a: u64| d(a).is_subnormal()),
            })
        }
        "rcp" | "sqrt" => {
            draft.work = Work::Special;
            let exact = draft.need(if opcode == "rcp" { &["rn", "approx"] } else { &["rn"] })? == "rn";
            if !exact && !draft.flag("ftz") {
                return Refusal::new("rcp.approx.f64 has to be .ftz");
            }
            draft.kind(&["f64"])?;
            draft.plain(64, &[64])?;
            Ok(match (opcode, exact) {
                ("sqrt", _) => unary(|a: u64| d(a).sqrt().to_bits()),
                (_, true) => unary(|a: u64| (1.0 / d(a)).to_bits()),
                // The manual: the upper 32 bits of the result are good, the lower ones are zero.
                _ => unary(|a: u64| upper(1.0 / flush(upper(d(a)))).to_bits()),
            })
        }
        "rsqrt" => {
            draft.work = Work::Special;
            draft.need(&["approx"])?;
            let ftz = draft.flag("ftz");
            draft.kind(&["f64"])?;
            draft.plain(64, &[64])?;
            Ok(match ftz {
                true => unary(|a: u64| upper(1.0 / flush(upper(d(a))).sqrt()).to_bits()),
                false => unary(|a: u64| (1.0 / d(a).sqrt()).to_bits()),
            })
        }
        other => Refusal::new(format!("{other}.f64 is not known")),
    }
}

/// Clears the lower 32 bits.
#[inline(always)]
fn upper(x: f64) -> f64 {
    d(x.to_bits() & 0xffff_ffff_0000_0000)
}

/// Subnormal numbers become zeros of their sign.
#[inline(always)]
fn flush(x: f64) -> f64 {
    if x.abs() < f64::MIN_POSITIVE { d(x.to_bits() & 1 << 63) } else { x }
}
