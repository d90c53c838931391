//! Global memory: allocations that the host makes, fills and reads.

use super::{GLOBAL_START, WRITTEN, each_word};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Allocations are multiples of this apart and aligned to it.
const ALIGNMENT: u64 = 256;

/// An access from the host that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryError {
    /// What was asked for and why it cannot be.
    pub message: String,
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for MemoryError {}

/// Simulated global memory of a device. Several owners may use it at once; addresses are never used twice.
///
/// ```
/// use ptxsim::GlobalMemory;
/// let memory = GlobalMemory::new();
/// let address = memory.allocate(8, "weights").unwrap();
/// assert!(memory.read_checked(address, &mut [0; 8]).is_err());
/// memory.write(address, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
/// let mut bytes = [0; 2];
/// memory.read_checked(address + 3, &mut bytes).unwrap();
/// assert_eq!(bytes, [4, 5]);
/// assert!(memory.read(address + 7, &mut bytes).is_err());
/// ```
#[derive(Debug, Default)]
pub struct GlobalMemory {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    allocations: BTreeMap<u64, Arc<Allocation>>,
    /// Bytes of the address space given away so far.
    used: u64,
    /// Bytes allocated now.
    bytes: u64,
}

/// One allocation.
pub(crate) struct Allocation {
    pub address: u64,
    pub bytes: u64,
    pub label: String,
    data: *mut u8,
    shadow: *mut u8,
}

impl fmt::Debug for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} at {:#x}, {} bytes", self.label, self.address, self.bytes)
    }
}

// SAFETY: the bytes are only touched through raw pointers, never through references, and any bytes are valid. Kernels that
// race on them race on bytes, as they would on a device; the host's own accesses are the owner's to order.
unsafe impl Send for Allocation {}
// SAFETY: as above.
unsafe impl Sync for Allocation {}

impl Allocation {
    fn layouts(bytes: u64) -> Option<(Layout, Layout)> {
        let size = usize::try_from(bytes).ok()?.checked_add(63)? & !63;
        let size = size.max(64);
        Some((Layout::from_size_align(size, 64).ok()?, Layout::from_size_align(size / 4, 64).ok()?))
    }

    /// Zeroed memory, shadow unwritten.
    pub(crate) fn new(address: u64, bytes: u64, label: &str) -> Result<Allocation, MemoryError> {
        let Some((data, shadow)) = Self::layouts(bytes) else {
            return Err(MemoryError { message: format!("{label}: {bytes} bytes are more than a machine can address") });
        };
        // SAFETY: neither layout is of size zero.
        unsafe {
            let (first, second) = (alloc_zeroed(data), alloc_zeroed(shadow));
            if first.is_null() || second.is_null() {
                handle_alloc_error(data);
            }
            Ok(Allocation { address, bytes, label: label.into(), data: first, shadow: second })
        }
    }

    /// The bytes.
    pub(crate) fn data(&self) -> *mut u8 {
        self.data
    }

    /// The shadow, one byte for four.
    pub(crate) fn shadow(&self) -> *mut u8 {
        self.shadow
    }

    /// Copies bytes in and marks them written.
    ///
    /// # Safety
    /// `offset + from.len() <= self.bytes`.
    pub(crate) unsafe fn put(&self, offset: u64, from: &[u8]) {
        // SAFETY: as said; the shadow has a byte for each word.
        unsafe {
            self.data.add(offset as usize).copy_from(from.as_ptr(), from.len());
            self.mark(offset, from.len() as u64);
        }
    }

    /// Marks bytes written.
    ///
    /// # Safety
    /// The range lies inside.
    unsafe fn mark(&self, offset: u64, bytes: u64) {
        let (first, last) = (offset.div_ceil(4), (offset + bytes) / 4);
        // SAFETY: as said.
        unsafe {
            if first < last {
                self.shadow.add(first as usize).write_bytes(WRITTEN, (last - first) as usize);
            }
            for (from, to) in [(offset, (first * 4).min(offset + bytes)), ((last * 4).max(offset), offset + bytes)] {
                each_word(from, to.saturating_sub(from), |word, mask| {
                    AtomicU8::from_ptr(self.shadow.add(word as usize)).fetch_or(mask, Ordering::Relaxed);
                });
            }
        }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if let Some((data, shadow)) = Self::layouts(self.bytes) {
            // SAFETY: these are the layouts that they were allocated with.
            unsafe {
                dealloc(self.data, data);
                dealloc(self.shadow, shadow);
            }
        }
    }
}

impl GlobalMemory {
    /// No allocations.
    pub fn new() -> GlobalMemory {
        GlobalMemory::default()
    }

    /// Allocates `bytes`, their content uninitialised. The address is a multiple of 256, and no other allocation is
    /// nearer than 256 bytes. The label stands in reports.
    pub fn allocate(&self, bytes: u64, label: &str) -> Result<u64, MemoryError> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let address = GLOBAL_START + table.used;
        let room = bytes.checked_next_multiple_of(ALIGNMENT).and_then(|room| room.checked_add(ALIGNMENT));
        let after = room.and_then(|room| table.used.checked_add(room)).filter(|after| *after < super::WINDOW * 64);
        let Some(after) = after else {
            return Err(MemoryError { message: format!("{label}: the address space has no {bytes} bytes left") });
        };
        let allocation = Allocation::new(address, bytes, label)?;
        table.used = after;
        table.bytes += bytes;
        table.allocations.insert(address, Arc::new(allocation));
        Ok(address)
    }

    /// Frees what [`GlobalMemory::allocate`] gave. Launches that run keep it until they end.
    pub fn free(&self, address: u64) -> Result<(), MemoryError> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        match table.allocations.remove(&address) {
            Some(allocation) => {
                table.bytes -= allocation.bytes;
                Ok(())
            }
            None => Err(MemoryError { message: format!("nothing is allocated at {address:#x}: it cannot be freed") }),
        }
    }

    /// Bytes allocated now.
    pub fn allocated(&self) -> u64 {
        self.table.read().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// The allocation that holds the range.
    fn holding(&self, address: u64, bytes: u64) -> Result<Arc<Allocation>, MemoryError> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        match table.allocations.range(..=address).next_back() {
            Some((start, found)) if address - start <= found.bytes && bytes <= found.bytes - (address - start) => {
                Ok(found.clone())
            }
            found => {
                let near =
                    found.map_or("no allocation starts before".into(), |(_, found)| format!("before: {found:?}"));
                Err(MemoryError { message: format!("{bytes} bytes at {address:#x} lie in no allocation ({near})") })
            }
        }
    }

    /// Writes bytes.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), MemoryError> {
        let allocation = self.holding(address, from.len() as u64)?;
        // SAFETY: the range was just found to lie inside.
        unsafe { allocation.put(address - allocation.address, from) };
        Ok(())
    }

    /// Sets `bytes` bytes to `value`.
    pub fn fill(&self, address: u64, value: u8, bytes: u64) -> Result<(), MemoryError> {
        let allocation = self.holding(address, bytes)?;
        let offset = address - allocation.address;
        // SAFETY: as above.
        unsafe {
            allocation.data().add(offset as usize).write_bytes(value, bytes as usize);
            allocation.mark(offset, bytes);
        }
        Ok(())
    }

    /// Reads bytes, written or not.
    pub fn read(&self, address: u64, to: &mut [u8]) -> Result<(), MemoryError> {
        let allocation = self.holding(address, to.len() as u64)?;
        // SAFETY: as above.
        unsafe { to.as_mut_ptr().copy_from(allocation.data().add((address - allocation.address) as usize), to.len()) };
        Ok(())
    }

    /// Reads bytes; an error if one of them was never written.
    pub fn read_checked(&self, address: u64, to: &mut [u8]) -> Result<(), MemoryError> {
        let allocation = self.holding(address, to.len() as u64)?;
        let mut missing = None;
        each_word(address - allocation.address, to.len() as u64, |word, mask| {
            // SAFETY: the range lies inside, and the shadow has a byte for each word.
            let written = unsafe { *allocation.shadow().add(word as usize) };
            if written & mask != mask && missing.is_none() {
                missing = Some(word * 4 + (mask & !written).trailing_zeros() as u64);
            }
        });
        match missing {
            Some(offset) => {
                let label = &allocation.label;
                Err(MemoryError { message: format!("byte {offset} of {label} is read before it was written") })
            }
            None => self.read(address, to),
        }
    }

    /// Makes bytes uninitialised again; what they hold is undefined from now on.
    pub fn forget(&self, address: u64, bytes: u64) -> Result<(), MemoryError> {
        let allocation = self.holding(address, bytes)?;
        let offset = address - allocation.address;
        let (first, last) = (offset.div_ceil(4), (offset + bytes) / 4);
        // SAFETY: the range lies inside, and the shadow has a byte for each word.
        unsafe {
            if first < last {
                allocation.shadow().add(first as usize).write_bytes(0, (last - first) as usize);
            }
            for (from, to) in [(offset, (first * 4).min(offset + bytes)), ((last * 4).max(offset), offset + bytes)] {
                each_word(from, to.saturating_sub(from), |word, mask| {
                    AtomicU8::from_ptr(allocation.shadow().add(word as usize)).fetch_and(!mask, Ordering::Relaxed);
                });
            }
        }
        Ok(())
    }

    /// All allocations that overlap one of the ranges, or all there are.
    pub(crate) fn allocations(&self) -> Vec<Arc<Allocation>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).allocations.values().cloned().collect()
    }

    /// The allocation that holds the range, for a view.
    pub(crate) fn view(&self, address: u64, bytes: u64) -> Result<Arc<Allocation>, MemoryError> {
        self.holding(address, bytes)
    }
}
