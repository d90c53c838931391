//! Launches on a GPU, timed by its events with a cold L2 cache: before each replay a buffer larger than any L2 is
//! overwritten, on the same stream, so that the GPU is busy while the host hands over what is timed.

use std::sync::Arc;
use std::time::Duration;

use super::machine::Machine;
use super::profile::bytes;
use super::timing::{Effort, Times};
use super::{Benchmark, Entry};
use crate::config::Precision;
use crate::doctor::Recorded;
use crate::error::{Error, Result};
use crate::gpu::{Device, Launch, Processor};
use crate::ops::case::{Case, Storage};
use crate::tape::{Arena, Plan, Shown, State, StateLayout, Tape};
use crate::tensor::DType;

/// Bytes that are overwritten; the largest L2 has about half of it.
pub(super) const FLUSHED: usize = 256 << 20;

/// Empties the L2 cache of a GPU, and times what comes after.
#[derive(Debug)]
pub struct Cold {
    device: Arc<dyn Device>,
    flush: Launch,
    /// What the launch writes to.
    _memory: (Arena, State, Plan),
}

impl Cold {
    /// For `processor`, by overwriting so many bytes; none for the CPU.
    ///
    /// # Errors
    /// If the GPU has no room for the buffer.
    pub fn on(processor: &Processor, bytes: usize) -> Result<Option<Self>> {
        let Some(device) = processor.gpu() else { return Ok(None) };
        let (mut tape, layout) = (Tape::new(DType::F32), StateLayout::new());
        let filled = tape.fill([bytes / 4], 0.0);
        tape.keep(filled);
        let plan = Plan::on(processor, &tape, &layout)?;
        let (arena, mut state) = (Arena::on(processor, plan.bytes())?, layout.allocate_on(processor)?);
        let mut flush = None;
        plan.each_launch(&arena, &mut state, |shown| {
            flush = Some(shown.launch.clone());
            Ok(())
        })?;
        let flush = flush.ok_or_else(|| Error::failed("filling memory takes a launch"))?;
        Ok(Some(Self { device: device.clone(), flush, _memory: (arena, state, plan) }))
    }

    /// Times `launches`, one after the other as one piece of work.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn times(&self, launches: &[&Launch], time: Duration) -> Result<Times> {
        let (device, stream) = (&self.device, self.device.main_stream());
        Times::measure(time, || {
            device.launch(stream, &self.flush)?;
            let start = device.record(stream)?;
            launches.iter().try_for_each(|launch| device.launch(stream, launch))?;
            let end = device.record(stream)?;
            device.synchronize()?;
            device.elapsed(start, end)
        })
    }
}

/// Times every launch of a workload on its own.
///
/// # Errors
/// If it cannot be recorded, or `processor` is no GPU.
pub(super) fn workload(
    case: &Case,
    name: &str,
    processor: &Processor,
    machine: &Machine,
    effort: Effort,
) -> Result<Vec<Entry>> {
    let (Some(device), Some(cold)) = (processor.gpu(), Cold::on(processor, FLUSHED)?) else {
        return Err(
            Error::request(format!("{name} is work for a GPU")).help("--device cuda, or --device sim to count it")
        );
    };
    let mut entries: Vec<Entry> = Vec::new();
    Recorded::on_device(case, 1, device)?.each_launch(|shown| {
        // What comes later reads what this makes.
        device.launch(device.main_stream(), shown.launch)?;
        let name = format!("{name}/{}", shown.launch.kernel);
        if entries.iter().any(|entry| entry.name == name) {
            return Ok(());
        }
        let times = cold.times(&[shown.launch], effort.kernel)?;
        let (flops, moved) = work(shown);
        entries.push(Entry::of_kernel(name, &times, flops, moved, machine, precision(case)));
        Ok(())
    })?;
    Ok(entries)
}

/// Floating-point operations and bytes that the launch stands for: all of its views once.
fn work(shown: &Shown<'_>) -> (u64, u64) {
    // A second pass adds up what the first one multiplied.
    let flops = if shown.launch.kernel.starts_with("conv_sum") { 0 } else { shown.flops };
    let views: u64 = shown.launch.views.iter().map(|view| view.bytes as u64).sum();
    // Of the data set only the batch is read.
    (flops, if shown.operation == "batch" { bytes(shown.operation, &shown.signature) } else { views })
}

fn precision(case: &Case) -> Precision {
    match case.storage {
        Storage::Bf16 => Precision::Bf16,
        Storage::F32 if case.name.contains("tf32") => Precision::Tf32,
        Storage::F32 => Precision::F32,
    }
}

/// The workloads as benchmarks.
pub(super) fn benchmarks(batch: usize) -> Vec<Benchmark> {
    let all = crate::ops::workloads::workloads(batch).into_iter();
    all.map(|case| Benchmark::Workload { workload: case.name, batch }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::sim::{Sim, SimOptions};

    // The simulator's time is the number of instructions: of the launch alone, whatever was overwritten before it.
    #[test]
    fn a_launch_is_timed_without_what_empties_the_cache() {
        let device: Arc<dyn Device> = Arc::new(Sim::new(SimOptions::default()));
        let processor = Processor::of(device.clone());
        assert!(Cold::on(&Processor::Cpu, 4096).unwrap().is_none());
        let case =
            crate::ops::workloads::workloads(2).into_iter().find(|case| case.name == "add: 32x32x16 f32").unwrap();
        let mut times = Vec::new();
        for bytes in [4096, 1 << 20] {
            let cold = Cold::on(&processor, bytes).unwrap().unwrap();
            Recorded::on_device(&case, 1, &device)
                .unwrap()
                .each_launch(|shown| {
                    let (flops, moved) = work(shown);
                    // Two tensors of 2 x 32 x 32 x 16 floats are read, one is written.
                    assert_eq!((flops, moved), (0, 3 * 4 * 2 * 32 * 32 * 16));
                    let one = cold.times(&[shown.launch], Duration::ZERO)?;
                    let three = cold.times(&[shown.launch; 3], Duration::ZERO)?;
                    times.push((one.median(), three.median()));
                    Ok(())
                })
                .unwrap();
        }
        let (one, three) = times[0];
        assert!(one > 1e-6 && one < 1e-4, "{times:?}");
        assert!((three / one - 3.0).abs() < 1e-9, "{times:?}");
        assert_eq!(times, [times[0]; 2]);
    }

    #[test]
    fn steps_are_timed_between_their_ends() {
        let device: Arc<dyn Device> = Arc::new(Sim::new(SimOptions::default()));
        let cold = Cold::on(&Processor::of(device.clone()), 4096).unwrap().unwrap();
        let mut steps = 0;
        let times = Times::on_device(Duration::ZERO, &*device, || {
            steps += 1;
            device.launch(device.main_stream(), &cold.flush)
        })
        .unwrap();
        // A round to warm up, and one that counts.
        assert_eq!((times.count(), steps), (20, 40));
        assert!(times.fastest() > 0.0 && times.fastest() == times.median());
        // An event that is forgotten has no time.
        let event = device.record(device.main_stream()).unwrap();
        device.synchronize().unwrap();
        let later = device.record(device.main_stream()).unwrap();
        assert!(device.elapsed(event, later).is_err());
    }
}
