//! What a profiler counts.

use crate::decode::Kernel;
use std::collections::{BTreeMap, HashSet};

/// Classes of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Work {
    /// Integer arithmetic and logic.
    Integer,
    /// float32 other than fused multiply-add.
    Float32,
    /// float32 fused multiply-add.
    Fma32,
    /// float64.
    Float64,
    /// f16 and bf16 arithmetic.
    Half,
    /// `ex2`, `lg2`, `rcp`, `sqrt`, `sin` and their kin.
    Special,
    /// Conversions.
    Convert,
    /// Comparisons, selections and predicate logic.
    Compare,
    /// Moves and address conversions.
    Move,
    /// Loads of parameters and constants.
    LoadConstant,
    /// Global loads.
    LoadGlobal,
    /// Global stores.
    StoreGlobal,
    /// Shared loads.
    LoadShared,
    /// Shared stores.
    StoreShared,
    /// Local loads and stores.
    Local,
    /// Atomics and reductions in memory.
    Atomic,
    /// `cp.async`.
    AsyncCopy,
    /// `ldmatrix`.
    LoadMatrix,
    /// `mma`.
    Matrix,
    /// Shuffles, votes, warp reductions.
    Warp,
    /// Barriers and fences.
    Barrier,
    /// Branches and exits.
    Branch,
    /// Everything else.
    Other,
}

/// Requests to global memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Warp instructions.
    pub requests: u64,
    /// Sectors of 32 bytes that they touch, summed over requests.
    pub sectors: u64,
    /// Bytes that threads asked for.
    pub bytes: u64,
}

/// Requests to shared memory: 32 banks of 4 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Banks {
    /// Warp instructions.
    pub requests: u64,
    /// Passes over the banks.
    pub wavefronts: u64,
    /// Passes more than the width of the access needs: bank conflicts.
    pub conflicts: u64,
}

/// What one launch did. Sums over blocks: they do not depend on the order of blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Instructions that warps executed.
    pub warp_instructions: u64,
    /// The same, times the lanes that took part.
    pub thread_instructions: u64,
    /// Warp instructions by class.
    pub classes: BTreeMap<Work, u64>,
    /// Warp instructions by source line (file, line), where `.loc` tells.
    pub lines: BTreeMap<(String, u32), u64>,
    /// float32 fused multiply-adds, one per lane.
    pub fma: u64,
    /// `mma` instructions, one per warp.
    pub mma: u64,
    /// Block barriers, one per warp.
    pub barriers: u64,
    /// Global loads, `cp.async` among them. With [`crate::Options::counters`], as all that follows.
    pub global_loads: Traffic,
    /// Global stores.
    pub global_stores: Traffic,
    /// Global atomics.
    pub global_atomics: Traffic,
    /// Distinct sectors that a block reads, summed over blocks: what had to move to the blocks if each kept what it read.
    pub block_load_sectors: u64,
    /// Distinct sectors that a block writes, summed over blocks.
    pub block_store_sectors: u64,
    /// Distinct bytes (in units of four) that blocks read, summed over blocks.
    pub block_load_bytes: u64,
    /// Distinct bytes (in units of four) that blocks write, summed over blocks.
    pub block_store_bytes: u64,
    /// Shared loads, `ldmatrix` among them.
    pub shared_loads: Banks,
    /// Shared stores.
    pub shared_stores: Banks,
}

impl Counters {
    /// Warp instructions of a class.
    pub fn count(&self, work: Work) -> u64 {
        self.classes.get(&work).copied().unwrap_or(0)
    }
}

/// What one worker counts while it runs.
#[derive(Default)]
pub(crate) struct Tally {
    /// Runs that begin at an instruction, less those that end before it; the same times lanes; idle lanes.
    runs: Vec<i64>,
    lanes: Vec<i64>,
    idle: Vec<i64>,
    pub loads: Traffic,
    pub stores: Traffic,
    pub atomics: Traffic,
    pub shared_loads: Banks,
    pub shared_stores: Banks,
    block: [HashSet<u64>; 2],
    words: [HashSet<u64>; 2],
    sectors: [u64; 2],
    bytes: [u64; 2],
}

impl Tally {
    /// For a kernel of so many instructions.
    pub fn new(instructions: usize) -> Tally {
        let zeros = vec![0; instructions + 1];
        Tally { runs: zeros.clone(), lanes: zeros.clone(), idle: zeros, ..Tally::default() }
    }

    /// A warp runs instructions `from..to` with these lanes.
    #[inline(always)]
    pub fn ran(&mut self, from: u32, to: u32, lanes: u32) {
        let lanes = lanes.count_ones() as i64;
        self.runs[from as usize] += 1;
        self.runs[to as usize] -= 1;
        self.lanes[from as usize] += lanes;
        self.lanes[to as usize] -= lanes;
    }

    /// A guard kept these lanes from the instruction.
    #[inline(always)]
    pub fn idle(&mut self, index: u32, lanes: u32) {
        self.idle[index as usize] += lanes.count_ones() as i64;
    }

    /// A request to global memory: the address of each lane of `mask`, each of `bytes`.
    pub fn global(&mut self, how: crate::checks::races::Touch, addresses: &[u64; 32], mask: u32, bytes: u64) {
        use crate::checks::races::Touch;
        let mut sectors: Vec<u64> = Vec::with_capacity(64);
        let side = (how != Touch::Read) as usize;
        for (lane, address) in addresses.iter().enumerate() {
            if mask >> lane & 1 != 0 {
                sectors.extend(address / 32..=(address + bytes - 1) / 32);
                self.words[side].extend(address / 4..=(address + bytes - 1) / 4);
            }
        }
        sectors.sort_unstable();
        sectors.dedup();
        let traffic = match how {
            Touch::Read => &mut self.loads,
            Touch::Write => &mut self.stores,
            Touch::Atomic => &mut self.atomics,
        };
        traffic.requests += 1;
        traffic.sectors += sectors.len() as u64;
        traffic.bytes += bytes * mask.count_ones() as u64;
        self.block[side].extend(sectors);
    }

    /// A request to shared memory: 32 banks of four bytes serve each word of each bank once per pass; accesses of 8 bytes
    /// take two passes of 16 lanes, of 16 bytes four of 8 lanes (as the profilers of the hardware count).
    pub fn shared(&mut self, write: bool, offsets: &[u32; 32], mask: u32, bytes: u32) {
        let lanes = match bytes {
            16 => 8,
            8 => 16,
            _ => 32,
        };
        let (mut passes, mut least) = (0, 0);
        for group in (0..32).step_by(lanes) {
            let mut words: Vec<u32> = (group..group + lanes)
                .filter(|lane| mask >> lane & 1 != 0)
                .flat_map(|lane| offsets[lane] / 4..(offsets[lane] + bytes).div_ceil(4))
                .collect();
            words.sort_unstable();
            words.dedup();
            let mut banks = [0u64; 32];
            words.iter().for_each(|word| banks[*word as usize % 32] += 1);
            passes += banks.iter().max().copied().unwrap_or(0);
            least += !words.is_empty() as u64;
        }
        let banks = if write { &mut self.shared_stores } else { &mut self.shared_loads };
        banks.requests += 1;
        banks.wavefronts += passes;
        banks.conflicts += passes - least.min(passes);
    }

    /// A block has ended.
    pub fn end_block(&mut self) {
        for side in 0..2 {
            self.sectors[side] += self.block[side].len() as u64;
            self.bytes[side] += self.words[side].len() as u64 * 4;
            self.block[side].clear();
            self.words[side].clear();
        }
    }

    /// Adds to the launch's counters.
    pub fn add_to(&self, counters: &mut Counters, kernel: &Kernel) {
        let (mut runs, mut lanes) = (0, 0);
        for (index, meta) in kernel.meta.iter().enumerate() {
            runs += self.runs[index];
            lanes += self.lanes[index];
            if runs == 0 {
                continue;
            }
            let (count, busy) = (runs as u64, (lanes - self.idle[index]) as u64);
            counters.warp_instructions += count;
            counters.thread_instructions += busy;
            *counters.classes.entry(meta.work).or_default() += count;
            if let Some(source) = &meta.source {
                *counters.lines.entry(kernel.source(*source)).or_default() += count;
            }
            match meta.work {
                Work::Fma32 => counters.fma += busy,
                Work::Matrix => counters.mma += count,
                Work::Barrier if meta.block_barrier => counters.barriers += count,
                _ => {}
            }
        }
        let add = |to: &mut Traffic, from: &Traffic| {
            to.requests += from.requests;
            to.sectors += from.sectors;
            to.bytes += from.bytes;
        };
        add(&mut counters.global_loads, &self.loads);
        add(&mut counters.global_stores, &self.stores);
        add(&mut counters.global_atomics, &self.atomics);
        let add = |to: &mut Banks, from: &Banks| {
            to.requests += from.requests;
            to.wavefronts += from.wavefronts;
            to.conflicts += from.conflicts;
        };
        add(&mut counters.shared_loads, &self.shared_loads);
        add(&mut counters.shared_stores, &self.shared_stores);
        counters.block_load_sectors += self.sectors[0];
        counters.block_store_sectors += self.sectors[1];
        counters.block_load_bytes += self.bytes[0];
        counters.block_store_bytes += self.bytes[1];
    }
}
