//! float32 arithmetic (PTX ISA 9.7.3).
//!
//! Results that are not a number are the host's, not the canonical one of the hardware (0x7fffffff). The approximate
//! functions are computed in float64 and rounded once, which lies within the manual's error bounds.

use super::compare;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::exec::Handler;
use crate::exec::lanes::{binary, ternary, unary};

/// The float of these bits.
#[inline(always)]
pub(super) fn f(bits: u32) -> f32 {
    f32::from_bits(bits)
}

/// Subnormal numbers become zeros of their sign.
#[inline(always)]
pub(super) fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { f32::from_bits(x.to_bits() & 0x8000_0000) } else { x }
}

/// `.sat`: into 0 to 1; what is not a number becomes 0.
#[inline(always)]
pub(super) fn saturate(x: f32) -> f32 {
    if x > 0.0 { if x < 1.0 { x } else { 1.0 } } else { 0.0 }
}

/// A handler with `.ftz` and `.sat` as asked.
macro_rules! float_map {
    ($name:ident, $map:ident, $($x:ident : $type:ident),+) => {
        pub(super) fn $name<F: Fn($($type),+) -> f32 + Copy + 'static>(ftz: bool, sat: bool, op: F) -> Handler {
            match (ftz, sat) {
                (false, false) => $map(move |$($x: u32),+| op($(f($x)),+).to_bits()),
                (true, false) => $map(move |$($x: u32),+| flush(op($(flush(f($x))),+)).to_bits()),
                (false, true) => $map(move |$($x: u32),+| saturate(op($(f($x)),+)).to_bits()),
                (true, true) => $map(move |$($x: u32),+| saturate(flush(op($(flush(f($x))),+))).to_bits()),
            }
        }
    };
}
float_map!(map1, unary, a: f32);
float_map!(map2, binary, a: f32, b: f32);
float_map!(map3, ternary, a: f32, b: f32, c: f32);

/// Sum of two numbers and its rounding error (Knuth, TAOCP 2, 4.2.2).
#[inline(always)]
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// The exact value `sum + error` rounded down (to minus infinity).
#[inline(always)]
fn down((sum, error): (f64, f64)) -> f32 {
    let near = sum as f32;
    let wide = near as f64;
    if wide > sum || wide == sum && error < 0.0 { near.next_down() } else { near }
}

/// The sum rounded down: an exact zero of two numbers that are not both +0 is -0 then.
#[inline(always)]
fn down_sum(a: f64, b: f64) -> f32 {
    let value = two_sum(a, b);
    if value.0 == 0.0 && (a.is_sign_negative() || b.is_sign_negative()) { -0.0 } else { down(value) }
}

/// A quotient, and a number of the sign of what the exact one has more.
#[inline(always)]
fn quotient(a: f32, b: f32) -> (f64, f64) {
    let (a, b) = (a as f64, b as f64);
    let near = a / b;
    let rest = (-near).mul_add(b, a);
    (near, if rest.is_finite() { rest / b } else { 0.0 })
}

/// A root, and a number of the sign of what the exact one has more.
#[inline(always)]
fn root(a: f32) -> (f64, f64) {
    let near = (a as f64).sqrt();
    let rest = (-near).mul_add(near, a as f64);
    (near, if rest.is_finite() { rest } else { 0.0 })
}

/// Rounded up.
#[inline(always)]
fn up(value: (f64, f64)) -> f32 {
    -down((-value.0, -value.1))
}

/// Rounded to zero.
#[inline(always)]
pub(super) fn to_zero(value: (f64, f64)) -> f32 {
    if value.0 > 0.0 { down(value) } else { up(value) }
}

/// The larger of two numbers; what is not a number yields to the other, +0 is more than -0.
#[inline(always)]
pub(super) fn maximum(a: f32, b: f32) -> f32 {
    match a == b {
        true => f(a.to_bits() & b.to_bits()),
        false if a > b || b.is_nan() => a,
        false => b,
    }
}

/// The smaller of two numbers.
#[inline(always)]
pub(super) fn minimum(a: f32, b: f32) -> f32 {
    match a == b {
        true => f(a.to_bits() | b.to_bits()),
        false if a < b || b.is_nan() => a,
        false => b,
    }
}

/// The canonical not-a-number of the hardware.
pub(super) const NAN: u32 = 0x7fff_ffff;

/// Decodes float32 arithmetic.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Float32;
    let opcode = draft.instruction.opcode.as_str();
    match opcode {
        "add" | "sub" | "mul" => {
            let rounding = draft.one_of(&["rn", "rz", "rm", "rp"]).unwrap_or("rn");
            let (ftz, sat) = (draft.flag("ftz"), draft.flag("sat"));
            draft.kind(&["f32"])?;
            draft.plain(32, &[32; 2])?;
            Ok(match (opcode, rounding) {
                ("add", "rn") => map2(ftz, sat, |a, b| a + b),
                ("add", "rz") => map2(ftz, sat, |a, b| to_zero(two_sum(a as f64, b as f64))),
                ("add", "rm") => map2(ftz, sat, |a, b| down_sum(a as f64, b as f64)),
                ("add", _) => map2(ftz, sat, |a, b| up(two_sum(a as f64, b as f64))),
                ("sub", "rn") => map2(ftz, sat, |a, b| a - b),
                ("sub", "rz") => map2(ftz, sat, |a, b| to_zero(two_sum(a as f64, -b as f64))),
                ("sub", "rm") => map2(ftz, sat, |a, b| down_sum(a as f64, -b as f64)),
                ("sub", _) => map2(ftz, sat, |a, b| up(two_sum(a as f64, -b as f64))),
                (_, "rn") => map2(ftz, sat, |a, b| a * b),
                (_, "rz") => map2(ftz, sat, |a, b| to_zero((a as f64 * b as f64, 0.0))),
                (_, "rm") => map2(ftz, sat, |a, b| down((a as f64 * b as f64, 0.0))),
                _ => map2(ftz, sat, |a, b| up((a as f64 * b as f64, 0.0))),
            })
        }
        "fma" | "mad" => {
            draft.work = Work::Fma32;
            let rounding = draft.need(&["rn", "rz", "rm", "rp"])?;
            let (ftz, sat) = (draft.flag("ftz"), draft.flag("sat"));
            draft.kind(&["f32"])?;
            draft.plain(32, &[32; 3])?;
            Ok(match rounding {
                "rn" => map3(ftz, sat, |a, b, c| a.mul_add(b, c)),
                "rz" => map3(ftz, sat, |a, b, c| to_zero(two_sum(a as f64 * b as f64, c as f64))),
                "rm" => map3(ftz, sat, |a, b, c| down_sum(a as f64 * b as f64, c as f64)),
                _ => map3(ftz, sat, |a, b, c| up(two_sum(a as f64 * b as f64, c as f64))),
            })
        }
        "div" => {
            let rounding = draft.need(&["approx", "full", "rn", "rz", "rm", "rp"])?;
            let ftz = draft.flag("ftz");
            draft.kind(&["f32"])?;
            draft.plain(32, &[32; 2])?;
            Ok(match rounding {
                "rz" => map2(ftz, false, |a, b| to_zero(quotient(a, b))),
                "rm" => map2(ftz, false, |a, b| down(quotient(a, b))),
                "rp" => map2(ftz, false, |a, b| up(quotient(a, b))),
                _ => map2(ftz, false, |a, b| a / b),
            })
        }
        "min" | "max" => {
            let (ftz, nan) = (draft.flag("ftz"), draft.flag("NaN"));
            draft.kind(&["f32"])?;
            draft.plain(32, &[32; 2])?;
            Ok(match (opcode, nan) {
                ("min", false) => {
                    map2(ftz, false, |a, b| if a.is_nan() && b.is_nan() { f(NAN) } else { minimum(a, b) })
                }
                ("max", false) => {
                    map2(ftz, false, |a, b| if a.is_nan() && b.is_nan() { f(NAN) } else { maximum(a, b) })
                }
                ("min", true) => map2(ftz, false, |a, b| if a.is_nan() || b.is_nan() { f(NAN) } else { minimum(a, b) }),
                _ => map2(ftz, false, |a, b| if a.is_nan() || b.is_nan() { f(NAN) } else { maximum(a, b) }),
            })
        }
        "abs" | "neg" => {
            let ftz = draft.flag("ftz");
            draft.kind(&["f32"])?;
            draft.plain(32, &[32])?;
            Ok(if opcode == "abs" { map1(ftz, false, |a| a.abs()) } else { map1(ftz, false, |a| -a) })
        }
        "copysign" => {
            draft.kind(&["f32"])?;
            draft.plain(32, &[32; 2])?;
            Ok(binary(|a: u32, b: u32| a & 0x8000_0000 | b & 0x7fff_ffff))
        }
        "testp" => {
            let property = draft.need(&["finite", "infinite", "number", "notanumber", "normal", "subnormal"])?;
            draft.kind(&["f32"])?;
            draft.end(2)?;
            compare::test(draft, 32)?;
            Ok(match property {
                "finite" => compare::unary(|a: u32| f(a).is_finite()),
                "infinite" => compare::unary(|a: u32| f(a).is_infinite()),
                "number" => compare::unary(|a: u32| !f(a).is_nan()),
                "notanumber" => compare::unary(|a: u32| f(a).is_nan()),
                "normal" => compare::unary(|a: u32| f(a).is_normal()),
                _ => compare::unary(|a: u32| f(a).is_subnormal()),
            })
        }
        _ => function(draft),
    }
}

/// Reciprocals, roots and transcendental functions.
fn function(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Special;
    let opcode = draft.instruction.opcode.as_str();
    let modes: &[&str] =
        if matches!(opcode, "rcp" | "sqrt") { &["approx", "rn", "rz", "rm", "rp"] } else { &["approx"] };
    let rounding = draft.need(modes)?;
    // `tanh` has no `.ftz`.
    let ftz = opcode != "tanh" && draft.flag("ftz");
    draft.kind(&["f32"])?;
    draft.plain(32, &[32])?;
    Ok(match opcode {
        "rcp" if rounding == "rz" => map1(ftz, false, |a| to_zero(quotient(1.0, a))),
        "rcp" if rounding == "rm" => map1(ftz, false, |a| down(quotient(1.0, a))),
        "rcp" if rounding == "rp" => map1(ftz, false, |a| up(quotient(1.0, a))),
        "sqrt" if rounding == "rz" => map1(ftz, false, |a| to_zero(root(a))),
        "sqrt" if rounding == "rm" => map1(ftz, false, |a| down(root(a))),
        "sqrt" if rounding == "rp" => map1(ftz, false, |a| up(root(a))),
        "rcp" => map1(ftz, false, |a| 1.0 / a),
        "sqrt" => map1(ftz, false, |a| a.sqrt()),
        "rsqrt" => map1(ftz, false, |a| (1.0 / (a as f64).sqrt()) as f32),
        "sin" => map1(ftz, false, |a| (a as f64).sin() as f32),
        "cos" => map1(ftz, false, |a| (a as f64).cos() as f32),
        "lg2" => map1(ftz, false, |a| (a as f64).log2() as f32),
        "ex2" => map1(ftz, false, |a| (a as f64).exp2() as f32),
        "tanh" => map1(false, false, |a| (a as f64).tanh() as f32),
        other => return Refusal::new(format!("{other} is not a float32 instruction")),
    })
}
