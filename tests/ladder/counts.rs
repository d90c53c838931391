//! What a rung's launches do, and the bound that follows.

use std::ops::{AddAssign, Sub};

use ptxsim::Counters;

/// What bounds a launch, with what one multiprocessor does in a cycle. Compute capability 8.0: CUDA C++ Programming
/// Guide, "Arithmetic Instructions" (64 float32 multiply-adds), "Compute Capability 8.x" (four schedulers, an
/// instruction each; 32 banks of 4 bytes; the first cache is part of the same memory and taken to give as much); NVIDIA
/// A100 whitepaper (1024 bf16 multiply-adds on tensor cores; of the second cache 5120 bytes for 108 multiprocessors,
/// which is 47; of memory 1555 GB/s at 1.41 GHz, which is 10).
const LIMITS: [&str; 7] = ["instructions", "float32", "tensor", "shared", "first cache", "second cache", "memory"];

/// Bytes of a sector.
const SECTOR: f64 = 32.0;

/// Sums over the launches of a rung.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub launches: u64,
    /// Of warps.
    pub instructions: u64,
    /// Of one warp, on average; of the launches one after another.
    pub chain: f64,
    /// Block barriers that a warp meets, on average; of the launches one after another.
    pub barriers: f64,
    /// `mma` instructions.
    pub matrix: u64,
    /// Touched by the requests to global memory.
    pub sectors: u64,
    /// To global memory.
    pub requests: u64,
    /// Passes over the banks of shared memory.
    pub wavefronts: u64,
    /// Of those, beyond the fewest.
    pub conflicts: u64,
    /// The fewest cycles of a multiprocessor: those of each launch under what bounds it.
    bound: [f64; LIMITS.len()],
}

impl Counts {
    /// Of one launch of `warps` warps.
    pub fn of(counters: &Counters, warps: u64) -> Self {
        let sides = [&counters.global_loads, &counters.global_stores];
        let banks = [&counters.shared_loads, &counters.shared_stores, &counters.matrix_loads, &counters.copies];
        let sectors: u64 = sides.iter().map(|side| side.sectors).sum();
        let wavefronts = banks.iter().map(|banks| banks.wavefronts).sum();
        let cycles = [
            counters.warp_instructions as f64 / 4.0,
            counters.fma as f64 / 64.0,
            counters.matrix_multiply_adds as f64 / 1024.0,
            wavefronts as f64,
            sectors as f64 * SECTOR / 128.0,
            sides.iter().map(|side| side.block_sectors).sum::<u64>() as f64 * SECTOR / 47.0,
            sides.iter().map(|side| side.launch_sectors).sum::<u64>() as f64 * SECTOR / 10.0,
        ];
        let (which, most) = largest(&cycles);
        let mut bound = [0.0; LIMITS.len()];
        bound[which] = most;
        Self {
            launches: 1,
            instructions: counters.warp_instructions,
            chain: counters.warp_instructions as f64 / warps as f64,
            barriers: counters.barriers as f64 / warps as f64,
            matrix: counters.mma,
            sectors,
            requests: sides.iter().map(|side| side.requests).sum(),
            wavefronts,
            conflicts: banks.iter().map(|banks| banks.conflicts).sum(),
            bound,
        }
    }

    /// The fewest cycles of a multiprocessor.
    pub fn bound(&self) -> f64 {
        self.bound.iter().sum()
    }

    /// What bounds most of it.
    pub fn limit(&self) -> &'static str {
        LIMITS[largest(&self.bound).0]
    }
}

fn largest(of: &[f64; LIMITS.len()]) -> (usize, f64) {
    of.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).expect("there are limits")
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.launches += other.launches;
        self.instructions += other.instructions;
        self.chain += other.chain;
        self.barriers += other.barriers;
        self.matrix += other.matrix;
        self.sectors += other.sectors;
        self.requests += other.requests;
        self.wavefronts += other.wavefronts;
        self.conflicts += other.conflicts;
        self.bound.iter_mut().zip(other.bound).for_each(|(to, from)| *to += from);
    }
}

impl Sub for Counts {
    type Output = Self;

    /// What is more than in `other`, of which it does everything.
    fn sub(self, other: Self) -> Self {
        let mut bound = self.bound;
        bound.iter_mut().zip(other.bound).for_each(|(to, from)| *to -= from);
        Self {
            launches: self.launches - other.launches,
            instructions: self.instructions - other.instructions,
            chain: self.chain - other.chain,
            barriers: self.barriers - other.barriers,
            matrix: self.matrix - other.matrix,
            sectors: self.sectors - other.sectors,
            requests: self.requests - other.requests,
            wavefronts: self.wavefronts - other.wavefronts,
            conflicts: self.conflicts - other.conflicts,
            bound,
        }
    }
}
