//! What kernels do, counted on the simulator as profilers of the hardware count it: the measure of a kernel that needs no
//! GPU, and that a change cannot make worse unnoticed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ptxsim::{Counters, Traffic};
use serde::{Deserialize, Serialize};

use super::class::Class;
use crate::doctor::Recorded;
use crate::error::Result;
use crate::gpu::kernels;
use crate::gpu::sim::{Sim, SimOptions};
use crate::gpu::{Device, Launch};
use crate::ops::workloads::{COUNTED_BATCH, workloads};

/// Sectors of 32 bytes of global memory in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sectors {
    /// Touched, summed over the requests of warps.
    pub touched: u64,
    /// Distinct ones of each block, summed over blocks: what moves if a block moves nothing twice.
    pub blocks: u64,
    /// Distinct ones of the whole launch: what has to move at all.
    pub least: u64,
    /// Requests of warps.
    pub requests: u64,
    /// As few as would hold what each request asks for.
    pub full: u64,
}

impl From<Traffic> for Sectors {
    fn from(traffic: Traffic) -> Self {
        Self {
            touched: traffic.sectors,
            blocks: traffic.block_sectors,
            least: traffic.launch_sectors,
            requests: traffic.requests,
            full: traffic.full_sectors,
        }
    }
}

/// Passes over the banks of shared memory beyond those that the width of the accesses needs, by instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflicts {
    /// `ld.shared`.
    pub load: u64,
    /// `st.shared`.
    pub store: u64,
    /// `ldmatrix`.
    pub ldmatrix: u64,
    /// `cp.async`.
    pub cp_async: u64,
}

/// Work of tensor cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Products {
    /// `mma` instructions of warps.
    pub instructions: u64,
    /// Multiply-adds that they make.
    pub made: u64,
    /// Multiply-adds of the convolution, padding counted as papers do.
    pub needed: u64,
}

/// What one launch of a kernel does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// What bounds the kernel.
    pub class: Class,
    /// The work ([`crate::ops::workloads`]).
    pub workload: String,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Global loads, `cp.async` among them.
    pub loads: Sectors,
    /// Global stores, atomics among them.
    pub stores: Sectors,
    /// Bank conflicts.
    pub conflicts: Conflicts,
    /// Block barriers, one for each warp.
    pub barriers: u64,
    /// Of kernels on tensor cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub products: Option<Products>,
    /// Instructions of warps, by class and in all (`all`).
    pub instructions: BTreeMap<String, u64>,
}

impl Counts {
    fn new(workload: &str, launch: &Launch, flops: u64, counters: &Counters) -> Self {
        let mut instructions: BTreeMap<String, u64> =
            counters.classes.iter().map(|(work, count)| (work.name().to_string(), *count)).collect();
        instructions.insert("all".to_string(), counters.warp_instructions);
        Self {
            class: Class::of(&launch.kernel),
            workload: workload.to_string(),
            grid: launch.grid,
            block: launch.block,
            shared: launch.shared,
            loads: counters.global_loads.into(),
            stores: counters.global_stores.into(),
            conflicts: Conflicts {
                load: counters.shared_loads.conflicts,
                store: counters.shared_stores.conflicts,
                ldmatrix: counters.matrix_loads.conflicts,
                cp_async: counters.copies.conflicts,
            },
            barriers: counters.barriers,
            products: (counters.mma > 0).then_some(Products {
                instructions: counters.mma,
                made: counters.matrix_multiply_adds,
                needed: flops / 2,
            }),
            instructions,
        }
    }

    /// Sectors touched over the least that the blocks have to move, loads and stores together.
    pub fn touched_over_blocks(&self) -> f64 {
        (self.loads.touched + self.stores.touched) as f64 / (self.loads.blocks + self.stores.blocks).max(1) as f64
    }

    /// Sectors that the blocks have to move over those that the launch has to: what several blocks read is read again.
    pub fn blocks_over_least(&self) -> f64 {
        (self.loads.blocks + self.stores.blocks) as f64 / (self.loads.least + self.stores.least).max(1) as f64
    }

    /// Sectors of a request of a warp on average, touched and as few as would hold what it asks for.
    pub fn sectors_per_request(&self) -> [f64; 2] {
        let requests = (self.loads.requests + self.stores.requests).max(1) as f64;
        [self.loads.touched + self.stores.touched, self.loads.full + self.stores.full].map(|all| all as f64 / requests)
    }

    /// Everything of which less is better, by name.
    pub fn figures(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for (side, sectors) in [("loads", &self.loads), ("stores", &self.stores)] {
            all.push((format!("{side}: sectors touched"), sectors.touched));
            all.push((format!("{side}: sectors of blocks"), sectors.blocks));
            all.push((format!("{side}: requests"), sectors.requests));
        }
        let Conflicts { load, store, ldmatrix, cp_async } = self.conflicts;
        for (name, count) in [("ld.shared", load), ("st.shared", store), ("ldmatrix", ldmatrix), ("cp.async", cp_async)]
        {
            all.push((format!("bank conflicts of {name}"), count));
        }
        all.push(("barriers".to_string(), self.barriers));
        all.extend(self.products.map(|products| ("multiply-adds of mma".to_string(), products.made)));
        all
    }

    /// Whether this is of the same work as `other`: the same shapes, the same bytes to move, the same products to make.
    pub fn is_of_the_work_of(&self, other: &Self) -> bool {
        let work = |counts: &Self| {
            let needed = counts.products.map(|products| products.needed);
            (counts.workload.clone(), counts.loads.least, counts.stores.least, needed)
        };
        work(self) == work(other)
    }
}

/// The kernels of the binary, sorted, but for those that only try instructions (`golden_`).
pub fn kernel_names() -> Vec<&'static str> {
    let all = kernels::kernel_names().map(|(kernel, _)| kernel);
    let mut names: Vec<&str> = all.filter(|name| !name.starts_with("golden_")).collect();
    names.sort_unstable();
    names
}

/// Counts every kernel that is `wanted`, by its name: of all its launches in the workloads, the one with the most
/// instructions. Equal binaries give equal counts, on every machine.
///
/// # Errors
/// If a workload cannot be recorded or a kernel does something wrong.
pub fn count(wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Counts>> {
    let sim = Arc::new(Sim::new(SimOptions { counters: true, ..SimOptions::default() }));
    let device: Arc<dyn Device> = sim.clone();
    let mut heaviest: BTreeMap<String, Counts> = BTreeMap::new();
    for workload in workloads(COUNTED_BATCH) {
        let recorded = Recorded::on_device(&workload, 1, &device)?;
        if !recorded.kernels().iter().any(|kernel| wanted(kernel)) {
            continue;
        }
        recorded.each_launch(|shown| {
            device.launch(device.main_stream(), shown.launch)?;
            for (kernel, counters) in sim.take_counters().into_iter().filter(|(kernel, _)| wanted(kernel)) {
                let found = Counts::new(&workload.name, shown.launch, shown.flops, &counters);
                let all = |counts: &Counts| counts.instructions["all"];
                if heaviest.get(&kernel).is_none_or(|before| all(before) < all(&found)) {
                    heaviest.insert(kernel, found);
                }
            }
            Ok(())
        })?;
    }
    Ok(heaviest)
}
