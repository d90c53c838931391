//! What is done with each access of a warp when a launch looks for races or counts traffic.

use super::global::SEVERAL;
use super::races::Touch;
use crate::decode::registers::Space;
use crate::exec::lanes::WARP;
use crate::exec::{Code, Context};
use crate::fault::FaultKind;
use crate::memory::access::{Group, describe};

/// Looks for races and counts, where asked; false after a fault.
#[cold]
#[inline(never)]
pub(crate) fn watch(
    context: &mut Context,
    code: &Code,
    group: &Group,
    addresses: &[u64; WARP],
    bytes: u64,
    how: Touch,
) -> bool {
    match group.space {
        Space::Shared => {
            if context.counting {
                let work = context.kernel.meta[code.index as usize].work;
                context.tally.shared(work, how, &group.offsets, group.mask, bytes as u32);
            }
            let Some(mut races) = context.races.take() else { return true };
            let mut found = None;
            for lane in (0..WARP).filter(|lane| group.mask >> lane & 1 != 0) {
                if let Some(other) = races.touch(context.warp, lane, group.offsets[lane] as usize, bytes as usize, how)
                {
                    found = Some((lane, other));
                    break;
                }
            }
            context.races = Some(races);
            let Some((lane, other)) = found else { return true };
            let [x, y, z] = other_thread(context, other.thread as usize);
            let did = if other.wrote { "has written" } else { "has read" };
            let does = if how == Touch::Read { "read" } else { "written" };
            let message = format!("{does} here, and thread ({x}, {y}, {z}) {did} it with no barrier between");
            let (label, address) = describe(context, group, lane, 0);
            context.fail(code, FaultKind::SharedRace, Some(lane), Some(address), Some(label), message)
        }
        Space::Global | Space::Constant => {
            if context.counting {
                context.tally.global(how, addresses, group.mask, bytes);
            }
            let Some(mut races) = context.global_races.take() else { return true };
            let regions = context.regions;
            let mut found = None;
            let mut region = None;
            for lane in (0..WARP).filter(|lane| group.mask >> lane & 1 != 0) {
                let address = addresses[lane];
                let known = region.filter(|index: &usize| {
                    let region = &regions.list[*index];
                    region.start <= address && address + bytes <= region.end
                });
                region = known.or_else(|| regions.find(address, address + bytes, how != Touch::Read));
                let Some(index) = region else { continue };
                let held = &regions.list[index];
                let place = held.base + (address - held.origin);
                if let Some(other) = races.touch(context.block_number, place, bytes, how) {
                    found = Some((lane, other));
                    break;
                }
                races.synchronise(context.block_number, place, code.order);
            }
            context.global_races = Some(races);
            let Some((lane, other)) = found else { return true };
            let (label, address) = describe(context, group, lane, 0);
            let does = if how == Touch::Read { "read" } else { "written" };
            let by = match other.block {
                SEVERAL => "several blocks".to_string(),
                number => {
                    let [x, y, _] = context.grid;
                    format!("block ({}, {}, {})", number % x, number / x % y, number / (x * y))
                }
            };
            let message = format!("{does} here, and {} by {by} in the same launch", other.what);
            context.fail(code, FaultKind::GlobalRace, Some(lane), Some(address), Some(label), message)
        }
        _ => true,
    }
}

fn other_thread(context: &Context, number: usize) -> [u32; 3] {
    let [x, y, _] = context.block_size;
    let number = number as u32;
    [number % x, number / x % y, number / (x * y)]
}
