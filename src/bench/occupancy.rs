//! How many blocks of a kernel a multiprocessor holds at once, from what the compiler reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use crate::gpu::kernels;
use crate::gpu::nvrtc::resources::Resources;
use crate::gpu::nvrtc::target::Arch;

/// What a multiprocessor has (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").
struct Multiprocessor {
    warps: u32,
    blocks: u32,
    shared: u32,
}

/// Registers of every multiprocessor from compute capability 8.0 on.
const REGISTERS: u32 = 65536;
/// Registers are given to warps in units of this many,
const REGISTER_UNIT: u32 = 256;
/// and to warps by fours, one for each partition of the multiprocessor.
const PARTITIONS: u32 = 4;
/// Shared memory is given to blocks in units of this many bytes,
const SHARED_UNIT: u32 = 128;
/// and this many go to the system for each block.
const SHARED_RESERVED: u32 = 1024;

impl Multiprocessor {
    fn of(arch: Arch) -> Self {
        let (warps, blocks, kilobytes) = match (arch.major, arch.minor) {
            (8, 0) => (64, 32, 164),
            (8, 6) => (48, 16, 100),
            (8, _) => (48, 24, 100),
            (9 | 10, _) => (64, 32, 228),
            _ => (48, 24, 100),
        };
        Self { warps, blocks, shared: kilobytes * 1024 }
    }
}

/// What a kernel takes, and how many of its blocks run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of shared memory of a block, static and dynamic.
    pub shared: u32,
    /// Bytes that a thread spills to memory and reads back.
    pub spills: u32,
    /// Blocks that a multiprocessor holds.
    pub blocks: u32,
    /// Their warps.
    pub warps: u32,
}

impl Held {
    /// Of a kernel that takes `resources` and is launched with `threads` threads and `dynamic` bytes of shared memory.
    pub fn new(arch: Arch, resources: &Resources, threads: u32, dynamic: u32) -> Self {
        let multiprocessor = Multiprocessor::of(arch);
        let warps = threads.div_ceil(32).max(1);
        let registers = (resources.registers * 32).next_multiple_of(REGISTER_UNIT).max(REGISTER_UNIT);
        let by_registers = REGISTERS / registers / PARTITIONS * PARTITIONS / warps;
        let shared = resources.shared + dynamic;
        let by_shared = multiprocessor.shared / (shared + SHARED_RESERVED).next_multiple_of(SHARED_UNIT);
        let blocks = multiprocessor.blocks.min(multiprocessor.warps / warps).min(by_registers).min(by_shared);
        let spills = resources.spill_stores + resources.spill_loads;
        Self { registers: resources.registers, shared, spills, blocks, warps: blocks * warps }
    }

    /// Everything of which less is better, by name.
    pub fn figures(&self) -> [(&'static str, u64); 3] {
        [("registers", self.registers.into()), ("shared memory", self.shared.into()), ("spills", self.spills.into())]
    }
}

/// Of `kernel`, launched as `counts` says, for every architecture that the binary has machine code for.
pub fn held(kernel: &str, counts: &Counts) -> BTreeMap<String, Held> {
    let threads = counts.block.iter().product();
    let resources = kernels::resources(kernel).iter();
    resources.map(|(arch, resources)| (arch.to_string(), Held::new(*arch, resources, threads, counts.shared))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(arch: &str, registers: u32, shared: u32, threads: u32, dynamic: u32) -> (u32, u32) {
        let resources = Resources { registers, shared, ..Resources::default() };
        let held = Held::new(Arch::parse(arch).unwrap(), &resources, threads, dynamic);
        (held.blocks, held.warps)
    }

    // As NVIDIA's occupancy calculator says.
    #[test]
    fn blocks_of_a_multiprocessor() {
        // Warps bound it: 64 on sm_80, 48 on sm_86; then blocks.
        assert_eq!(held("80", 32, 0, 256, 0), (8, 64));
        assert_eq!(held("86", 32, 0, 256, 0), (6, 48));
        assert_eq!(held("80", 16, 0, 32, 0), (32, 32));
        assert_eq!(held("86", 16, 0, 32, 0), (16, 16));
        // Registers bound it: 33 a thread make 1056 a warp, which takes 1280, so that there are 51 warps, by fours 48.
        assert_eq!(held("80", 33, 0, 256, 0), (6, 48));
        assert_eq!(held("90a", 255, 0, 128, 0), (2, 8));
        // Shared memory bounds it: 48 KiB and the reserved one, of 164 and of 228.
        assert_eq!(held("80", 32, 48 * 1024, 128, 0), (3, 12));
        assert_eq!(held("90a", 32, 40 * 1024, 128, 8 * 1024), (4, 16));
        // Nothing fits.
        assert_eq!(held("80", 255, 0, 1024, 0), (0, 0));
    }
}
