//! `kd-engine bench --device sim`: what kernels do, counted, and what they take of a multiprocessor.

use std::collections::BTreeSet;

use serde_json::json;

use super::bench::Arguments;
use super::output::{plain_table, print, print_json};
use super::progress::thread_pool;
use crate::bench::counts::Conflicts;
use crate::bench::ledger::{Costs, Ledger};
use crate::bench::occupancy::Held;
use crate::error::{Error, Result};

/// What kernels do, in place of times.
///
/// # Errors
/// If a kernel cannot be counted, or a file cannot be written.
pub fn run(arguments: &Arguments, names: &[String]) -> Result<()> {
    if arguments.list {
        return match arguments.json {
            true => print_json(&json!({ "device": "sim", "names": names })),
            false => print(&(names.join("\n") + "\n")),
        };
    }
    let pool = thread_pool(arguments.threads)?;
    let wanted = |kernel: &str| names.iter().any(|name| name.strip_prefix("kernel/") == Some(kernel));
    let ledger = pool.install(|| Ledger::of(wanted))?;
    if let Some(path) = &arguments.write {
        let ledger = ledger.pinned()?;
        std::fs::write(path, ledger.text()).map_err(|error| Error::writing(path, error))?;
        return print(&format!("{}: {} kernels\n", path.display(), ledger.kernels.len()));
    }
    if arguments.json {
        let failed = |error: serde_json::Error| Error::failed(error.to_string());
        let mut entries = Vec::new();
        for (kernel, costs) in &ledger.kernels {
            let mut entry = json!({ "name": format!("kernel/{kernel}") });
            let costs = serde_json::to_value(costs).map_err(failed)?;
            if let (Some(entry), Some(costs)) = (entry.as_object_mut(), costs.as_object()) {
                entry.extend(costs.clone());
            }
            entries.push(entry);
        }
        return print_json(&json!({ "device": "sim", "nvrtc": ledger.nvrtc, "entries": entries }));
    }
    print(&(table(&ledger) + "\n" + LEGEND))
}

/// What the columns are.
const LEGEND: &str = "\
touched      sectors of 32 bytes that requests touch, over those that the blocks have to move once
blocks       the same of the blocks, over those that the launch has to move
per request  sectors that a request of a warp touches, and as few as would hold what it asks for
conflicts    of banks: ld.shared, st.shared, ldmatrix, cp.async
products     multiply-adds of tensor cores, over those that are needed
held         blocks and warps of a multiprocessor; registers of a thread, bytes of shared memory of a block
";

/// A table of all kernels, for people.
fn table(ledger: &Ledger) -> String {
    let archs: BTreeSet<&String> = ledger.kernels.values().flat_map(|costs| costs.held.keys()).collect();
    let heading =
        ["kernel", "class", "touched", "blocks", "per request", "conflicts", "products", "instructions", "barriers"];
    let heading = heading.into_iter().map(str::to_string);
    let mut rows = vec![heading.chain(archs.iter().map(|arch| format!("held {arch}"))).collect::<Vec<String>>()];
    for (kernel, Costs { counts, held }) in &ledger.kernels {
        let Conflicts { load, store, ldmatrix, cp_async } = counts.conflicts;
        let [found, full] = counts.sectors_per_request();
        let products = counts.products.map(|products| products.made as f64 / products.needed.max(1) as f64);
        let mut row = vec![
            kernel.clone(),
            counts.class.to_string(),
            format!("{:.3}", counts.touched_over_blocks()),
            format!("{:.3}", counts.blocks_over_least()),
            format!("{found:.1} of {full:.1}"),
            format!("{load} {store} {ldmatrix} {cp_async}"),
            products.map(|products| format!("{products:.3}")).unwrap_or_default(),
            counts.instructions["all"].to_string(),
            counts.barriers.to_string(),
        ];
        row.extend(archs.iter().map(|arch| match held.get(*arch) {
            Some(Held { registers, shared, blocks, warps, .. }) => format!("{blocks}x {warps}w {registers}r {shared}B"),
            None => String::new(),
        }));
        rows.push(row);
    }
    plain_table(rows)
}
