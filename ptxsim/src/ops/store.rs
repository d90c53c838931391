//! Stores (PTX ISA 9.7.9.11 `st`).

use super::address::{REGISTER_64, addresses, space_of};
use crate::checks::races::Touch;
use crate::checks::watch::watch;
use crate::decode::registers::Space;
use crate::exec::lanes::{WARP, versions};
use crate::exec::{Code, Context, Handler};
use crate::memory::WRITTEN;
use crate::memory::access;
use crate::ops::memory::is_contiguous;

/// The handler that stores `count` values of `bits` each.
pub(super) fn handler(bits: u32, count: usize) -> Handler {
    match (bits, count) {
        (8, 1) => make_store::<u8, 1, 1>(),
        (8, 2) => make_store::<u8, 2, 2>(),
        (8, _) => make_store::<u8, 4, 4>(),
        (16, 1) => make_store::<u16, 1, 2>(),
        (16, 2) => make_store::<u16, 2, 4>(),
        (16, _) => make_store::<u16, 4, 8>(),
        (32, 1) => make_store::<u32, 1, 4>(),
        (32, 2) => make_store::<u32, 2, 8>(),
        (32, _) => make_store::<u32, 4, 16>(),
        (_, 1) => make_store::<u64, 1, 8>(),
        _ => make_store::<u64, 2, 16>(),
    }
}

/// What is stored of a register.
trait Stored: Copy + Default {
    /// The lanes' values.
    ///
    /// # Safety
    /// The decoder made `place` a row as wide as `wide` says.
    unsafe fn values(context: &Context, place: u16, wide: bool) -> [Self; WARP];
}

macro_rules! stored {
    ($type:ty) => {
        impl Stored for $type {
            #[inline(always)]
            unsafe fn values(context: &Context, place: u16, wide: bool) -> [$type; WARP] {
                let mut out = [0; WARP];
                // SAFETY: as said.
                unsafe {
                    if wide {
                        let all = context.values::<u64>(place);
                        (0..WARP).for_each(|lane| out[lane] = all[lane] as $type);
                    } else {
                        let all = context.values::<u32>(place);
                        (0..WARP).for_each(|lane| out[lane] = all[lane] as $type);
                    }
                }
                out
            }
        }
    };
}
stored!(u8);
stored!(u16);
stored!(u32);
stored!(u64);

#[inline(always)]
// SAFETY: see `Handler`; the decoder made `N` rows of the width that `choice` says, and the address.
unsafe fn store<E: Stored, const N: usize, const T: usize>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above; `group` checks every access.
    unsafe {
        let mut all = addresses(context, code);
        let space = space_of(code);
        let wide = code.choice & REGISTER_64 != 0;
        let mut values = [[E::default(); WARP]; N];
        for (at, values) in values.iter_mut().enumerate() {
            *values = E::values(context, code.r[at], wide);
        }
        let mut rest = mask;
        while rest != 0 {
            let Some(group) = access::group(context, code, space, &mut all, rest, T as u64, Touch::Write) else {
                return false;
            };
            if context.pending != 0
                && context.checks.initialisation
                && group.space == Space::Shared
                && !access::not_pending(context, code, &group, T as u64)
            {
                return false;
            }
            if (context.counting || context.races.is_some())
                && !watch(context, code, &group, &all, T as u64, Touch::Write)
            {
                return false;
            }
            if is_contiguous::<T>(&group) && T.is_multiple_of(4) {
                let to = group.data as *mut E;
                if N == 1 {
                    (to as *mut [E; WARP]).write_unaligned(values[0]);
                } else {
                    for lane in 0..WARP {
                        for (at, values) in values.iter().enumerate() {
                            to.add(lane * N + at).write_unaligned(values[lane]);
                        }
                    }
                }
                group.shadow.write_bytes(WRITTEN, WARP * T / 4);
                return true;
            }
            for lane in 0..WARP {
                if group.mask >> lane & 1 == 0 {
                    continue;
                }
                let to = group.data.add(group.offsets[lane] as usize) as *mut E;
                for (at, values) in values.iter().enumerate() {
                    to.add(at).write_unaligned(values[lane]);
                }
            }
            access::mark(&group, T as u64);
            rest &= !group.mask;
        }
    }
    true
}
versions!(make_store, store, fast_store, [E: Stored, const N: usize, const T: usize], [E, N, T]);
