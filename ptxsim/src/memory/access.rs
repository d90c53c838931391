//! The accesses of a warp: where the addresses of its lanes lead, after every check.

use super::{LOCAL_WINDOW, PARAMETER_WINDOW, SHARED_WINDOW, WINDOW, WRITTEN, each_word};
use crate::checks::races::Touch;
use crate::decode::registers::Space;
use crate::exec::lanes::{FULL, WARP};
use crate::exec::{Code, Context};
use crate::fault::FaultKind;

/// Lanes whose addresses lie in one piece of memory.
pub(crate) struct Group {
    /// The lanes.
    pub mask: u32,
    /// The piece: its first byte, and its shadow.
    pub data: *mut u8,
    pub shadow: *mut u8,
    /// Each lane's place in it; lanes outside of the mask have the place of one inside.
    pub offsets: [u32; WARP],
    /// The space, `Generic` excepted.
    pub space: Space,
}

/// The lowest and the highest address, and all their bits or-ed.
#[inline(always)]
fn span(addresses: &[u64; WARP]) -> (u64, u64, u64) {
    let (mut low, mut high, mut bits) = (u64::MAX, 0, 0);
    for address in addresses {
        low = low.min(*address);
        high = high.max(*address);
        bits |= address;
    }
    (low, high, bits)
}

/// The space of a generic address, and the address in it.
fn place(address: u64) -> (Space, u64) {
    for (space, window) in
        [(Space::Shared, SHARED_WINDOW), (Space::Local, LOCAL_WINDOW), (Space::Parameter, PARAMETER_WINDOW)]
    {
        if address.wrapping_sub(window) < WINDOW {
            return (space, address - window);
        }
    }
    (Space::Global, address)
}

/// The first lanes of `mask` that lie in one piece of memory, all their accesses of `bytes` checked; `None` after a fault.
///
/// Lanes outside of `mask` get the address of its first lane.
#[inline(always)]
pub(crate) fn group(
    context: &mut Context,
    code: &Code,
    space: Space,
    addresses: &mut [u64; WARP],
    mask: u32,
    bytes: u64,
    how: Touch,
) -> Option<Group> {
    let first = addresses[mask.trailing_zeros() as usize % WARP];
    if mask != FULL {
        for (lane, address) in addresses.iter_mut().enumerate() {
            *address = if mask & (1 << lane) != 0 { *address } else { first };
        }
    }
    let (low, high, bits) = span(addresses);
    if bits & (bytes - 1) != 0 {
        misaligned(context, code, space, addresses, mask, bytes);
        return None;
    }
    let write = how != Touch::Read;
    match space {
        Space::Shared if high.saturating_add(bytes) <= context.shared.bytes() as u64 => {
            let mut offsets = [0; WARP];
            for lane in 0..WARP {
                offsets[lane] = addresses[lane] as u32;
            }
            let (data, shadow) = (context.shared.data(), context.shared.shadow());
            Some(Group { mask, data, shadow, offsets, space })
        }
        Space::Global => {
            let end = high.saturating_add(bytes);
            let hint = context.hints[code.index as usize] as usize;
            let regions = context.regions;
            let region = match regions.list.get(hint) {
                Some(region) if region.start <= low && end <= region.end && (region.writable || !write) => region,
                _ => match regions.find(low, end, write) {
                    Some(found) => {
                        context.hints[code.index as usize] = found as u16;
                        &regions.list[found]
                    }
                    None => return apart(context, code, space, addresses, mask, bytes, how),
                },
            };
            if high - low > u32::MAX as u64 / 2 {
                return apart(context, code, space, addresses, mask, bytes, how);
            }
            let base = low & !3;
            let mut offsets = [0; WARP];
            for lane in 0..WARP {
                offsets[lane] = (addresses[lane] - base) as u32;
            }
            let from = (base - region.origin) as usize;
            // SAFETY: the region lies inside its allocation, and `low` in the region.
            let (data, shadow) =
                unsafe { (region.allocation.data().add(from), region.allocation.shadow().add(from / 4)) };
            Some(Group { mask, data, shadow, offsets, space })
        }
        _ => apart(context, code, space, addresses, mask, bytes, how),
    }
}

/// As [`group`], for what is rare: lanes in different pieces of memory or out of bounds, generic and local addresses.
#[cold]
#[inline(never)]
fn apart(
    context: &mut Context,
    code: &Code,
    space: Space,
    addresses: &mut [u64; WARP],
    mask: u32,
    bytes: u64,
    how: Touch,
) -> Option<Group> {
    let first = mask.trailing_zeros() as usize % WARP;
    let (real, address) = if space == Space::Generic { place(addresses[first]) } else { (space, addresses[first]) };
    let write = how != Touch::Read;
    let moved = addresses[first].wrapping_sub(address);
    let same = |lane: usize| mask >> lane & 1 != 0 && (space != Space::Generic || place(addresses[lane]).0 == real);
    let mut group =
        Group { mask: 0, data: std::ptr::null_mut(), shadow: std::ptr::null_mut(), offsets: [0; WARP], space: real };
    match real {
        Space::Shared => {
            let size = context.shared.bytes() as u64;
            (group.data, group.shadow) = (context.shared.data(), context.shared.shadow());
            for lane in (0..WARP).filter(|lane| same(*lane)) {
                let at = addresses[lane].wrapping_sub(moved);
                if at.saturating_add(bytes) > size {
                    let message = format!("{bytes} bytes at {at:#x}; the block has {size} bytes of shared memory");
                    outside(context, code, lane, at, "shared memory", write, message);
                    return None;
                }
                group.mask |= 1 << lane;
                group.offsets[lane] = at as u32;
            }
        }
        Space::Local => {
            let size = context.kernel.local_bytes;
            (group.data, group.shadow) = (context.local.data(), context.local.shadow());
            for lane in (0..WARP).filter(|lane| same(*lane)) {
                let at = addresses[lane].wrapping_sub(moved);
                if at.saturating_add(bytes) > size {
                    let message = format!("{bytes} bytes at {at:#x}; a thread has {size} bytes of local memory");
                    outside(context, code, lane, at, "local memory", write, message);
                    return None;
                }
                group.mask |= 1 << lane;
                group.offsets[lane] = ((context.warp * WARP + lane) as u64 * size + at) as u32;
            }
        }
        Space::Parameter => {
            let size = context.parameters.len() as u64;
            group.data = context.parameters.as_ptr() as *mut u8;
            for lane in (0..WARP).filter(|lane| same(*lane)) {
                let at = addresses[lane].wrapping_sub(moved);
                if at.saturating_add(bytes) > size || write {
                    let message = format!("{bytes} bytes at {at:#x} of the {size} bytes of parameters");
                    outside(context, code, lane, at, "the parameters", write, message);
                    return None;
                }
                group.mask |= 1 << lane;
                group.offsets[lane] = at as u32;
            }
        }
        _ => {
            let end = address.saturating_add(bytes);
            let Some(found) = context.regions.find(address, end, write) else {
                let (label, message) = context.regions.near(address, bytes);
                let readable = write && context.regions.find(address, end, false).is_some();
                let verb = if write { "written" } else { "read" };
                let kind = if readable { FaultKind::ReadOnly } else { FaultKind::OutOfBounds };
                let message = format!("{bytes} bytes {verb} {message}");
                context.fail(code, kind, Some(first), Some(address), label, message);
                return None;
            };
            let regions = context.regions;
            let region = &regions.list[found];
            let base = address & !3;
            // The pieces may reach over 4 GiB: from the first lane's place, lanes up to 2 GiB further go along.
            let from = (base - region.origin) as usize;
            // SAFETY: as in `group`.
            (group.data, group.shadow) =
                unsafe { (region.allocation.data().add(from), region.allocation.shadow().add(from / 4)) };
            for lane in (0..WARP).filter(|lane| same(*lane)) {
                let at = addresses[lane];
                let inside = at >= base && at.saturating_add(bytes) <= region.end && at - base < 1 << 31;
                if inside {
                    group.mask |= 1 << lane;
                    group.offsets[lane] = (at - base) as u32;
                }
            }
        }
    }
    for lane in 0..WARP {
        if group.mask >> lane & 1 == 0 {
            group.offsets[lane] = group.offsets[group.mask.trailing_zeros() as usize];
        }
    }
    Some(group)
}

#[cold]
#[inline(never)]
fn outside(context: &mut Context, code: &Code, lane: usize, at: u64, what: &str, write: bool, message: String) {
    let verb = if write { "write of" } else { "read of" };
    context.fail(code, FaultKind::OutOfBounds, Some(lane), Some(at), Some(what.into()), format!("{verb} {message}"));
}

#[cold]
#[inline(never)]
fn misaligned(context: &mut Context, code: &Code, space: Space, addresses: &[u64; WARP], mask: u32, bytes: u64) {
    let lane = (0..WARP).find(|lane| mask >> lane & 1 != 0 && !addresses[*lane].is_multiple_of(bytes)).unwrap_or(0);
    let address = addresses[lane];
    let label = match space {
        Space::Shared => Some("shared memory".into()),
        Space::Local => Some("local memory".into()),
        _ => context.regions.near(address, bytes).0,
    };
    let message = format!("an access of {bytes} bytes needs an address that is a multiple of {bytes}");
    context.fail(code, FaultKind::Misaligned, Some(lane), Some(address), label, message);
}

/// The label and address of a lane's place, for reports.
pub(crate) fn describe(context: &Context, group: &Group, lane: usize, byte: u64) -> (String, u64) {
    let offset = group.offsets[lane] as u64 + byte;
    match group.space {
        Space::Shared => ("shared memory".into(), offset),
        Space::Local => {
            let size = context.kernel.local_bytes.max(1);
            ("local memory".into(), offset % size)
        }
        Space::Parameter => ("the parameters".into(), offset),
        _ => {
            // SAFETY: only the address is computed.
            let place = group.data.wrapping_add(offset as usize) as usize;
            for region in &context.regions.list {
                let start = region.allocation.data() as usize;
                if place >= start && place < start + region.allocation.bytes as usize {
                    let address = region.origin + (place - start) as u64;
                    if address >= region.start && address < region.end {
                        let text = format!("{} (byte {})", region.label, address - region.start);
                        return (text, address);
                    }
                }
            }
            ("global memory".into(), 0)
        }
    }
}

/// A fault: some byte that a lane of the group reads was never written, or is on its way.
#[cold]
#[inline(never)]
pub(crate) fn unwritten(context: &mut Context, code: &Code, group: &Group, bytes: u64) -> bool {
    for lane in (0..WARP).filter(|lane| group.mask >> lane & 1 != 0) {
        let mut found = None;
        each_word(group.offsets[lane] as u64, bytes, |word, mask| {
            // SAFETY: the group was checked.
            let shadow = unsafe { *group.shadow.add(word as usize) };
            if found.is_none() && (shadow & mask != mask || shadow >> 4 & mask != 0) {
                let bad = if shadow >> 4 & mask != 0 { shadow >> 4 & mask } else { mask & !shadow };
                let byte = (word * 4 + bad.trailing_zeros() as u64).saturating_sub(group.offsets[lane] as u64);
                found = Some((byte, shadow >> 4 & mask != 0));
            }
        });
        let Some((byte, pending)) = found else { continue };
        let (label, address) = describe(context, group, lane, byte);
        let (kind, message) = if pending {
            (FaultKind::AsyncCopy, "a byte that cp.async is still to write is read: wait for its group first")
        } else {
            (FaultKind::Uninitialised, "a byte that was never written is read")
        };
        return context.fail(code, kind, Some(lane), Some(address), Some(label), message.into());
    }
    true
}

/// A fault if a lane of the group writes what an asynchronous copy is on its way to.
#[cold]
#[inline(never)]
pub(crate) fn not_pending(context: &mut Context, code: &Code, group: &Group, bytes: u64) -> bool {
    for lane in (0..WARP).filter(|lane| group.mask >> lane & 1 != 0) {
        let mut pending = false;
        each_word(group.offsets[lane] as u64, bytes, |word, mask| {
            // SAFETY: the group was checked.
            pending |= unsafe { *group.shadow.add(word as usize) } >> 4 & mask != 0;
        });
        if pending {
            let (label, address) = describe(context, group, lane, 0);
            let message = "a byte that cp.async is still to write is written: wait for its group first".to_string();
            return context.fail(code, FaultKind::AsyncCopy, Some(lane), Some(address), Some(label), message);
        }
    }
    true
}

/// Marks the bytes of every lane written.
///
/// # Safety
/// The group was checked for accesses of `bytes`.
#[inline(always)]
pub(crate) unsafe fn mark(group: &Group, bytes: u64) {
    for lane in 0..WARP {
        if group.mask >> lane & 1 == 0 {
            continue;
        }
        let offset = group.offsets[lane] as usize;
        // SAFETY: as said. Words are written whole, parts of words by an atomic or: blocks may share a word, not a byte.
        unsafe {
            let place = group.shadow.add(offset / 4);
            match bytes {
                4 => *place = WRITTEN,
                8 => *(place as *mut [u8; 2]) = [WRITTEN; 2],
                16 => *(place as *mut [u8; 4]) = [WRITTEN; 4],
                _ => {
                    let bits = ((1u8 << bytes) - 1) << (offset % 4);
                    if *place & bits != bits {
                        std::sync::atomic::AtomicU8::from_ptr(place)
                            .fetch_or(bits, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            }
        }
    }
}
