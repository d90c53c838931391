//! How a kernel is launched.

use crate::checks::Checks;

/// A launch: its shape and parameters.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Blocks in each dimension.
    pub grid: [u32; 3],
    /// Threads per block in each dimension.
    pub block: [u32; 3],
    /// Bytes of `extern __shared__` memory.
    pub dynamic_shared: u32,
    /// The parameter block: every parameter at its offset ([`crate::Kernel::parameters`]), padding in between.
    pub parameters: Vec<u8>,
    /// What of global memory the kernel may touch; if empty, all allocations.
    pub views: Vec<View>,
}

/// A part of global memory that a launch may read, or read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its first byte.
    pub address: u64,
    /// Its size.
    pub bytes: u64,
    /// Whether the kernel may write it.
    pub writable: bool,
    /// Its name in reports.
    pub label: String,
}

/// What is checked and counted, and in which order warps and blocks run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What is checked.
    pub checks: Checks,
    /// Shuffles the order of blocks, and of warps with their preemption. The same seed gives the same run. Without it
    /// blocks and warps run in their order, each warp until it waits.
    pub seed: Option<u64>,
    /// Most warp instructions that one block may run: an endless loop becomes a fault.
    pub budget: Option<u64>,
    /// Threads that run blocks; as many as rayon has if not said. Launches that look for races, and kernels with global
    /// atomics, run on one: their outcome depends on the order of blocks.
    pub threads: Option<usize>,
    /// Whether to count memory traffic and bank conflicts too; instructions are always counted.
    pub counters: bool,
}
