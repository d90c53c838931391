//! `kd-engine bench`: how fast kernels and whole training steps are on this machine; on the simulator, what kernels cost.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::bench_counts;
use super::output::{plain_table, print, print_json};
use super::progress::thread_pool;
use crate::bench::counts::kernel_names;
use crate::bench::machine::Machine;
use crate::bench::timing::{Clock, Effort};
use crate::bench::{self, Benchmark, Entry, suite};
use crate::config::{DeviceRequest, Precision};
use crate::error::{Error, Result};
use crate::gpu::Processor;

/// Measure kernels and whole training steps on this machine; on the simulator, count what every kernel does
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Only benchmarks whose name contains this, such as train-step/resnet20; any model of the zoo and any preset can
    /// be named. On the simulator kernels are kernel/NAME
    pub filter: Option<String>,
    /// A list of benchmarks: gpu, the classrooms, nets and kernels that the project is judged by
    #[arg(long, value_name = "NAME", conflicts_with_all = ["batch", "precision"])]
    pub suite: Option<String>,
    /// With --device sim: write what all kernels cost to this file (benches/kernels.toml is the committed one)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["filter", "list", "suite"])]
    pub write: Option<PathBuf>,
    /// List the benchmarks, measure nothing
    #[arg(long)]
    pub list: bool,
    /// Where to compute: auto, cpu, cuda, cuda:N or sim
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// How many threads compute; otherwise one for each core
    #[arg(long, value_parser = super::progress::threads)]
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
    let on_sim = arguments.device == DeviceRequest::Sim;
    if arguments.write.is_some() && !on_sim {
        return Err(Error::request("--write is for what the simulator counts").help("add --device sim"));
    }
    let filter = arguments.filter.as_deref().unwrap_or("");
    let kernels: Vec<String> = kernel_names()
        .into_iter()
        .map(|name| format!("kernel/{name}"))
        .filter(|name| bench::fits(name, filter))
        .collect();
    if on_sim && arguments.suite.is_none() && !kernels.is_empty() {
        return bench_counts::run(arguments, &kernels);
    }
    let suite = arguments.suite.as_ref().map(|name| suite::select(name, arguments.filter.as_deref())).transpose()?;
    if let Some(suite) = suite.as_ref().filter(|_| arguments.list) {
        // A list needs no device.
        return list(arguments, "any", suite);
    }
    let device = arguments.device.open()?;
    if device.gpu().is_none() && arguments.precision != Precision::F32 {
        let name = arguments.precision.name();
        return Err(Error::request(format!("the cpu computes in f32 alone, but {name} is asked for"))
            .help("leave --precision out, or --device cuda, or --device sim"));
    }
    if device.gpu().is_none() && suite.is_some() {
        return Err(
            Error::request("the suite gpu is measured on a GPU").help("--device cuda, or --list to see its names")
        );
    }
    let batch = arguments.batch.map(usize::from);
    let benchmarks = match suite {
        Some(suite) => suite,
        None => bench::select(arguments.filter.as_deref(), batch, arguments.precision, device.gpu().is_some())?,
    };
    if arguments.list {
        return list(arguments, &device.to_string(), &benchmarks);
    }
    if arguments.cpu_time && arguments.threads != NonZeroUsize::new(1) {
        return Err(Error::request("--cpu-time measures one thread").help("add --threads 1"));
    }
    benchmarks.iter().try_for_each(|benchmark| benchmark.check(&device))?;
    let pool = thread_pool(arguments.threads)?;
    pool.install(|| measure(arguments, &device, &benchmarks))
}

fn list(arguments: &Arguments, device: &str, benchmarks: &[Benchmark]) -> Result<()> {
    let names: Vec<String> = benchmarks.iter().map(Benchmark::name).collect();
    match arguments.json {
        true => print_json(&json!({ "device": device, "names": names })),
        false => print(&(names.join("\n") + "\n")),
    }
}

fn measure(arguments: &Arguments, device: &Processor, benchmarks: &[Benchmark]) -> Result<()> {
    let limits = match device.gpu() {
        Some(gpu) => gpu.limits()?.map(|limits| Machine::of_gpu(gpu.name(), limits)),
        None => None,
    };
    let machine = limits.unwrap_or_else(Machine::measure);
    let effort = Effort::of(arguments.seconds, if arguments.cpu_time { Clock::Processor } else { Clock::Wall });
    if arguments.json {
        let entries: Result<Vec<Vec<Entry>>> =
            benchmarks.iter().map(|benchmark| benchmark.measure(device, &machine, effort, arguments.profile)).collect();
        let mut document = serde_json::to_value(&machine).map_err(|error| Error::failed(error.to_string()))?;
        document["entries"] =
            serde_json::to_value(entries?.concat()).map_err(|error| Error::failed(error.to_string()))?;
        return print_json(&document);
    }
    let Machine { processor, simd, threads, peak_gflops, copy_gigabytes_per_second: copy, .. } = &machine;
    print(&match machine.tensor_gflops {
        None => format!(
            "{processor}, {simd}, {threads} threads; multiply-adds in registers {peak_gflops:.0} GFLOP/s, \
             copying {copy:.1} GB/s\n"
        ),
        Some(tensor) => format!(
            "{processor}, {simd}, {threads} multiprocessors; at best {:.1} TFLOP/s in float32, {:.0} in bf16 on tensor \
             cores, {copy:.0} GB/s\n",
            peak_gflops / 1e3,
            tensor / 1e3
        ),
    })?;
    let width = benchmarks.iter().map(|benchmark| benchmark.name().len()).max().unwrap_or(0);
    for benchmark in benchmarks {
        for entry in benchmark.measure(device, &machine, effort, arguments.profile)? {
            print(&line(&entry, width))?;
        }
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
