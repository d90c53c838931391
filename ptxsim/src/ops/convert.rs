//! Conversions between number formats (PTX ISA 9.7.9.21 `cvt`).

use super::float::{f, flush, saturate, to_zero};
use super::half::{from_bf16, from_f16, to_bf16, to_f16};
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal, Type};
use crate::exec::lanes::{Lane, WARP, binary, unary, versions, write_row};
use crate::exec::{Code, Context, Handler};

const TYPES: [&str; 12] = ["u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f16", "f32", "f64", "bf16"];

/// Decodes `cvt`.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Convert;
    let rounding = draft.one_of(&["rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "rna"]);
    let relu = rounding == Some("rn") && draft.flag("relu");
    let (ftz, sat) = (draft.flag("ftz"), draft.flag("sat"));
    let operands = &draft.instruction.operands;
    if rounding == Some("rna") {
        draft.need(&["tf32"])?;
        draft.need(&["f32"])?;
        if ftz || sat {
            return Refusal::new(".ftz and .sat are not known here");
        }
        draft.plain(32, &[32])?;
        return Ok(unary(tf32));
    }
    if let Some(packed) = draft.one_of(&["bf16x2", "f16x2"]) {
        draft.need(&["f32"])?;
        if rounding != Some("rn") || ftz || sat {
            return Refusal::new("only .rn is known here");
        }
        draft.plain(32, &[32; 2])?;
        return Ok(match (packed, relu) {
            ("bf16x2", false) => binary(|a: u32, b: u32| to_bf16(f(a)) << 16 | to_bf16(f(b))),
            ("bf16x2", true) => binary(|a: u32, b: u32| to_bf16(rectify(f(a))) << 16 | to_bf16(rectify(f(b)))),
            (_, false) => binary(|a: u32, b: u32| to_f16(f(a)) << 16 | to_f16(f(b))),
            _ => binary(|a: u32, b: u32| to_f16(rectify(f(a))) << 16 | to_f16(rectify(f(b)))),
        });
    }
    let target = draft.kind(&TYPES)?;
    let source = draft.kind(&TYPES)?;
    draft.end(2)?;
    let target_width = draft.target_of(0, &operands[0], target.bits.max(16))?;
    let source_width = draft.source_of(1, &operands[1], source.bits.max(16))?;
    let (from_integer, to_integer) = (source.is_integer(), target.is_integer());
    if from_integer && to_integer {
        if rounding.is_some() || ftz {
            return Refusal::new("integers are not rounded");
        }
        return Ok(integers(draft, target, source, target_width, source_width, sat));
    }
    if !from_integer && source_width != source.bits || !to_integer && target_width != target.bits {
        return Refusal::new("a float's register has to have the float's width");
    }
    if relu && !(source.bits == 32 && target.bits == 16) {
        return Refusal::new(".relu is not known here");
    }
    if to_integer {
        return to_int(draft, rounding, ftz, target, source, target_width);
    }
    if from_integer {
        if ftz || sat {
            return Refusal::new(".ftz and .sat are not known here");
        }
        match (rounding, source.letter, source.bits, source_width, target.bits) {
            (Some("rn"), ..) => {}
            (Some("rz"), 's', 32, 32, 32) => return Ok(unary(|a: u32| to_zero((a as i32 as f64, 0.0)).to_bits())),
            (Some("rz"), 'u', 32, 32, 32) => return Ok(unary(|a: u32| to_zero((a as f64, 0.0)).to_bits())),
            _ => return Refusal::new("integers become floats by .rn, and those of 32 bits float32 also by .rz"),
        }
        return from_int(target, source, source_width, draft);
    }
    floats(target, source, rounding, relu, ftz, sat)
}

/// `.relu`: negative numbers become zero.
#[inline(always)]
fn rectify(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// Ten bits of mantissa, to nearest, ties away from zero.
#[inline(always)]
fn tf32(bits: u32) -> u32 {
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        0x7fff_ffff
    } else if bits & 0x7fff_ffff == 0x7f80_0000 {
        bits
    } else {
        bits.wrapping_add(0x1000) & !0x1fff
    }
}

/// Between integers; the common ones by themselves, the others by one handler that looks at the types.
fn integers(draft: &mut Draft, target: Type, source: Type, target_width: u32, source_width: u32, sat: bool) -> Handler {
    let exact = target_width == target.bits && source_width == source.bits && !sat;
    match (source.letter, source.bits, target.bits) {
        ('u', 32, 64) if exact => return unary(|a: u32| a as u64),
        ('s', 32, 64) if exact => return unary(|a: u32| a as i32 as u64),
        (_, 64, 32) if exact => return unary(|a: u64| a as u32),
        ('u', 16, 32) if exact => return unary(|a: u32| a),
        ('s', 16, 32) if exact => return unary(|a: u32| a as u16 as i16 as u32),
        (_, 32, 16) if exact => return unary(|a: u32| a & 0xffff),
        _ => {}
    }
    let places =
        [target.bits, target.is_signed() as u32, source.bits, source.is_signed() as u32, target_width, sat as u32];
    draft.code.immediate = places.iter().rev().fold(0, |all, place| all << 8 | *place as i64);
    match (target_width == 64, source_width == 64) {
        (false, false) => make_convert_integers::<u32, u32>(),
        (false, true) => make_convert_integers::<u32, u64>(),
        (true, false) => make_convert_integers::<u64, u32>(),
        (true, true) => make_convert_integers::<u64, u64>(),
    }
}

/// A row's value cut from 64 bits.
trait Cut: Lane + Into<u64> {
    fn cut(value: u64) -> Self;
}
impl Cut for u32 {
    fn cut(value: u64) -> u32 {
        value as u32
    }
}
impl Cut for u64 {
    fn cut(value: u64) -> u64 {
        value
    }
}

/// The lower `bits` of a value, extended by its sign or by zeros.
#[inline(always)]
fn extend(value: u64, bits: u32, signed: bool) -> i128 {
    let shift = 64 - bits;
    if signed { ((value << shift) as i64 >> shift) as i128 } else { (value << shift >> shift) as i128 }
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made rows of these widths.
unsafe fn convert_integers<D: Cut, S: Cut>(context: &mut Context, code: &Code, mask: u32) -> bool {
    let place = |at: u32| (code.immediate >> (8 * at)) as u32 & 255;
    let (target, target_signed, source, source_signed) = (place(0), place(1) != 0, place(2), place(3) != 0);
    let (width, sat) = (place(4), place(5) != 0);
    let (least, most) =
        if target_signed { (-1i128 << (target - 1), (1i128 << (target - 1)) - 1) } else { (0, (1i128 << target) - 1) };
    // SAFETY: as above.
    unsafe {
        let from = context.values::<S>(code.r[1]);
        let mut out = [D::default(); WARP];
        for lane in 0..WARP {
            let value = extend(from[lane].into(), source, source_signed);
            let value = if sat { value.clamp(least, most) } else { value };
            // The destination's register may be wider than its type: it is extended as the type says.
            let wide = extend(value as u64, target, target_signed) as u64;
            out[lane] = D::cut(if width == 16 { wide & 0xffff } else { wide });
        }
        write_row(context.row::<D>(code.r[0]), &out, mask);
    }
    true
}
versions!(make_convert_integers, convert_integers, fast_convert_integers, [D: Cut, S: Cut], [D, S]);

/// What a float becomes as an integer between the bounds; `nan` where it is no number.
#[inline(always)]
fn clamp(x: f64, least: f64, most: f64) -> f64 {
    x.max(least).min(most)
}

fn to_int(
    draft: &mut Draft,
    rounding: Option<&str>,
    ftz: bool,
    target: Type,
    source: Type,
    width: u32,
) -> Result<Handler, Refusal> {
    let Some(rounding @ ("rni" | "rzi" | "rmi" | "rpi")) = rounding else {
        return Refusal::new("a float becomes an integer by .rni, .rzi, .rmi or .rpi");
    };
    match (rounding, source.bits, target.letter, target.bits, width, ftz) {
        ("rzi", 32, 's', 32, 32, false) => return Ok(unary(|a: u32| f(a) as i32 as u32)),
        ("rzi", 32, 'u', 32, 32, false) => return Ok(unary(|a: u32| f(a) as u32)),
        ("rni", 32, 's', 32, 32, false) => return Ok(unary(|a: u32| f(a).round_ties_even() as i32 as u32)),
        _ => {}
    }
    let mode = match rounding {
        "rni" => 0,
        "rzi" => 1,
        "rmi" => 2,
        _ => 3,
    };
    let format = match (source.letter, source.bits) {
        ('h', _) => 3,
        (_, 16) => 2,
        (_, 32) => 0,
        _ => 1,
    };
    let places = [target.bits as i64, target.is_signed() as i64, mode, format, ftz as i64, width as i64];
    draft.code.immediate = places.iter().rev().fold(0, |all, place| all << 8 | place);
    Ok(match (width == 64, source.bits == 64) {
        (false, false) => make_convert_to_int::<u32, u32>(),
        (false, true) => make_convert_to_int::<u32, u64>(),
        (true, false) => make_convert_to_int::<u64, u32>(),
        (true, true) => make_convert_to_int::<u64, u64>(),
    })
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made rows of these widths.
unsafe fn convert_to_int<D: Cut, S: Cut>(context: &mut Context, code: &Code, mask: u32) -> bool {
    let place = |at: u32| (code.immediate >> (8 * at)) as u32 & 255;
    let (bits, signed, mode, format, ftz, width) =
        (place(0), place(1) != 0, place(2), place(3), place(4) != 0, place(5));
    // SAFETY: as above.
    unsafe {
        let from = context.values::<S>(code.r[1]);
        let mut out = [D::default(); WARP];
        for lane in 0..WARP {
            let raw: u64 = from[lane].into();
            let x = match format {
                0 if ftz => flush(f(raw as u32)) as f64,
                0 => f(raw as u32) as f64,
                1 => f64::from_bits(raw),
                2 => from_f16(raw as u32) as f64,
                _ => from_bf16(raw as u32) as f64,
            };
            let whole = match mode {
                0 => x.round_ties_even(),
                1 => x.trunc(),
                2 => x.floor(),
                _ => x.ceil(),
            };
            let value = if x.is_nan() {
                // The manual: zero, but for 64 bits on either side the smallest number's bits.
                if format == 1 || bits == 64 { 1u64 << (bits - 1) } else { 0 }
            } else if signed {
                let most = ((1u64 << (bits - 1)) - 1) as i64;
                (clamp(whole, -(most as f64) - 1.0, if bits == 64 { f64::MAX } else { most as f64 }) as i64) as u64
            } else {
                clamp(whole, 0.0, if bits == 64 { f64::MAX } else { ((1u64 << bits) - 1) as f64 }) as u64
            };
            let wide = extend(value, bits, signed) as u64;
            out[lane] = D::cut(if width == 16 { wide & 0xffff } else { wide });
        }
        write_row(context.row::<D>(code.r[0]), &out, mask);
    }
    true
}
versions!(make_convert_to_int, convert_to_int, fast_convert_to_int, [D: Cut, S: Cut], [D, S]);

fn from_int(target: Type, source: Type, width: u32, draft: &mut Draft) -> Result<Handler, Refusal> {
    if width == source.bits {
        match (source.letter, source.bits, target.letter, target.bits) {
            ('s', 32, 'f', 32) => return Ok(unary(|a: u32| (a as i32 as f32).to_bits())),
            ('u', 32, 'f', 32) => return Ok(unary(|a: u32| (a as f32).to_bits())),
            ('s', 64, 'f', 32) => return Ok(unary(|a: u64| (a as i64 as f32).to_bits())),
            ('u', 64, 'f', 32) => return Ok(unary(|a: u64| (a as f32).to_bits())),
            ('s', 32, 'f', 64) => return Ok(unary(|a: u32| (a as i32 as f64).to_bits())),
            ('u', 32, 'f', 64) => return Ok(unary(|a: u32| (a as f64).to_bits())),
            ('s', 64, 'f', 64) => return Ok(unary(|a: u64| (a as i64 as f64).to_bits())),
            ('u', 64, 'f', 64) => return Ok(unary(|a: u64| (a as f64).to_bits())),
            _ => {}
        }
    }
    // Small integers, of which a wider register holds more than counts.
    if source.bits > 16 || width == 64 {
        return Refusal::new("this conversion of an integer to a float is not known");
    }
    draft.code.immediate = source.bits as i64 | (source.is_signed() as i64) << 8;
    Ok(match (target.letter, target.bits) {
        ('f', 32) => make_small_to_float::<32>(),
        ('f', 64) => make_small_to_float::<64>(),
        ('f', _) => make_small_to_float::<16>(),
        _ => return Refusal::new("this conversion of an integer to a float is not known"),
    })
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made rows of these widths.
unsafe fn small_to_float<const BITS: u32>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above.
    unsafe {
        let from = context.values::<u32>(code.r[1]);
        let (bits, signed) = (code.immediate as u32 & 255, code.immediate >> 8 != 0);
        let value = |lane: usize| extend(from[lane] as u64, bits, signed) as i32;
        if BITS == 64 {
            let mut out = [0u64; WARP];
            (0..WARP).for_each(|lane| out[lane] = (value(lane) as f64).to_bits());
            write_row(context.row::<u64>(code.r[0]), &out, mask);
        } else {
            let mut out = [0u32; WARP];
            for (lane, out) in out.iter_mut().enumerate() {
                let x = value(lane) as f32;
                *out = if BITS == 16 { to_f16(x) } else { x.to_bits() };
            }
            write_row(context.row::<u32>(code.r[0]), &out, mask);
        }
    }
    true
}
versions!(make_small_to_float, small_to_float, fast_small_to_float, [const BITS: u32], [BITS]);

fn floats(
    target: Type,
    source: Type,
    rounding: Option<&str>,
    relu: bool,
    ftz: bool,
    sat: bool,
) -> Result<Handler, Refusal> {
    let name = |kind: Type| match (kind.letter, kind.bits) {
        ('h', _) => "bf16",
        (_, 16) => "f16",
        (_, 32) => "f32",
        _ => "f64",
    };
    macro_rules! single {
        ($op:expr) => {
            Ok(super::float::map1(ftz, sat, $op))
        };
    }
    match (name(target), name(source), rounding, relu, ftz, sat) {
        ("f32", "f32", None, false, ..) => single!(|a| a),
        ("f32", "f32", Some("rni"), false, ..) => single!(|a: f32| a.round_ties_even()),
        ("f32", "f32", Some("rzi"), false, ..) => single!(|a: f32| a.trunc()),
        ("f32", "f32", Some("rmi"), false, ..) => single!(|a: f32| a.floor()),
        ("f32", "f32", Some("rpi"), false, ..) => single!(|a: f32| a.ceil()),
        ("f64", "f64", Some("rni"), false, false, false) => {
            Ok(unary(|a: u64| f64::from_bits(a).round_ties_even().to_bits()))
        }
        ("f64", "f64", Some("rzi"), false, false, false) => Ok(unary(|a: u64| f64::from_bits(a).trunc().to_bits())),
        ("f64", "f64", Some("rmi"), false, false, false) => Ok(unary(|a: u64| f64::from_bits(a).floor().to_bits())),
        ("f64", "f64", Some("rpi"), false, false, false) => Ok(unary(|a: u64| f64::from_bits(a).ceil().to_bits())),
        ("f64", "f32", None, false, false, false) => Ok(unary(|a: u32| (f(a) as f64).to_bits())),
        ("f64", "f32", None, false, true, false) => Ok(unary(|a: u32| (flush(f(a)) as f64).to_bits())),
        ("f32", "f64", Some("rn"), false, false, false) => Ok(unary(|a: u64| (f64::from_bits(a) as f32).to_bits())),
        ("f32", "f64", Some("rn"), false, true, false) => Ok(unary(|a: u64| flush(f64::from_bits(a) as f32).to_bits())),
        ("f32", "f64", Some("rn"), false, false, true) => {
            Ok(unary(|a: u64| saturate(f64::from_bits(a) as f32).to_bits()))
        }
        ("f32", "f64", Some("rz"), false, false, false) => {
            Ok(unary(|a: u64| to_zero((f64::from_bits(a), 0.0)).to_bits()))
        }
        ("bf16", "f32", Some("rz"), false, false, false) => {
            Ok(unary(|a: u32| if f(a).is_nan() { 0x7fff } else { a >> 16 }))
        }
        ("f16", "f32", Some("rn"), false, false, false) => Ok(unary(|a: u32| to_f16(f(a)))),
        ("f16", "f32", Some("rn"), true, false, false) => Ok(unary(|a: u32| to_f16(rectify(f(a))))),
        ("bf16", "f32", Some("rn"), false, false, false) => Ok(unary(|a: u32| to_bf16(f(a)))),
        ("bf16", "f32", Some("rn"), true, false, false) => Ok(unary(|a: u32| to_bf16(rectify(f(a))))),
        ("f32", "f16", None, false, false, false) => Ok(unary(|a: u32| from_f16(a).to_bits())),
        ("f32", "bf16", None, false, false, false) => Ok(unary(|a: u32| from_bf16(a).to_bits())),
        _ => Refusal::new("this conversion between floats, or this rounding of it, is not known"),
    }
}
