//! Which variant of its kernels each node takes: what is known of work like it, and what is measured where nothing is.
//!
//! A node is measured alone, on scratch memory of its own, with the L2 cache full of something else, as often as a median
//! needs. That a variant gives the right result is not looked at here: the cases of the operations do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Arena, Home, Lanes, Node, Plan, Signature, State, StateLayout, Tape, Variants};
use crate::error::Result;
use crate::gpu::tuning::Choices;
use crate::gpu::{Device, Launch, Processor};

/// Times that each variant is measured, after once for the driver to load it.
const ROUNDS: usize = 7;
/// After this many rounds those are left out that have never been within half of the fastest one's time.
const TRIAL: usize = 2;
/// Bytes that are overwritten before each measurement, more than any L2 cache has; and what share of the free memory they
/// and the measured node may take at most.
const FLUSHED: usize = 256 << 20;
const SHARE: u64 = 4;
/// What a measured node reads, in every byte: as float32 and as bf16 it is 0.0115.
const FILL: u8 = 0x3c;

/// Types and shapes of a node, and the variant that `choices` name for it, or else the usual one.
pub(super) fn signature(tape: &Tape, index: usize, choices: &Choices) -> Signature {
    let describe = |ids: &[super::ValueId]| ids.iter().map(|id| (tape.dtype(*id), tape.shape(*id))).collect();
    let node = &tape.nodes[index];
    let usual = Signature { inputs: describe(&node.inputs), outputs: describe(&node.outputs), variant: 0 };
    if choices.is_empty() {
        return usual;
    }
    let chosen = node.op.variants(&usual).and_then(|Variants { key, names }| {
        let chosen = choices.get(&key)?;
        names.iter().position(|name| name == chosen)
    });
    Signature { variant: chosen.unwrap_or(0), ..usual }
}

impl Tape {
    /// The ways in which a GPU can do the work of each node that has several.
    pub fn variants(&self) -> Vec<Variants> {
        let of_node = |index: usize| self.nodes[index].op.variants(&signature(self, index, &Choices::default()));
        (0..self.nodes.len()).filter_map(of_node).filter(|variants| variants.names.len() > 1).collect()
    }
}

/// What `nodes` of `tape` take on `processor`. What is not known is measured there, if it measures, and kept.
///
/// # Errors
/// If a GPU fails.
pub(super) fn choices(processor: &Processor, tape: &Tape, nodes: &[usize]) -> Result<Choices> {
    let mut choices = Choices::default();
    let Processor::Gpu(device, tuning) = processor else { return Ok(choices) };
    if tuning.is_off() {
        return Ok(choices);
    }
    let mut unknown: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    for index in nodes {
        let usual = signature(tape, *index, &Choices::default());
        let Some(Variants { key, names }) = tape.nodes[*index].op.variants(&usual) else { continue };
        match tuning.known(&key, &names) {
            _ if names.len() < 2 => {}
            Some(name) => choices.insert(key, name),
            None if tuning.measures() => drop(unknown.entry(key).or_insert((*index, names))),
            None => {}
        }
    }
    if !unknown.is_empty() {
        let start = Instant::now();
        let mut measured = Choices::default();
        for (key, (index, names)) in &unknown {
            match fastest(processor, tape, *index, key, names)? {
                Some(name) => measured.insert(key, name),
                // Without room to measure it: not kept, so that another run may try.
                None => choices.insert(key, &names[0]),
            }
        }
        let (count, time) = (measured.len(), start.elapsed().as_secs_f64());
        choices.extend(&tuning.keep(measured));
        tracing::info!("{}: the fastest kernels for {count} shapes were found in {time:.1} s", device.name());
    }
    tuning.make(&choices);
    Ok(choices)
}

/// The fastest variant of a node; `None` if the GPU has no room to measure it.
fn fastest(processor: &Processor, tape: &Tape, index: usize, key: &str, names: &[String]) -> Result<Option<String>> {
    let device = processor.gpu().expect("only GPUs have variants");
    let room = device.memory()?.free / SHARE;
    let alone = alone(tape, &tape.nodes[index], FLUSHED.min(room as usize / 2));
    let layout = StateLayout::new();
    let plan = |name: &String| {
        let mut choices = Choices::default();
        choices.insert(key, name);
        Plan::planned(true, &choices, &alone, &layout, Lanes::Sequential)
    };
    let plans = names.iter().map(plan).collect::<Result<Vec<Plan>>>()?;
    let bytes = plans.iter().map(Plan::bytes).max().unwrap_or(0);
    if bytes as u64 > room {
        return Ok(None);
    }
    let (arena, mut state) = (Arena::on(processor, bytes)?, layout.allocate_on(processor)?);
    device.fill(arena.gpu().address(), bytes, FILL)?;
    let works = plans.iter().map(|plan| Work::of(plan, &arena, &mut state)).collect::<Result<Vec<Work>>>()?;
    let mut times: Vec<(usize, Vec<Duration>)> = (0..works.len()).map(|variant| (variant, Vec::new())).collect();
    for round in 0..=ROUNDS {
        for (variant, times) in &mut times {
            let time = works[*variant].time(device.as_ref())?;
            if round > 0 {
                times.push(time);
            }
        }
        if round == TRIAL {
            let best = |times: &[Duration]| times.iter().min().copied().unwrap_or_default();
            let limit = times.iter().map(|(_, times)| best(times)).min().unwrap_or_default() * 3 / 2;
            times.retain(|(_, times)| best(times) <= limit);
        }
    }
    // Of equal ones the first, which is the usual one if it is among them.
    let medians = times.into_iter().map(|(variant, times)| (median(times), variant));
    Ok(medians.min().map(|(_, variant)| names[variant].clone()))
}

/// Launches of a plan of two nodes, of which the first overwrites the L2 cache.
struct Work {
    flush: Vec<Launch>,
    timed: Vec<Launch>,
}

impl Work {
    fn of(plan: &Plan, arena: &Arena, state: &mut State) -> Result<Self> {
        let (mut flush, mut timed) = (Vec::new(), Vec::new());
        plan.each_launch(arena, state, |shown| {
            if shown.step == 0 { &mut flush } else { &mut timed }.push(shown.launch.clone());
            Ok(())
        })?;
        Ok(Self { flush, timed })
    }

    /// How long it takes. While the GPU is busy with overwriting, the host hands over the rest, so that its launches follow
    /// each other at once.
    fn time(&self, device: &dyn Device) -> Result<Duration> {
        let stream = device.main_stream();
        self.flush.iter().try_for_each(|launch| device.launch(stream, launch))?;
        let start = device.record(stream)?;
        self.timed.iter().try_for_each(|launch| device.launch(stream, launch))?;
        let end = device.record(stream)?;
        device.synchronize()?;
        device.elapsed(start, end)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A tape of two nodes: one overwrites `flushed` bytes, the other does the work of `node` on values of its own.
fn alone(tape: &Tape, node: &Node, flushed: usize) -> Tape {
    let mut alone = Tape::with_storage(tape.float(), tape.storage());
    let filler = alone.fill([(flushed / tape.float().size()).max(1)], 0.0);
    alone.keep(filler);
    // An input that is read twice stays one.
    let mut copies = BTreeMap::new();
    let mut copy = |id: &super::ValueId| {
        let value = tape.value(*id).clone();
        let home = if value.home == Home::Gpu { Home::Gpu } else { Home::Arena };
        *copies.entry(*id).or_insert_with(|| alone.push_value(value.name, value.dtype, value.shape, home))
    };
    let inputs = node.inputs.iter().map(&mut copy).collect();
    let outputs: Vec<_> = node.outputs.iter().map(&mut copy).collect();
    outputs.iter().for_each(|output| alone.keep(*output));
    alone.nodes.push(Node { op: node.op.clone(), inputs, outputs, lane: 0 });
    alone
}

#[cfg(test)]
mod tests;
