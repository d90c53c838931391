//! Loads (PTX ISA 9.7.9.8 `ld`, 9.7.9.9 `ld.global.nc`), and the decoding of stores with them.

use super::address::{REGISTER_16, REGISTER_64, SIGNED, WIDE_ADDRESS, addresses, bind_address, space_of, take_space};
use super::store;
use crate::ast::{Entry, Operand};
use crate::checks::races::Touch;
use crate::checks::watch::watch;
use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::decode::registers::Space;
use crate::exec::lanes::{FULL, WARP, versions, write_row};
use crate::exec::{Code, Context, Handler};
use crate::memory::WRITTEN;
use crate::memory::access::{self, Group};

const TYPES: [&str; 14] =
    ["b8", "u8", "s8", "b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"];

/// Decodes loads and stores.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    let load = draft.instruction.opcode != "st";
    if draft.instruction.opcode == "ldu" {
        return Refusal::new("ldu is not known");
    }
    // Strong and volatile accesses act as plain ones: the memory of the simulator has no caches to differ.
    let order = draft.one_of(if load {
        &["weak", "volatile", "relaxed", "acquire"]
    } else {
        &["weak", "volatile", "relaxed", "release"]
    });
    if matches!(order, Some("relaxed" | "acquire" | "release")) {
        draft.need(&["cta", "gpu", "sys"])?;
    }
    let names: &[&str] = if load {
        &["global", "shared", "shared::cta", "local", "param", "const"]
    } else {
        &["global", "shared", "shared::cta", "local"]
    };
    let space = take_space(draft, names);
    if load {
        draft.one_of(&["ca", "cg", "cs", "lu", "cv"]);
        if space == Space::Global {
            draft.flag("nc");
            draft.one_of(&[
                "L1::evict_normal",
                "L1::evict_unchanged",
                "L1::evict_first",
                "L1::evict_last",
                "L1::no_allocate",
            ]);
            draft.one_of(&["L2::64B", "L2::128B", "L2::256B"]);
        }
    } else {
        draft.one_of(&["wb", "cg", "cs", "wt"]);
    }
    let count = match draft.one_of(&["v2", "v4"]) {
        None => 1,
        Some("v2") => 2,
        Some(_) => 4,
    };
    let kind = draft.kind(&TYPES)?;
    draft.end(2)?;
    let operands = &draft.instruction.operands;
    let (values, place) = if load { (&operands[0], &operands[1]) } else { (&operands[1], &operands[0]) };
    bind_address(draft, place, space)?;
    let elements = Draft::elements(values);
    if elements.len() != count || count == 1 && matches!(values, Operand::Vector(_)) {
        return Refusal::new(format!("{} values, the modifiers say {count}", elements.len()));
    }
    if kind.bits as usize * count > 128 {
        return Refusal::new("more than 16 bytes at once");
    }
    draft.work = match (space, load) {
        (Space::Parameter | Space::Constant, _) => Work::LoadConstant,
        (Space::Shared, true) => Work::LoadShared,
        (Space::Shared, false) => Work::StoreShared,
        (Space::Local, _) => Work::Local,
        (_, true) => Work::LoadGlobal,
        (_, false) => Work::StoreGlobal,
    };
    let mut width = None;
    for (at, element) in elements.iter().enumerate() {
        // `_` in a vector load: that element is not wanted.
        let least = kind.bits.max(16);
        let found = match element {
            Operand::Sink if load => {
                let other = elements.iter().find(|element| **element != Operand::Sink);
                let width = match other {
                    Some(Operand::Register(name)) => draft.registers.named(name)?.1,
                    _ => least,
                };
                draft.target(at, element, width)?;
                width
            }
            _ if load => draft.target_of(at, element, least)?,
            _ => draft.source_of(at, element, least)?,
        };
        if width.is_some_and(|width| width != found) {
            return Refusal::new("the registers of a vector have to be of one width");
        }
        width = Some(found);
    }
    let width = width.unwrap_or(32);
    if kind.letter == 'f' && width != kind.bits {
        return Refusal::new("a float's register has to have the float's width");
    }
    draft.code.choice |= match width {
        16 => REGISTER_16,
        64 => REGISTER_64,
        _ => 0,
    };
    if kind.is_signed() {
        draft.code.choice |= SIGNED;
    }
    Ok(match (load, kind.bits, count) {
        (true, 8, 1) => make_load_narrow::<1, 1>(),
        (true, 8, 2) => make_load_narrow::<1, 2>(),
        (true, 8, _) => make_load_narrow::<1, 4>(),
        (true, 16, 1) => make_load_narrow::<2, 1>(),
        (true, 16, 2) => make_load_narrow::<2, 2>(),
        (true, 16, _) => make_load_narrow::<2, 4>(),
        (true, 32, 1) if width == 64 => make_load_narrow::<4, 1>(),
        (true, 32, 2) if width == 64 => make_load_narrow::<4, 2>(),
        (true, 32, _) if width == 64 => make_load_narrow::<4, 4>(),
        (true, 32, 1) => make_load::<u32, 1, 4>(),
        (true, 32, 2) => make_load::<u32, 2, 8>(),
        (true, 32, _) => make_load::<u32, 4, 16>(),
        (true, _, 1) => make_load::<u64, 1, 8>(),
        (true, ..) => make_load::<u64, 2, 16>(),
        (_, bits, count) => store::handler(bits, count),
    })
}

/// Whether every byte that a group reads was written. `T` bytes for each lane.
///
/// # Safety
/// The group was checked for accesses of `T` bytes.
#[inline(always)]
pub(super) unsafe fn written<const T: usize>(group: &Group, contiguous: bool) -> bool {
    // SAFETY: as said; 32 accesses one behind the other have `32 T / 4` shadow bytes.
    unsafe {
        if contiguous && T.is_multiple_of(4) {
            let mut bad = 0;
            for word in 0..WARP * T / 4 {
                bad |= *group.shadow.add(word) ^ WRITTEN;
            }
            return bad == 0;
        }
        let mut bad = 0u32;
        for lane in 0..WARP {
            let offset = group.offsets[lane] as usize;
            let place = group.shadow.add(offset / 4);
            bad |= match T {
                16 => (place as *const u32).read_unaligned() ^ 0x0f0f_0f0f,
                8 => ((place as *const u16).read_unaligned() ^ 0x0f0f) as u32,
                4 => (*place ^ WRITTEN) as u32,
                _ => {
                    let bits = ((1u8 << T) - 1) << (offset % 4);
                    (*place & (bits | bits << 4) ^ bits) as u32
                }
            };
        }
        bad == 0
    }
}

/// Whether the lanes' places are one behind the other, all 32 of them, from the first byte of the piece.
#[inline(always)]
pub(super) fn is_contiguous<const T: usize>(group: &Group) -> bool {
    let mut differ = 0;
    for lane in 0..WARP {
        differ |= group.offsets[lane] ^ (lane * T) as u32;
    }
    differ == 0 && group.mask == FULL
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made `N` rows of `E` and the address.
unsafe fn load<E: crate::exec::lanes::Lane, const N: usize, const T: usize>(
    context: &mut Context,
    code: &Code,
    mask: u32,
) -> bool {
    // SAFETY: as above; `group` checks every access.
    unsafe {
        let mut all = addresses(context, code);
        let space = space_of(code);
        if space == Space::Parameter && code.choice & WIDE_ADDRESS != 0 {
            return load_parameter::<E, N, T>(context, code, mask, &all);
        }
        let space = if space == Space::Constant { Space::Global } else { space };
        let mut rest = mask;
        while rest != 0 {
            let Some(group) = access::group(context, code, space, &mut all, rest, T as u64, Touch::Read) else {
                return false;
            };
            let contiguous = is_contiguous::<T>(&group);
            if context.checks.initialisation
                && group.space != Space::Parameter
                && !written::<T>(&group, contiguous)
                && !access::unwritten(context, code, &group, T as u64)
            {
                return false;
            }
            if (context.counting || context.races.is_some())
                && !watch(context, code, &group, &all, T as u64, Touch::Read)
            {
                return false;
            }
            if contiguous && N == 1 {
                let values = (group.data as *const [E; WARP]).read_unaligned();
                write_row(context.row::<E>(code.r[0]), &values, FULL);
                return true;
            }
            let mut out = [[E::default(); WARP]; N];
            if contiguous {
                let from = group.data as *const E;
                for lane in 0..WARP {
                    for (at, out) in out.iter_mut().enumerate() {
                        out[lane] = from.add(lane * N + at).read_unaligned();
                    }
                }
            } else {
                for lane in 0..WARP {
                    let values = (group.data.add(group.offsets[lane] as usize) as *const [E; N]).read_unaligned();
                    for at in 0..N {
                        out[at][lane] = values[at];
                    }
                }
            }
            for (at, out) in out.iter().enumerate() {
                write_row(context.row::<E>(code.r[at]), out, group.mask);
            }
            rest &= !group.mask;
        }
    }
    true
}
versions!(make_load, load, fast_load, [E: crate::exec::lanes::Lane, const N: usize, const T: usize], [E, N, T]);

/// Parameters at a place known beforehand, or in a register: the same for all lanes mostly.
///
/// # Safety
/// As `load`.
#[inline(always)]
unsafe fn load_parameter<E: crate::exec::lanes::Lane, const N: usize, const T: usize>(
    context: &mut Context,
    code: &Code,
    mask: u32,
    all: &[u64; WARP],
) -> bool {
    let size = context.parameters.len() as u64;
    let mut out = [[E::default(); WARP]; N];
    for lane in 0..WARP {
        if mask >> lane & 1 == 0 {
            continue;
        }
        let at = all[lane];
        if at.saturating_add(T as u64) > size || !at.is_multiple_of(T as u64) {
            return parameter_fault(context, code, lane, at, T as u64);
        }
        // SAFETY: just checked.
        let values = unsafe { (context.parameters.as_ptr().add(at as usize) as *const [E; N]).read_unaligned() };
        for place in 0..N {
            out[place][lane] = values[place];
        }
    }
    for (at, out) in out.iter().enumerate() {
        // SAFETY: the decoder made these rows.
        unsafe { write_row(context.row::<E>(code.r[at]), out, mask) };
    }
    true
}

#[cold]
#[inline(never)]
fn parameter_fault(context: &mut Context, code: &Code, lane: usize, at: u64, bytes: u64) -> bool {
    use crate::fault::FaultKind;
    let size = context.parameters.len();
    let kind = if !at.is_multiple_of(bytes) { FaultKind::Misaligned } else { FaultKind::OutOfBounds };
    let message = format!("{bytes} bytes at {at:#x} of the {size} bytes of parameters");
    context.fail(code, kind, Some(lane), Some(at), Some("the parameters".into()), message)
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made `N` rows, of the width that `choice` says.
unsafe fn load_narrow<const B: usize, const N: usize>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above; `group` checks every access.
    unsafe {
        let mut all = addresses(context, code);
        let space = match space_of(code) {
            Space::Constant => Space::Global,
            space => space,
        };
        let bytes = (B * N) as u64;
        let mut rest = mask;
        while rest != 0 {
            let Some(group) = access::group(context, code, space, &mut all, rest, bytes, Touch::Read) else {
                return false;
            };
            let sound = |group: &Group| match B * N {
                1 => written::<1>(group, false),
                2 => written::<2>(group, false),
                4 => written::<4>(group, false),
                8 => written::<8>(group, false),
                _ => written::<16>(group, false),
            };
            if context.checks.initialisation
                && group.space != Space::Parameter
                && !sound(&group)
                && !access::unwritten(context, code, &group, bytes)
            {
                return false;
            }
            if (context.counting || context.races.is_some()) && !watch(context, code, &group, &all, bytes, Touch::Read)
            {
                return false;
            }
            for at in 0..N {
                let mut out = [0u64; WARP];
                for lane in 0..WARP {
                    let from = group.data.add(group.offsets[lane] as usize + at * B);
                    out[lane] = match (B, code.choice & SIGNED != 0) {
                        (1, false) => *from as u64,
                        (1, true) => *(from as *const i8) as u64,
                        (2, false) => (from as *const u16).read_unaligned() as u64,
                        (2, true) => (from as *const i16).read_unaligned() as u64,
                        (_, false) => (from as *const u32).read_unaligned() as u64,
                        (_, true) => (from as *const i32).read_unaligned() as u64,
                    };
                }
                if code.choice & REGISTER_64 != 0 {
                    write_row(context.row::<u64>(code.r[at]), &out, group.mask);
                } else {
                    let keep = if code.choice & REGISTER_16 != 0 { 0xffff } else { u32::MAX };
                    let mut cut = [0u32; WARP];
                    for lane in 0..WARP {
                        cut[lane] = out[lane] as u32 & keep;
                    }
                    write_row(context.row::<u32>(code.r[at]), &cut, group.mask);
                }
            }
            rest &= !group.mask;
        }
    }
    true
}
versions!(make_load_narrow, load_narrow, fast_load_narrow, [const B: usize, const N: usize], [B, N]);

/// The smallest accesses to shared and to global memory: the units in which races are looked for.
pub(crate) fn units(entry: &Entry) -> (usize, usize) {
    let (mut shared, mut global) = (16, 16);
    for instruction in &entry.instructions {
        let has = |name: &str| instruction.modifiers.iter().any(|modifier| modifier.starts_with(name));
        let kind = instruction.modifiers.last().map_or("", String::as_str);
        let bytes = match instruction.opcode.as_str() {
            "ld" | "st" | "atom" | "red" => {
                let digits: String = kind.chars().filter(char::is_ascii_digit).collect();
                digits.parse::<usize>().map_or(1, |bits| (bits / 8).clamp(1, 16))
            }
            "cp" => 4,
            _ => continue,
        };
        if has("param") || has("const") || has("local") {
            continue;
        }
        if !has("global") || instruction.opcode == "cp" {
            shared = shared.min(bytes);
        }
        if !has("shared") || instruction.opcode == "cp" {
            global = global.min(bytes);
        }
    }
    (shared, global)
}
