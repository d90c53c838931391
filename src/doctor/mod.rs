//! Checks every kernel against the CPU: the operations' cases ([`crate::ops::cases`]) run in f64 on the CPU and on a device,
//! and are compared.
//!
//! A case passes if every value that it names is within its tolerance, all state that it updates is too, all other state
//! is as it was, and a second run gives the same bits. What the instructions themselves give is compared with golden values
//! ([`golden`]).

mod compare;
pub mod golden;
mod machine;
pub mod mutation;
mod run;
#[cfg(test)]
mod variants;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use compare::Difference;
pub use machine::Machine;
pub use run::Recorded;

use crate::error::{Error, Result};
use crate::gpu::Device;
use crate::ops::case::Case;

/// How a case went on a device.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The case.
    pub case: String,
    /// The kernels that it launches.
    pub kernels: BTreeSet<String>,
    /// How far each value was off.
    pub differences: Vec<Difference>,
    /// What went wrong besides: a fault that the simulator found, or other bits in a second run.
    pub fault: Option<String>,
}

impl Verdict {
    /// Whether everything holds.
    pub fn passed(&self) -> bool {
        self.fault.is_none() && self.differences.iter().all(Difference::holds)
    }

    /// Why it did not pass, in one line; nothing if it did.
    pub fn reason(&self) -> Option<String> {
        let worst = || self.differences.iter().find(|difference| !difference.holds()).map(Difference::to_string);
        self.fault.clone().or_else(worst)
    }
}

/// Runs `case` on a device twice and compares it with the CPU. `device` makes a fresh device for each run, the second one
/// (`true`) with everything that may be in another order in another order.
///
/// # Errors
/// If the case cannot be recorded, or the device cannot be had. A kernel that fails is a verdict, not an error.
pub fn examine(case: &Case, seed: u64, device: impl Fn(bool) -> Result<Arc<dyn Device>>) -> Result<Verdict> {
    let reference = Recorded::on_cpu(case, seed)?;
    let recorded = Recorded::on_device(case, seed, &device(false)?)?;
    let kernels = recorded.kernels();
    let verdict = |differences, fault| Verdict { case: case.name.clone(), kernels, differences, fault };
    let expected = reference.run()?;
    let found = match recorded.run() {
        Ok(found) => found,
        Err(fault) => return Ok(verdict(Vec::new(), Some(fault.to_string()))),
    };
    let differences = compare::compare(case.storage, &recorded, &expected, &found);
    let again = Recorded::on_device(case, seed, &device(true)?)?.run();
    let fault = match again {
        Err(fault) => Some(format!("in another order: {fault}")),
        Ok(again) => found.first_other_bits(&again).map(|name| format!("{name} has other bits in a second run")),
    };
    Ok(verdict(differences, fault))
}

/// The cases whose name or kernels contain `filter`; none where golden values alone do.
///
/// # Errors
/// If nothing does, or a case cannot be recorded.
pub fn select(filter: Option<&str>) -> Result<Vec<Case>> {
    let cases = crate::ops::cases();
    let Some(filter) = filter else { return Ok(cases) };
    let mut chosen = Vec::new();
    for case in cases {
        if case.name.contains(filter) || kernels(&case)?.iter().any(|kernel| kernel.contains(filter)) {
            chosen.push(case);
        }
    }
    if chosen.is_empty() && golden::select(Some(filter))?.is_empty() {
        return Err(Error::request(format!("no kernel, no case and no wrapper has a name with `{filter}`")));
    }
    Ok(chosen)
}

/// The kernels that a case launches.
///
/// # Errors
/// If it cannot be recorded.
pub fn kernels(case: &Case) -> Result<BTreeSet<String>> {
    Recorded::kernels_of(case)
}

/// The verdicts by kernel: all cases that launch it.
pub fn by_kernel(verdicts: &[Verdict]) -> BTreeMap<&str, Vec<&Verdict>> {
    let mut by_kernel: BTreeMap<&str, Vec<&Verdict>> = BTreeMap::new();
    for verdict in verdicts {
        for kernel in &verdict.kernels {
            by_kernel.entry(kernel).or_default().push(verdict);
        }
    }
    by_kernel
}

/// The kernels of the binary that neither any of `cases` launches nor golden values cover: there should be none.
///
/// # Errors
/// If a case cannot be recorded.
pub fn uncovered<'a>(names: impl Iterator<Item = &'a str>, cases: &[Case]) -> Result<Vec<&'a str>> {
    let mut covered: BTreeSet<String> = golden::kernels()?.into_iter().map(String::from).collect();
    for case in cases {
        covered.extend(kernels(case)?);
    }
    Ok(names.filter(|name| !covered.contains(*name)).collect())
}
