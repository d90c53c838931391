//! `kd-engine bench`: how fast kernels and whole training steps are on this machine.

use std::num::NonZeroUsize;

use clap::Args;
use serde_json::json;

use super::output::{plain_table, print, print_json};
use super::progress::thread_pool;
use crate::bench::machine::Machine;
use crate::bench::timing::{Clock, Effort};
use crate::bench::{self, Benchmark, Entry};
use crate::config::{DeviceRequest, Precision};
use crate::error::{Error, Result};
use crate::gpu::Processor;

/// Measure kernels and whole training steps on this machine
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Only benchmarks whose name contains this, such as train-step/resnet20; any model of the zoo and any preset can
    /// be named
    pub filter: Option<String>,
    /// List the benchmarks, measure nothing
    #[arg(long)]
    pub list: bool,
    /// Where to compute: auto, cpu, cuda, cuda:N or sim
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// How many threads compute; otherwise one for each core
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Images of a step; otherwise 64, and a preset's own number in its classroom
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=8192))]
    pub batch: Option<u16>,
    /// What steps compute in: f32, tf32 or bf16; the cpu in f32 alone
    #[arg(long, default_value = "f32", value_parser = precision)]
    pub precision: Precision,
    /// How long each training step is repeated, in seconds; kernels for a twentieth of it
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
    /// Measure the time that the one thread has a processor instead of the time on the wall; for machines that other
    /// programs use, with --threads 1
    #[arg(long, requires = "threads")]
    pub cpu_time: bool,
    /// Also show where the time of a step goes, by operation and shape
    #[arg(long)]
    pub profile: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// For a filter that nothing fits, a device that is not there, or a step that cannot be built.
pub fn run(arguments: &Arguments) -> Result<()> {
    let device = arguments.device.open()?;
    if device.gpu().is_none() && arguments.precision != Precision::F32 {
        let name = arguments.precision.name();
        return Err(Error::request(format!("the cpu computes in f32 alone, but {name} is asked for"))
            .help("leave --precision out, or --device cuda, or --device sim"));
    }
    let batch = arguments.batch.map(usize::from);
    let benchmarks = bench::select(arguments.filter.as_deref(), batch, arguments.precision)?;
    if arguments.list {
        let names: Vec<String> = benchmarks.iter().map(Benchmark::name).collect();
        if arguments.json {
            return print_json(&json!({ "device": device.to_string(), "names": names }));
        }
        return print(&(names.join("\n") + "\n"));
    }
    if arguments.cpu_time && arguments.threads != NonZeroUsize::new(1) {
        return Err(Error::request("--cpu-time measures one thread").help("add --threads 1"));
    }
    let pool = thread_pool(arguments.threads)?;
    pool.install(|| measure(arguments, &device, &benchmarks))
}

fn measure(arguments: &Arguments, device: &Processor, benchmarks: &[Benchmark]) -> Result<()> {
    let machine = Machine::measure();
    let effort = Effort::of(arguments.seconds, if arguments.cpu_time { Clock::Processor } else { Clock::Wall });
    if arguments.json {
        let entries: Result<Vec<Entry>> =
            benchmarks.iter().map(|benchmark| benchmark.measure(device, &machine, effort, arguments.profile)).collect();
        let mut document = serde_json::to_value(&machine).map_err(|error| Error::failed(error.to_string()))?;
        document["entries"] = serde_json::to_value(entries?).map_err(|error| Error::failed(error.to_string()))?;
        return print_json(&document);
    }
    print(&format!(
        "{}, {}, {} threads; multiply-adds in registers {:.0} GFLOP/s, copying {:.1} GB/s\n",
        machine.processor, machine.simd, machine.threads, machine.peak_gflops, machine.copy_gigabytes_per_second
    ))?;
    let width = benchmarks.iter().map(|benchmark| benchmark.name().len()).max().unwrap_or(0);
    for benchmark in benchmarks {
        print(&line(&benchmark.measure(device, &machine, effort, arguments.profile)?, width))?;
    }
    Ok(())
}

/// One entry, and its profile below it.
fn line(entry: &Entry, width: usize) -> String {
    let mut text = format!("{:width$}  {:9.3} ms", entry.name, entry.median_ms);
    if let Some(images) = entry.images_per_second {
        text += &format!("  {images:8.1} images/s");
    }
    if let Some(gflops) = entry.gflops {
        text += &format!("  {gflops:7.1} GFLOP/s");
    }
    if let Some(gigabytes) = entry.gigabytes_per_second {
        text += &format!("  {gigabytes:6.1} GB/s");
    }
    text += &format!("  {:5.1}% of the roofline\n", 100.0 * entry.share_of_roofline);
    if entry.profile.is_empty() {
        return text;
    }
    let heading = ["   ms", "share", "GFLOP/s", "GB/s", "roofline", "count", "operation", "shape"].map(String::from);
    let rows = entry.profile.iter().map(|line| {
        vec![
            format!("{:8.3}", line.milliseconds),
            format!("{:5.1}%", 100.0 * line.share),
            format!("{:7.1}", line.gflops),
            format!("{:6.1}", line.gigabytes_per_second),
            format!("{:5.1}%", 100.0 * line.share_of_roofline),
            line.count.to_string(),
            line.operation.clone(),
            line.shape.clone(),
        ]
    });
    text + &plain_table(std::iter::once(heading.to_vec()).chain(rows)) + "\n"
}

fn precision(text: &str) -> Result<Precision, String> {
    let known = [Precision::F32, Precision::Tf32, Precision::Bf16];
    known.into_iter().find(|one| one.name() == text).ok_or_else(|| "expected f32, tf32 or bf16".to_string())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0 to 3600".to_string()),
    }
}
