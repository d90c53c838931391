//! The committed costs of every kernel: `benches/kernels.toml`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::occupancy::{self, Held};
use crate::error::{Error, Result};
use crate::gpu::kernels;

/// What stands above the tables.
const HEADER: &str = "\
# What every kernel costs: counted on the simulator on one workload (src/ops/workloads.rs), and reported by the compiler.
# `kd-engine bench --device sim --write benches/kernels.toml` writes this file; tests/kernel_costs.rs compares it.
#
# loads, stores   sectors of 32 bytes: touched by requests of warps; distinct ones of each block, summed; least: distinct
#                 ones of the launch; full: as few as hold what each request asks for
# conflicts       passes over the banks of shared memory beyond the fewest, by instruction
# products        of tensor cores: mma instructions, the multiply-adds they make, those that the convolution needs
# instructions    of warps, by class
# held            on each architecture: registers of a thread, bytes of shared memory of a block, spilled
#                 bytes, blocks and warps of a multiprocessor at once
";

/// Architectures whose registers are committed: those that ./test makes machine code for.
pub const PINNED: [&str; 2] = ["sm_80", "sm_90a"];

/// What a kernel costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// What the simulator counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// What the compiler reports, by architecture.
    #[serde(default)]
    pub held: BTreeMap<String, Held>,
}

/// The costs of all kernels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The compiler: instructions and registers depend on it.
    pub nvrtc: String,
    /// By name.
    pub kernels: BTreeMap<String, Costs>,
}

/// What is not as committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// What got worse, or cannot be compared.
    pub worse: Vec<String>,
    /// What got better.
    pub better: Vec<String>,
}

impl Ledger {
    /// Counts the kernels that are `wanted`, by their names.
    ///
    /// # Errors
    /// If a kernel cannot be counted.
    pub fn of(wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let counted = super::counts::count(wanted)?;
        let costs = |(kernel, counts): (String, Counts)| {
            let held = occupancy::held(&kernel, &counts);
            (kernel, Costs { counts, held })
        };
        Ok(Self { nvrtc: compiler(), kernels: counted.into_iter().map(costs).collect() })
    }

    /// As it is committed: of the pinned architectures alone.
    ///
    /// # Errors
    /// If the binary has no machine code for one of them.
    pub fn pinned(mut self) -> Result<Self> {
        for (kernel, costs) in &mut self.kernels {
            costs.held.retain(|arch, _| PINNED.contains(&arch.as_str()));
            if let Some(arch) = PINNED.iter().find(|arch| !costs.held.contains_key(**arch)) {
                return Err(Error::request(format!("this binary has no machine code of {kernel} for {arch}"))
                    .help("build with KD_CUDA_ARCHS=80,90a, or a release without KD_CUDA_ARCHS"));
            }
        }
        Ok(self)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read or is not such a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::reading(path, error))?;
        toml::from_str(&text).map_err(|error| Error::request(format!("{}: {error}", path.display())))
    }

    /// The text of the file: a table for each kernel, sorted, a line for each kind of cost.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("{HEADER}\nnvrtc = {}", inline(&self.nvrtc))];
        for (kernel, Costs { counts, held }) in &self.kernels {
            lines.push(format!("\n[kernels.{kernel}]"));
            let mut line = |key: &str, value: String| lines.push(format!("{key} = {value}"));
            line("class", inline(&counts.class));
            line("workload", inline(&counts.workload));
            line("grid", inline(&counts.grid));
            line("block", inline(&counts.block));
            line("shared", inline(&counts.shared));
            line("loads", inline(&counts.loads));
            line("stores", inline(&counts.stores));
            line("conflicts", inline(&counts.conflicts));
            line("barriers", inline(&counts.barriers));
            if let Some(products) = &counts.products {
                line("products", inline(products));
            }
            line("instructions", inline(&counts.instructions));
            held.iter().for_each(|(arch, held)| line(&format!("held.{arch}"), inline(held)));
        }
        lines.join("\n") + "\n"
    }

    /// Compares with what was `committed`. Instructions and registers are the compiler's and compared only where it is the
    /// same one; architectures only where both have them.
    pub fn compare(&self, committed: &Self) -> Difference {
        let mut difference = Difference::default();
        let same_compiler = self.nvrtc == committed.nvrtc;
        for (kernel, found) in &self.kernels {
            let Some(before) = committed.kernels.get(kernel) else {
                difference.worse.push(format!("{kernel} is not in the file"));
                continue;
            };
            if !found.counts.is_of_the_work_of(&before.counts) {
                difference.worse.push(format!("{kernel} was counted on other work: {}", before.counts.workload));
                continue;
            }
            let mut compare = |what: &str, before: u64, found: u64| {
                let line = || format!("{kernel}: {what}: committed {before}, found {found}");
                match found.cmp(&before) {
                    Ordering::Greater => difference.worse.push(line()),
                    Ordering::Less => difference.better.push(line()),
                    Ordering::Equal => {}
                }
            };
            for ((what, found), (_, before)) in found.counts.figures().into_iter().zip(before.counts.figures()) {
                compare(&what, before, found);
            }
            if !same_compiler {
                continue;
            }
            // Classes may trade places; what counts is all of them.
            compare("instructions", before.counts.instructions["all"], found.counts.instructions["all"]);
            for (arch, found) in &found.held {
                let Some(before) = before.held.get(arch) else { continue };
                for ((what, found), (_, before)) in found.figures().into_iter().zip(before.figures()) {
                    compare(&format!("{what} on {arch}"), before, found);
                }
                // More blocks are better.
                compare(&format!("warps on {arch} less than 64"), lacking(before.warps), lacking(found.warps));
            }
        }
        for kernel in committed.kernels.keys().filter(|kernel| !self.kernels.contains_key(*kernel)) {
            difference.worse.push(format!("{kernel} is in the file and no more in the binary"));
        }
        difference
    }
}

/// Warps that a multiprocessor could hold and does not.
fn lacking(warps: u32) -> u64 {
    64u32.saturating_sub(warps).into()
}

fn inline(value: &impl Serialize) -> String {
    let mut text = String::new();
    value.serialize(toml::ser::ValueSerializer::new(&mut text)).expect("costs are numbers and texts");
    text
}

fn compiler() -> String {
    kernels::nvrtc_version().map(|(major, minor)| format!("{major}.{minor}")).unwrap_or_default()
}
