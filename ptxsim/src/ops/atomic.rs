//! Atomic operations on memory (PTX ISA 9.7.13.5 `atom`, 9.7.13.7 `red`).
//!
//! A kernel with global atomics runs its blocks one after the other, and a warp's lanes take their turns in order: the
//! plain read, change and write here is atomic then.

use super::address::{addresses, bind_address, space_of, take_space};
use crate::ast::Entry;
use crate::checks::global::{ACQUIRE, RELEASE};
use crate::checks::races::Touch;
use crate::checks::watch::watch;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::exec::lanes::{Lane, WARP, versions, write_row};
use crate::exec::{Code, Context, Handler};
use crate::memory::access;
use crate::ops::memory::written;

/// Whether a kernel changes global memory atomically.
pub(crate) fn global_atomics(entry: &Entry) -> bool {
    entry.instructions.iter().any(|instruction| {
        matches!(instruction.opcode.as_str(), "atom" | "red")
            && !instruction.modifiers.iter().any(|modifier| modifier.starts_with("shared"))
    })
}

/// Decodes `atom` and `red`.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Atomic;
    let atom = draft.instruction.opcode == "atom";
    let order =
        draft.one_of(if atom { &["relaxed", "acquire", "release", "acq_rel"] } else { &["relaxed", "release"] });
    let scope = draft.one_of(&["cta", "gpu", "sys"]);
    // PTX ISA 8.5: what is ordered within a block says nothing to other blocks.
    draft.code.order = match order {
        _ if scope == Some("cta") => 0,
        Some("acquire") => ACQUIRE,
        Some("release") => RELEASE,
        Some("acq_rel") => ACQUIRE | RELEASE,
        _ => 0,
    };
    let space = take_space(draft, &["global", "shared", "shared::cta"]);
    let operation = draft.need(if atom {
        &["add", "min", "max", "and", "or", "xor", "inc", "dec", "exch", "cas"]
    } else {
        &["add", "min", "max", "and", "or", "xor", "inc", "dec"]
    })?;
    let kind = draft.kind(match operation {
        "add" => &["u32", "s32", "u64", "s64", "f32", "f64"],
        "min" | "max" => &["u32", "s32", "u64", "s64"],
        "inc" | "dec" => &["u32"],
        _ => &["b32", "b64"],
    })?;
    let sources = 1 + (operation == "cas") as usize;
    draft.end(1 + sources + atom as usize)?;
    let operands = &draft.instruction.operands;
    let (target, rest) =
        if atom { (operands[0].clone(), &operands[1..]) } else { (crate::ast::Operand::Sink, &operands[..]) };
    draft.target(0, &target, kind.bits)?;
    bind_address(draft, &rest[0], space)?;
    draft.source(1, &rest[1], kind.bits)?;
    draft.source(2, rest.get(2).unwrap_or(&rest[1]), kind.bits)?;
    macro_rules! narrow {
        ($f:expr) => {
            make::<u32, 4, _>($f)
        };
    }
    macro_rules! wide {
        ($f:expr) => {
            make::<u64, 8, _>($f)
        };
    }
    Ok(match (operation, kind.letter, kind.bits) {
        ("add", 'f', 32) => {
            narrow!(|old: u32, b: u32, _| (f32::from_bits(old) + f32::from_bits(b)).to_bits())
        }
        ("add", 'f', _) => wide!(|old: u64, b: u64, _| (f64::from_bits(old) + f64::from_bits(b)).to_bits()),
        ("add", _, 32) => narrow!(|old: u32, b: u32, _| old.wrapping_add(b)),
        ("add", ..) => wide!(|old: u64, b: u64, _| old.wrapping_add(b)),
        ("min", 's', 32) => narrow!(|old: u32, b: u32, _| (old as i32).min(b as i32) as u32),
        ("min", _, 32) => narrow!(|old: u32, b: u32, _| old.min(b)),
        ("min", 's', _) => wide!(|old: u64, b: u64, _| (old as i64).min(b as i64) as u64),
        ("min", ..) => wide!(|old: u64, b: u64, _| old.min(b)),
        ("max", 's', 32) => narrow!(|old: u32, b: u32, _| (old as i32).max(b as i32) as u32),
        ("max", _, 32) => narrow!(|old: u32, b: u32, _| old.max(b)),
        ("max", 's', _) => wide!(|old: u64, b: u64, _| (old as i64).max(b as i64) as u64),
        ("max", ..) => wide!(|old: u64, b: u64, _| old.max(b)),
        ("inc", ..) => narrow!(|old: u32, b: u32, _| if old >= b { 0 } else { old + 1 }),
        ("dec", ..) => narrow!(|old: u32, b: u32, _| if old == 0 || old > b { b } else { old - 1 }),
        ("and", _, 32) => narrow!(|old: u32, b: u32, _| old & b),
        ("and", ..) => wide!(|old: u64, b: u64, _| old & b),
        ("or", _, 32) => narrow!(|old: u32, b: u32, _| old | b),
        ("or", ..) => wide!(|old: u64, b: u64, _| old | b),
        ("xor", _, 32) => narrow!(|old: u32, b: u32, _| old ^ b),
        ("xor", ..) => wide!(|old: u64, b: u64, _| old ^ b),
        ("exch", _, 32) => narrow!(|_: u32, b: u32, _| b),
        ("exch", ..) => wide!(|_: u64, b: u64, _| b),
        (_, _, 32) => narrow!(|old: u32, b: u32, c: u32| if old == b { c } else { old }),
        _ => wide!(|old: u64, b: u64, c: u64| if old == b { c } else { old }),
    })
}

fn make<T: Lane, const B: usize, F: Fn(T, T, T) -> T + Copy + 'static>(_: F) -> Handler {
    make_change::<T, B, F>()
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made rows of `T` and the address.
unsafe fn change<T: Lane, const B: usize, F: Fn(T, T, T) -> T + Copy + 'static>(
    context: &mut Context,
    code: &Code,
    mask: u32,
) -> bool {
    const { assert!(size_of::<F>() == 0, "the closure captures something") };
    // SAFETY: a copyable type without bytes; one existed when the handler was made.
    let f: F = unsafe { std::mem::zeroed() };
    // SAFETY: as above; `group` checks every access.
    unsafe {
        let mut all = addresses(context, code);
        let (b, c) = (context.values::<T>(code.r[1]), context.values::<T>(code.r[2]));
        let mut out = [T::default(); WARP];
        let mut rest = mask;
        while rest != 0 {
            let Some(group) = access::group(context, code, space_of(code), &mut all, rest, B as u64, Touch::Atomic)
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
                && !watch(context, code, &group, &all, B as u64, Touch::Atomic)
            {
                return false;
            }
            for lane in 0..WARP {
                if group.mask >> lane & 1 != 0 {
                    let place = group.data.add(group.offsets[lane] as usize) as *mut T;
                    out[lane] = place.read_unaligned();
                    place.write_unaligned(f(out[lane], b[lane], c[lane]));
                }
            }
            rest &= !group.mask;
        }
        write_row(context.row::<T>(code.r[0]), &out, mask);
    }
    true
}
versions!(make_change, change, fast_change, [T: Lane, const B: usize, F: Fn(T, T, T) -> T + Copy + 'static], [T, B, F]);
