//! `kd-engine doctor`: what this machine offers, and whether every kernel computes what the CPU does.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::golden::{self as golden_lines, ByWrapper};
use super::output::{plain_table, print, print_json};
use super::progress::thread_pool;
use crate::config::DeviceRequest;
use crate::doctor::golden::{self, Finding};
use crate::doctor::{self, Machine, Verdict};
use crate::error::{Error, Result};
use crate::gpu::sim::{Sim, SimOptions};
use crate::gpu::{Device, Processor};
use crate::ops::case::Case;

/// Say what this machine offers, then check every kernel against the CPU, and every wrapper of instructions against
/// golden values
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Check only kernels and cases whose name contains this
    pub filter: Option<String>,
    /// Where to run the kernels: auto (a GPU where there is one, else the simulator), cuda, cuda:N or sim
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// Seed of the inputs, and of the second run's order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many threads compute; otherwise one for each core
    #[arg(long, value_parser = super::progress::threads)]
    pub threads: Option<NonZeroUsize>,
    /// Write what the device gives for the golden values into a file, with the device's name
    #[arg(long, value_name = "FILE")]
    pub write_golden: Option<PathBuf>,
    /// Show every case by itself
    #[arg(long, short)]
    pub verbose: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the device is not there, the filter fits nothing, or a kernel does not pass.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::survey();
    if !arguments.json {
        print(&format!("{machine}\n"))?;
    }
    let device = match arguments.device {
        DeviceRequest::Auto if machine.driver.is_err() => DeviceRequest::Sim,
        DeviceRequest::Cpu => {
            return Err(Error::request("doctor checks the kernels of GPUs against the cpu")
                .help("leave --device out, or --device cuda, or --device sim"));
        }
        other => other,
    };
    let cases = doctor::select(arguments.filter.as_deref())?;
    let pool = thread_pool(arguments.threads)?;
    let (name, verdicts, findings) = pool.install(|| examine(arguments, device, &cases))?;
    let mut uncovered = Vec::new();
    if arguments.filter.is_none() {
        uncovered = doctor::uncovered(crate::gpu::nvrtc::kernel_names()?.into_iter(), &cases)?;
    }
    let (by_kernel, by_wrapper) = (doctor::by_kernel(&verdicts), ByWrapper::new(&findings));
    if arguments.json {
        let mut document = document(&machine, device, &by_kernel, &uncovered);
        document["golden"] = by_wrapper.document()?;
        print_json(&document)?;
    } else {
        if !(by_kernel.is_empty() && uncovered.is_empty()) {
            print(&text(device, &by_kernel, &uncovered, arguments.verbose))?;
        }
        print(&by_wrapper.text()?)?;
    }
    if let Some(file) = &arguments.write_golden {
        golden_lines::write(file, &name, &findings)?;
    }
    let failed = by_kernel.values().filter(|verdicts| !verdicts.iter().all(|verdict| verdict.passed())).count();
    match failed + uncovered.len() + by_wrapper.wrong() {
        0 => Ok(()),
        _ => Err(Error::failed(format!(
            "of {} kernels {failed} did not pass and {} are not covered by any case; of {} wrappers {} did not give their \
             golden values",
            by_kernel.len() + uncovered.len(),
            uncovered.len(),
            by_wrapper.count(),
            by_wrapper.wrong()
        ))),
    }
}

/// The device's name, how the cases went, and how the golden values did that the filter fits.
fn examine(
    arguments: &Arguments,
    device: DeviceRequest,
    cases: &[Case],
) -> Result<(String, Vec<Verdict>, Vec<Finding>)> {
    let seed = arguments.seed;
    let values = golden::select(arguments.filter.as_deref())?;
    let (name, verdicts, findings);
    if device == DeviceRequest::Sim {
        let simulated = |again: bool| -> Result<Arc<dyn Device>> {
            Ok(Arc::new(Sim::new(SimOptions::strict(again.then_some(seed)))))
        };
        name = simulated(false)?.name().to_string();
        let one = |case: &Case| doctor::examine(case, seed, simulated);
        verdicts = cases.par_iter().map(one).collect::<Result<_>>()?;
        findings = golden::examine_all(&values, simulated)?;
    } else {
        let Processor::Gpu(gpu, _) = device.open()? else { unreachable!("the CPU was refused above") };
        name = gpu.name().to_string();
        let one = |case: &Case| doctor::examine(case, seed, |_| Ok(gpu.clone()));
        verdicts = cases.iter().map(one).collect::<Result<_>>()?;
        findings = golden::examine_all(&values, |_| Ok(gpu.clone()))?;
    }
    Ok((name, verdicts, findings))
}

fn text(device: DeviceRequest, by_kernel: &BTreeMap<&str, Vec<&Verdict>>, uncovered: &[&str], verbose: bool) -> String {
    let mut rows = Vec::new();
    for (kernel, verdicts) in by_kernel {
        let failed = verdicts.iter().find(|verdict| !verdict.passed());
        let word = if failed.is_none() { "pass" } else { "FAIL" };
        let reason = failed.and_then(|verdict| Some(format!("{}: {}", verdict.case, verdict.reason()?)));
        rows.push(vec![
            word.into(),
            kernel.to_string(),
            format!("{} cases", verdicts.len()),
            reason.unwrap_or_default(),
        ]);
        if verbose {
            for verdict in verdicts {
                let worst = verdict.differences.iter().map(|one| one.error / one.tolerance.max(1e-300));
                let worst = worst.filter(|share| share.is_finite()).fold(0.0, f64::max);
                let share = format!("{worst:.2} of the tolerance");
                rows.push(vec![
                    String::new(),
                    format!("  {}", verdict.case),
                    share,
                    verdict.reason().unwrap_or_default(),
                ]);
            }
        }
    }
    rows.extend(uncovered.iter().map(|kernel| vec!["FAIL".into(), kernel.to_string(), "no case".into()]));
    let count = by_kernel.len() + uncovered.len();
    format!("{}\n{count} kernels on {device:?}\n", plain_table(rows))
}

fn document(
    machine: &Machine,
    device: DeviceRequest,
    by_kernel: &BTreeMap<&str, Vec<&Verdict>>,
    uncovered: &[&str],
) -> Value {
    let kernel = |(kernel, verdicts): (&&str, &Vec<&Verdict>)| {
        let cases: Vec<Value> = verdicts
            .iter()
            .map(|verdict| {
                let values: Vec<Value> = verdict
                    .differences
                    .iter()
                    .map(|one| json!({ "name": one.name, "error": one.error, "tolerance": one.tolerance }))
                    .collect();
                json!({ "name": verdict.case, "passed": verdict.passed(), "reason": verdict.reason(), "values": values })
            })
            .collect();
        json!({ "name": kernel, "passed": verdicts.iter().all(|verdict| verdict.passed()), "cases": cases })
    };
    json!({
        "machine": machine.to_json(),
        "device": format!("{device:?}").to_lowercase(),
        "kernels": by_kernel.iter().map(kernel).collect::<Vec<_>>(),
        "uncovered": uncovered,
    })
}
