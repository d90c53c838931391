//! What kernels do, counted on the simulator as profilers of the hardware count it: the measure of a kernel that needs no
//! GPU, and that a change cannot make worse unnoticed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ptxsim::{Counters, Traffic};
use serde::{Deserialize, Serialize};

use crate::doctor::Recorded;
use crate::error::Result;
use crate::gpu::kernels;
use crate::gpu::sim::{Sim, SimOptions};
use crate::gpu::{Device, Launch};
use crate::ops::workloads::{COUNTED_BATCH, workloads};

/// How many times the least sectors a kernel that is bound by memory may move: its blocks, each sector once per block, over
/// those that the launch has to move; and its requests over what its blocks have to move.
pub const MOST_MOVED: f64 = 1.15;

/// Kernels that are bound by memory and do not keep to [`MOST_MOVED`] in one respect, and why.
const EXCEPTIONS: &[(&[&str], Moved, &str)] = &[
    (&["batch_f32", "batch_bf16"], Moved::Requests, "bytes are read one by one, from rows that begin anywhere"),
    (
        &["avg_pool_f32", "avg_pool_bf16", "avg_pool_gradient_f32", "avg_pool_gradient_bf16"],
        Moved::Requests,
        "windows overlap: what neighbours share comes from the first cache",
    ),
    (
        &["max_pool_gradient_f32", "max_pool_gradient_bf16"],
        Moved::Requests,
        "the pixels of a window all read the window and the pixels before them",
    ),
    (
        &["max_gradient_f32"],
        Moved::Requests,
        "all elements of an axis ask where its largest is: what they share comes from the first cache",
    ),
    (
        &["channel_shuffle_f32", "channel_shuffle_bf16"],
        Moved::Requests,
        "single elements are gathered; their neighbours go with the next request",
    ),
    (
        &["resize_nearest_f32", "resize_bilinear_f32", "resize_bilinear_gradient_f32"],
        Moved::Requests,
        "pixels are read by all that lie around them: what neighbours share comes from the first cache",
    ),
    (&["resize_bilinear_f32"], Moved::Blocks, "a block makes two rows of pixels and reads three"),
    (&["gather_rows_gradient_f32"], Moved::Blocks, "every row of the table looks at all indices"),
    (
        &["gather_channels_f32", "gather_channels_backward_f32"],
        Moved::Requests,
        "single elements are gathered; their neighbours go with the next request",
    ),
    (
        &["grid_sample_f32", "grid_sample_map_f32", "grid_sample_points_f32", "peak_heights_f32"],
        Moved::Requests,
        "windows overlap: what neighbours share comes from the first cache",
    ),
    (
        &["grid_sample_f32", "grid_sample_map_f32", "grid_sample_points_f32", "peak_heights_f32"],
        Moved::Blocks,
        "windows overlap: what blocks share comes from the second cache",
    ),
    (
        &["bank_products_f32", "bank_products_gradient_f32"],
        Moved::Blocks,
        "rows of a bank are gathered: several blocks pick the same, which the second cache holds",
    ),
    (
        &["bank_products_f32", "bank_products_gradient_f32"],
        Moved::Requests,
        "every product reads its image's embedding again, from the first cache",
    ),
    (
        &["strong_view_f32", "strong_view_bf16"],
        Moved::Requests,
        "a block passes over its image once for each operation, pixels gathered byte by byte from the first cache",
    ),
];

/// What is compared with what it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    /// Blocks' sectors with the launch's.
    Blocks,
    /// Requests' sectors with the blocks'.
    Requests,
}

/// What bounds a kernel, and so what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Reads and writes whole tensors and computes little: memory bounds it. It may move [`MOST_MOVED`] times the least.
    Memory,
    /// Multiplies on tensor cores. Its main loop may have no bank conflicts, and its global loads use whole sectors
    /// (where channels come in packs).
    Tensor,
    /// A convolution, linear layer or product of matrices on float32 units: arithmetic bounds it, and neighbours share what they read.
    Arithmetic,
    /// Works on a few numbers per image, channel or class: its launch bounds it.
    Small,
}

impl Class {
    /// The class of a kernel.
    pub fn of(kernel: &str) -> Self {
        // A second pass over partial gradients moves memory only.
        const SMALL: &[&str] = &[
            "adam_step",
            "affine_grid_",
            "batch_norm_combine",
            "batch_norm_gradient_combine",
            "box_mask_",
            "classroom_",
            "clock_",
            "contrast_indices_",
            "cross_entropy_",
            "gather_channels_sort_",
            "kl_divergence_",
            "loss_",
            "peak_areas_",
            "random_permutation_",
            "softmax_",
            "log_softmax_",
            "evaluate_",
            "median_",
            "one_hot_",
            "scatter_rows_",
        ];
        if kernel.starts_with("conv_tensor_") {
            Self::Tensor
        } else if kernel.starts_with("conv_") && !kernel.starts_with("conv_sum_") || kernel == "matmul_f32" {
            Self::Arithmetic
        } else if SMALL.iter().any(|small| kernel.starts_with(small)) || kernel == "accumulate_f32" {
            Self::Small
        } else {
            Self::Memory
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tensor => "tensor",
            Self::Arithmetic => "arithmetic",
            Self::Small => "small",
        }
    }
}

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

    fn times_the_least(&self, moved: Moved) -> f64 {
        match moved {
            Moved::Blocks => self.blocks_over_least(),
            Moved::Requests => self.touched_over_blocks(),
        }
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

    /// What is asked of the kernel's class and does not hold, in words.
    pub fn faults(&self, kernel: &str) -> Vec<String> {
        let mut faults = Vec::new();
        match self.class {
            Class::Memory => {
                for (moved, what) in [
                    (Moved::Blocks, "its blocks move, over what has to move"),
                    (Moved::Requests, "its requests touch, over what its blocks have to move"),
                ] {
                    let found = self.times_the_least(moved);
                    let excepted = EXCEPTIONS.iter().find(|(names, of, _)| names.contains(&kernel) && *of == moved);
                    match (found <= MOST_MOVED, excepted) {
                        (false, None) => {
                            faults.push(format!("{kernel}: {what}: {found:.3} times; {MOST_MOVED} is allowed"));
                        }
                        (true, Some((.., reason))) => {
                            faults.push(format!("{kernel}: {what}: {found:.3} times; an exception says: {reason}"));
                        }
                        _ => {}
                    }
                }
            }
            Class::Tensor => {
                let Conflicts { ldmatrix, cp_async, load, .. } = self.conflicts;
                // Channels that are no packs are filled in by pairs and single elements.
                let packs = !kernel.contains("_any_");
                // The main loop reads by ldmatrix; TF32 also by ld.shared, where ldmatrix would have to turn it. In bf16
                // ld.shared comes behind the main loop, where results are written.
                let load = if kernel.contains("tf32") { load } else { 0 };
                if ldmatrix + load > 0 || packs && cp_async > 0 {
                    faults.push(format!(
                        "{kernel} has bank conflicts in its main loop: {ldmatrix} of ldmatrix, {cp_async} of cp.async, \
                         {load} of ld.shared"
                    ));
                }
                if packs && self.loads.touched > self.loads.full {
                    faults.push(format!(
                        "{kernel} loads {} sectors where {} would hold what it asks for",
                        self.loads.touched, self.loads.full
                    ));
                }
            }
            _ => {}
        }
        faults
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

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
