//! What a profiler counts.

use crate::checks::races::Touch;
use crate::decode::Kernel;
use std::collections::{BTreeMap, HashMap};

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

impl Work {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Float32 => "float32",
            Self::Fma32 => "fma",
            Self::Float64 => "float64",
            Self::Half => "half",
            Self::Special => "special",
            Self::Convert => "convert",
            Self::Compare => "compare",
            Self::Move => "move",
            Self::LoadConstant => "load_constant",
            Self::LoadGlobal => "load_global",
            Self::StoreGlobal => "store_global",
            Self::LoadShared => "load_shared",
            Self::StoreShared => "store_shared",
            Self::Local => "local",
            Self::Atomic => "atomic",
            Self::AsyncCopy => "cp_async",
            Self::LoadMatrix => "ldmatrix",
            Self::Matrix => "mma",
            Self::Warp => "warp",
            Self::Barrier => "barrier",
            Self::Branch => "branch",
            Self::Other => "other",
        }
    }
}

/// Requests to global memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Warp instructions.
    pub requests: u64,
    /// Sectors of 32 bytes that they touch, summed over requests.
    pub sectors: u64,
    /// The fewest sectors that would hold the distinct words of each request, summed over requests: where it is `sectors`,
    /// no request moves bytes that it does not use.
    pub full_sectors: u64,
    /// Bytes that threads asked for.
    pub bytes: u64,
    /// Distinct sectors that a block touches, summed over blocks: what had to move if each block kept what it has met.
    pub block_sectors: u64,
    /// Distinct sectors that the launch touches: what had to move at all.
    pub launch_sectors: u64,
    /// Distinct bytes (in words of four) that the launch touches.
    pub launch_bytes: u64,
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
    /// Multiply-adds that the `mma` instructions make: m times n times k each.
    pub matrix_multiply_adds: u64,
    /// Global loads, `cp.async` among them. With [`crate::Options::counters`], as all that follows.
    pub global_loads: Traffic,
    /// Global stores, atomics among them.
    pub global_stores: Traffic,
    /// Shared loads of plain instructions.
    pub shared_loads: Banks,
    /// Shared stores of plain instructions, and atomics.
    pub shared_stores: Banks,
    /// Shared loads of `ldmatrix`.
    pub matrix_loads: Banks,
    /// Shared stores of `cp.async`.
    pub copies: Banks,
}

impl Counters {
    /// Warp instructions of a class.
    pub fn count(&self, work: Work) -> u64 {
        self.classes.get(&work).copied().unwrap_or(0)
    }
}

/// Words of global memory that were met: for each page of 256 bytes, a bit for each word of four.
#[derive(Clone, Default)]
struct Words(HashMap<u64, u64>);

impl Words {
    fn note(&mut self, pages: &[(u64, u64)]) {
        for (page, words) in pages {
            *self.0.entry(*page).or_default() |= words;
        }
    }

    fn join(&mut self, others: &Words) {
        for (page, words) in &others.0 {
            *self.0.entry(*page).or_default() |= words;
        }
    }

    fn sectors(&self) -> u64 {
        self.0.values().map(|words| sectors(*words)).sum()
    }

    fn bytes(&self) -> u64 {
        self.0.values().map(|words| 4 * words.count_ones() as u64).sum()
    }
}

/// Sectors of a page in which there are words.
fn sectors(words: u64) -> u64 {
    words.to_le_bytes().iter().filter(|sector| **sector != 0).count() as u64
}

/// Distinct words that all workers' blocks met, loads and stores.
#[derive(Default)]
pub(crate) struct Met([Words; 2]);

/// What one worker counts while it runs.
#[derive(Default)]
pub(crate) struct Tally {
    /// Runs that begin at an instruction, less those that end before it; the same times lanes; idle lanes.
    runs: Vec<i64>,
    lanes: Vec<i64>,
    idle: Vec<i64>,
    traffic: [Traffic; 2],
    /// Of plain loads, plain stores, `ldmatrix`, `cp.async`.
    shared: [Banks; 4],
    /// Of the running block, loads and stores; of all before.
    block: [Words; 2],
    launch: [Words; 2],
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
    pub fn global(&mut self, how: Touch, addresses: &[u64; 32], mask: u32, bytes: u64) {
        let mut pages: Vec<(u64, u64)> = Vec::with_capacity(8);
        for (_, address) in addresses.iter().enumerate().filter(|(lane, _)| mask >> lane & 1 != 0) {
            for word in address / 4..=(address + bytes - 1) / 4 {
                let (page, bit) = (word / 64, 1 << (word % 64));
                match pages.last_mut() {
                    Some((last, words)) if *last == page => *words |= bit,
                    _ => pages.push((page, bit)),
                }
            }
        }
        pages.sort_unstable();
        pages.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 |= if same { next.1 } else { 0 };
            same
        });
        let side = (how != Touch::Read) as usize;
        let traffic = &mut self.traffic[side];
        let words: u64 = pages.iter().map(|(_, words)| words.count_ones() as u64).sum();
        traffic.requests += 1;
        traffic.sectors += pages.iter().map(|(_, words)| sectors(*words)).sum::<u64>();
        traffic.full_sectors += words.div_ceil(8);
        traffic.bytes += bytes * mask.count_ones() as u64;
        self.block[side].note(&pages);
    }

    /// A request to shared memory: 32 banks of four bytes serve each word of each bank once per pass; accesses of 8 bytes
    /// take two passes of 16 lanes, of 16 bytes four of 8 lanes (as the profilers of the hardware count).
    pub fn shared(&mut self, work: Work, how: Touch, offsets: &[u32; 32], mask: u32, bytes: u32) {
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
        let banks = &mut self.shared[match (work, how) {
            (Work::LoadMatrix, _) => 2,
            (Work::AsyncCopy, _) => 3,
            (_, Touch::Read) => 0,
            _ => 1,
        }];
        banks.requests += 1;
        banks.wavefronts += passes;
        banks.conflicts += passes - least.min(passes);
    }

    /// A block has ended.
    pub fn end_block(&mut self) {
        for side in 0..2 {
            self.traffic[side].block_sectors += self.block[side].sectors();
            self.launch[side].join(&self.block[side]);
            self.block[side].0.clear();
        }
    }

    /// Adds to the launch's counters.
    pub fn add_to(&self, counters: &mut Counters, met: &mut Met, kernel: &Kernel) {
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
                Work::Matrix => {
                    counters.mma += count;
                    counters.matrix_multiply_adds += count * meta.multiply_adds as u64;
                }
                Work::Barrier if meta.block_barrier => counters.barriers += count,
                _ => {}
            }
        }
        for (side, to) in [&mut counters.global_loads, &mut counters.global_stores].into_iter().enumerate() {
            let from = &self.traffic[side];
            met.0[side].join(&self.launch[side]);
            *to = Traffic {
                requests: to.requests + from.requests,
                sectors: to.sectors + from.sectors,
                full_sectors: to.full_sectors + from.full_sectors,
                bytes: to.bytes + from.bytes,
                block_sectors: to.block_sectors + from.block_sectors,
                launch_sectors: met.0[side].sectors(),
                launch_bytes: met.0[side].bytes(),
            };
        }
        let Counters { shared_loads, shared_stores, matrix_loads, copies, .. } = counters;
        for (to, from) in [shared_loads, shared_stores, matrix_loads, copies].into_iter().zip(&self.shared) {
            to.requests += from.requests;
            to.wavefronts += from.wavefronts;
            to.conflicts += from.conflicts;
        }
    }
}
