//! Memory: global allocations, what of them a launch may touch, shared and local memory of a block.
//!
//! Beside each four bytes of data stands one shadow byte. Its low four bits say which of the four bytes have been
//! written, its high four bits which are the destination of an asynchronous copy on its way.

pub(crate) mod access;
pub(crate) mod arena;
pub(crate) mod global;
pub(crate) mod regions;

/// Shadow of four written bytes.
pub(crate) const WRITTEN: u8 = 0x0f;

/// Generic addresses of shared memory start here (PTX ISA 5.2: windows within the generic address space).
pub(crate) const SHARED_WINDOW: u64 = 0x7e00_0000_0000;
/// Generic addresses of a thread's local memory start here.
pub(crate) const LOCAL_WINDOW: u64 = 0x7d00_0000_0000;
/// Generic addresses of the parameter block start here.
pub(crate) const PARAMETER_WINDOW: u64 = 0x7c00_0000_0000;
/// Module variables in `.global` and `.const` start here.
pub(crate) const MODULE_WINDOW: u64 = 0x7b00_0000_0000;
/// Allocations start here.
pub(crate) const GLOBAL_START: u64 = 0x1000_0000_0000;
/// Size of each window.
pub(crate) const WINDOW: u64 = 1 << 40;

/// Calls `f` with each shadow byte of the byte range `start..start + bytes` of an object and the mask of its bytes that
/// lie in the range.
#[inline]
pub(crate) fn each_word(start: u64, bytes: u64, mut f: impl FnMut(u64, u8)) {
    let end = start + bytes;
    let mut at = start;
    while at < end {
        let word = at / 4;
        let stop = end.min((word + 1) * 4);
        let mask = ((1u16 << (stop - word * 4)) - (1u16 << (at - word * 4))) as u8;
        f(word, mask);
        at = stop;
    }
}
