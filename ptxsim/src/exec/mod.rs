//! Running a kernel: warps of 32 lanes in lockstep, the warps of a block in turns, the blocks of a grid in parallel.

pub(crate) mod barrier;
pub(crate) mod block;
pub(crate) mod code;
pub(crate) mod grid;
pub(crate) mod lanes;
pub(crate) mod warp;

pub(crate) use code::{Code, Handler};

use crate::checks::Checks;
use crate::checks::global::GlobalRaces;
use crate::checks::races::SharedRaces;
use crate::counters::Tally;
use crate::decode::Kernel;
use crate::fault::{Fault, FaultKind};
use crate::memory::arena::Arena;
use crate::memory::regions::Regions;
use crate::ops::async_copy::Queue;
use barrier::{BARRIERS, Barrier};
use lanes::{FULL, Lane, WARP};

/// What handlers see: the running warp and the block around it.
pub(crate) struct Context<'a> {
    /// Register rows of the running warp.
    pub rows: *mut u32,
    /// Predicates of the running warp.
    pub predicates: *mut u32,
    pub kernel: &'a Kernel,
    pub checks: Checks,
    /// Whether to count what costs time to count.
    pub counting: bool,
    /// Global memory as this launch may see it.
    pub regions: &'a Regions,
    /// For each instruction, the region that it last touched.
    pub hints: Vec<u16>,
    /// Shared memory of the block.
    pub shared: Arena,
    /// Local memory: that of thread `t` starts at `t * kernel.local_bytes`.
    pub local: Arena,
    /// The parameter block.
    pub parameters: &'a [u8],
    /// Index of the running warp in its block.
    pub warp: usize,
    /// Lanes that the running warp was started with, and those that have not left.
    pub started: u32,
    pub live: u32,
    /// Lanes that run the present instruction, guards left out.
    pub active: u32,
    /// Asynchronous copies of the running warp.
    pub copies: Queue,
    /// Bytes of shared memory that asynchronous copies of the block are on their way to.
    pub pending: u32,
    /// Races in shared memory, where looked for.
    pub races: Option<Box<SharedRaces>>,
    /// Races in global memory, where looked for; the number of the block in the grid.
    pub global_races: Option<Box<GlobalRaces>>,
    pub block_number: u32,
    pub barriers: [Barrier; BARRIERS],
    pub tally: Tally,
    pub grid: [u32; 3],
    pub block_size: [u32; 3],
    pub block: [u32; 3],
    pub fault: Option<Fault>,
}

impl Context<'_> {
    /// A register row.
    #[inline(always)]
    pub fn row<T: Lane>(&self, place: u16) -> *mut T {
        // SAFETY: the decoder gives no place behind the last row.
        unsafe { self.rows.add(place as usize * WARP) as *mut T }
    }

    /// A copy of a row.
    ///
    /// # Safety
    /// The decoder made `place` a row of `T`.
    #[inline(always)]
    pub unsafe fn values<T: Lane>(&self, place: u16) -> [T; WARP] {
        // SAFETY: as said.
        unsafe { (self.row::<T>(place) as *const [T; WARP]).read() }
    }

    /// A predicate's mask.
    ///
    /// # Safety
    /// The decoder made `place` a predicate.
    #[inline(always)]
    pub unsafe fn predicate(&self, place: u16) -> u32 {
        // SAFETY: as said.
        unsafe { *self.predicates.add(place as usize) }
    }

    /// Writes the lanes of `mask` of a predicate.
    ///
    /// # Safety
    /// The decoder made `place` a predicate.
    #[inline(always)]
    pub unsafe fn set_predicate(&mut self, place: u16, value: u32, mask: u32) {
        // SAFETY: as said.
        unsafe {
            let place = self.predicates.add(place as usize);
            *place = (*place & !mask) | (value & mask);
        }
    }

    /// The thread of a lane of the running warp.
    pub fn thread(&self, lane: usize) -> [u32; 3] {
        let number = (self.warp * WARP + lane) as u32;
        let [x, y, _] = self.block_size;
        [number % x, number / x % y, number / (x * y)]
    }

    /// Notes a fault of a lane at an instruction; always false, which is what a handler returns then.
    #[cold]
    #[inline(never)]
    pub fn fail(
        &mut self,
        code: &Code,
        kind: FaultKind,
        lane: Option<usize>,
        address: Option<u64>,
        buffer: Option<String>,
        message: String,
    ) -> bool {
        let mut fault = self.kernel.fault(code.index as usize, kind, message);
        fault.block = Some(self.block);
        fault.thread = lane.map(|lane| self.thread(lane));
        fault.address = address;
        fault.buffer = buffer;
        self.fault = Some(fault);
        false
    }

    /// Checks that exactly the lanes which `named` asks for have come to a `.sync` instruction together.
    #[inline(always)]
    pub fn converged(&mut self, code: &Code, mask: u32, named: u32) -> bool {
        if mask == named & self.live && mask & !named == 0 {
            return true;
        }
        self.not_converged(code, mask, named)
    }

    #[cold]
    #[inline(never)]
    fn not_converged(&mut self, code: &Code, mask: u32, named: u32) -> bool {
        if !self.checks.convergence {
            return true;
        }
        let lane = (mask & !named | !mask & named & self.live).trailing_zeros() as usize;
        let message = format!(
            "lanes {mask:#010x} execute it, but its member mask names {named:#010x} and lanes {:#010x} have not left",
            self.live
        );
        self.fail(code, FaultKind::DivergentCollective, Some(lane), None, None, message)
    }

    /// As [`Context::converged`] where the member mask is a register: all lanes have to name the same lanes.
    ///
    /// # Safety
    /// The decoder made `place` a row.
    #[inline(always)]
    pub unsafe fn converged_row(&mut self, code: &Code, mask: u32, place: u16) -> bool {
        // SAFETY: as said.
        let named = unsafe { self.values::<u32>(place) };
        let first = named[(mask.trailing_zeros() as usize) % WARP];
        let mut same = true;
        for (lane, named) in named.iter().enumerate() {
            same &= *named == first || mask >> lane & 1 == 0;
        }
        if !same && self.checks.convergence {
            let message = "its lanes give different member masks".to_string();
            return self.fail(code, FaultKind::DivergentCollective, None, None, None, message);
        }
        self.converged(code, mask, first)
    }

    /// Checks a `.sync.aligned` instruction, which all 32 lanes have to execute together.
    #[inline(always)]
    pub fn aligned(&mut self, code: &Code, mask: u32) -> bool {
        if mask == FULL {
            return true;
        }
        self.not_aligned(code, mask)
    }

    #[cold]
    #[inline(never)]
    fn not_aligned(&mut self, code: &Code, mask: u32) -> bool {
        let message = format!("only lanes {mask:#010x} of the warp execute it; all 32 have to");
        let lane = (!mask).trailing_zeros() as usize;
        self.fail(code, FaultKind::DivergentCollective, Some(lane), None, None, message)
    }
}
