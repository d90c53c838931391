//! How often the simulator was called.

use std::ops::Sub;

/// Calls of a device, counted: what a replay asks of the host, and what the host asks of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Allocations of memory.
    pub allocations: u64,
    /// Memory that was given back.
    pub frees: u64,
    /// Copies to the device.
    pub uploads: u64,
    /// Copies from the device. The host waits for each.
    pub downloads: u64,
    /// Fills.
    pub fills: u64,
    /// Launches of single kernels, outside of graphs; recording one is none.
    pub launches: u64,
    /// Graphs that were recorded.
    pub captures: u64,
    /// Replays of graphs.
    pub replays: u64,
    /// Times that the host waited for all work.
    pub synchronisations: u64,
}

impl Sub for Calls {
    type Output = Self;

    /// What came between two counts, of which `earlier` is the first.
    fn sub(self, earlier: Self) -> Self {
        Self {
            allocations: self.allocations - earlier.allocations,
            frees: self.frees - earlier.frees,
            uploads: self.uploads - earlier.uploads,
            downloads: self.downloads - earlier.downloads,
            fills: self.fills - earlier.fills,
            launches: self.launches - earlier.launches,
            captures: self.captures - earlier.captures,
            replays: self.replays - earlier.replays,
            synchronisations: self.synchronisations - earlier.synchronisations,
        }
    }
}
