//! The simulator: the PTX that ships, run on the CPU by `ptxsim` behind the same trait as a GPU.
//!
//! Launches run one after the other, whatever their streams: an order that every GPU may choose as well. A captured graph
//! is replayed as it was recorded, or with a seed in any order that its dependencies allow; with checks for races no two
//! launches that may run at once may touch the same bytes, if one of them writes.

mod calls;
mod capture;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ptxsim::{Checks, Counters, GlobalMemory, Options, Program};

pub use self::calls::Calls;
use self::capture::{Capture, Recorded};
use super::device::{Device, EventId, GraphId, Launch, MemoryInfo, StreamId};
use super::nvrtc;
use crate::error::{Error, Result};

/// How strictly the simulator looks, in which order it works, and what it pretends.
#[derive(Clone, Debug, Default)]
pub struct SimOptions {
    /// What is checked besides bounds. With `races` also that the launches of a graph do not get into each other's way.
    pub checks: Checks,
    /// Shuffles the order of blocks and warps, and that of launches in a graph as far as nothing orders them.
    pub seed: Option<u64>,
    /// Most warp instructions of a launch; more is an endless loop.
    pub budget: Option<u64>,
    /// Whether to count what a profiler counts.
    pub counters: bool,
    /// Bytes of memory that the device has; otherwise what the machine can spare.
    pub memory: Option<u64>,
    /// Launches after which the device is lost.
    pub lost_after: Option<u64>,
}

impl SimOptions {
    /// All checks, and an order by seed.
    pub fn strict(seed: Option<u64>) -> Self {
        Self { checks: Checks::all(), seed, ..Self::default() }
    }

    /// For whole runs: bounds and what was never written are checked; races and the like are with `KD_SIM_CHECKS=all`.
    /// For tests of what goes wrong, `KD_SIM_MEMORY` is how many bytes the device has, and `KD_SIM_LOST_AFTER` after
    /// how many launches it is lost.
    ///
    /// # Errors
    /// If one of them is not what it should be.
    pub fn from_environment() -> Result<Self> {
        let number = |name: &str| match std::env::var(name) {
            Err(_) => Ok(None),
            Ok(text) => match text.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Error::request(format!("{name} is {text:?}, expected a number"))),
            },
        };
        let checks = match std::env::var("KD_SIM_CHECKS").as_deref() {
            Err(_) | Ok("") => Checks { registers: false, ..Checks::default() },
            Ok("all") => Checks::all(),
            Ok(other) => return Err(Error::request(format!("KD_SIM_CHECKS is {other:?}, expected \"all\""))),
        };
        let (memory, lost_after) = (number("KD_SIM_MEMORY")?, number("KD_SIM_LOST_AFTER")?);
        Ok(Self { checks, memory, lost_after, ..Self::default() })
    }
}

/// A simulated GPU.
#[derive(Debug)]
pub struct Sim {
    memory: GlobalMemory,
    options: SimOptions,
    /// Kernels that are run instead of the binary's own: mutants.
    instead: HashMap<String, Arc<Program>>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    capture: Option<Capture>,
    graphs: HashMap<u32, Arc<Recorded>>,
    next: u32,
    launched: u64,
    /// Instructions of warps so far.
    instructions: u64,
    events: HashMap<u32, Event>,
    /// Whether all events have happened: the next one makes the others forgotten.
    happened: bool,
    allocated: HashMap<u64, u64>,
    calls: Calls,
    counters: Vec<(String, Counters)>,
}

/// What an event stands for.
#[derive(Debug)]
enum Event {
    /// Work that was done at once, when so many instructions had run.
    Happened(u64),
    /// Launches of the capture that is under way.
    Captured(Vec<usize>),
    /// Launches of a capture that has ended.
    Spent,
}

impl Sim {
    /// A simulated GPU with empty memory.
    pub fn new(options: SimOptions) -> Self {
        Self::with_kernels(options, HashMap::new())
    }

    /// As [`Sim::new`], with other code for some kernels.
    pub fn with_kernels(options: SimOptions, instead: HashMap<String, Arc<Program>>) -> Self {
        Self { memory: GlobalMemory::new(), options, instead, inside: Mutex::default() }
    }

    /// What was counted since the last call: one kernel's name and counters for each launch.
    pub fn take_counters(&self) -> Vec<(String, Counters)> {
        std::mem::take(&mut self.inside().counters)
    }

    /// How often each of its functions was called.
    pub fn calls(&self) -> Calls {
        self.inside().calls
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // What is behind the lock is whole at every point at which a panic could happen.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails once the device is lost.
    fn alive(&self) -> Result<()> {
        let lost = self.options.lost_after.is_some_and(|after| self.inside().launched >= after);
        if !lost {
            return Ok(());
        }
        Err(Error::failed("the device is lost: sim was told to end here (KD_SIM_LOST_AFTER)")
            .help("what was saved is whole: `run --resume` goes on from the last checkpoint"))
    }

    /// Counts a call that a capture does not allow, and fails if one is under way or the device is lost.
    fn count(&self, what: &str, which: impl Fn(&mut Calls) -> &mut u64) -> Result<()> {
        self.alive()?;
        let mut inside = self.inside();
        if inside.capture.is_some() {
            return Err(Error::failed(format!("sim: {what} while a graph is being recorded")));
        }
        *which(&mut inside.calls) += 1;
        Ok(())
    }

    fn run(&self, launch: &Launch) -> Result<()> {
        self.alive()?;
        self.inside().launched += 1;
        let program = match self.instead.get(&launch.kernel) {
            Some(program) => program.clone(),
            None => program_of(&launch.kernel)?,
        };
        let kernel = program.kernel(&launch.kernel).map_err(failed)?;
        for (address, bytes) in &launch.undefined {
            self.memory.forget(*address, *bytes as u64).map_err(failed)?;
        }
        let views = launch.views.iter().map(|view| ptxsim::View {
            address: view.address,
            bytes: view.bytes as u64,
            writable: view.writable,
            label: view.label.clone(),
        });
        let request = ptxsim::Launch {
            grid: launch.grid,
            block: launch.block,
            dynamic_shared: launch.shared,
            parameters: launch.parameters.clone(),
            views: views.collect(),
        };
        let options = Options {
            checks: self.options.checks,
            seed: self.options.seed,
            budget: self.options.budget,
            threads: None,
            counters: self.options.counters,
        };
        let counters = kernel.launch(&self.memory, &request, &options).map_err(failed)?;
        self.inside().instructions += counters.warp_instructions;
        if self.options.counters {
            self.inside().counters.push((launch.kernel.clone(), counters));
        }
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::failed(error.to_string())
}

/// The decoded file of a kernel; every file is decoded once per process.
fn program_of(kernel: &str) -> Result<Arc<Program>> {
    static PROGRAMS: LazyLock<Mutex<HashMap<&'static str, Arc<Program>>>> = LazyLock::new(Mutex::default);
    let file = nvrtc::file_of(kernel)?;
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = programs.get(file.name.as_str()) {
        return Ok(program.clone());
    }
    let module = ptxsim::ast::Module::parse(&file.text).map_err(failed)?;
    let program = Arc::new(Program::decode(&module).map_err(failed)?);
    programs.insert(&file.name, program.clone());
    Ok(program)
}

impl Device for Sim {
    fn name(&self) -> &str {
        "sim"
    }

    fn memory(&self) -> Result<MemoryInfo> {
        let total = self.options.memory.or_else(crate::host::available_bytes).unwrap_or(u64::MAX);
        let taken: u64 = self.inside().allocated.values().sum();
        Ok(MemoryInfo { free: total.saturating_sub(taken), total })
    }

    fn allocate(&self, bytes: usize, label: &str) -> Result<u64> {
        self.count("memory is allocated", |calls| &mut calls.allocations)?;
        let free = self.memory()?.free;
        if bytes as u64 > free {
            return Err(Error::failed(format!("sim: {label} needs {bytes} bytes, but only {free} are free"))
                .help("a smaller batch needs less"));
        }
        let address = self.memory.allocate(bytes as u64, label).map_err(failed)?;
        self.inside().allocated.insert(address, bytes as u64);
        Ok(address)
    }

    fn free(&self, address: u64) {
        let mut inside = self.inside();
        inside.calls.frees += 1;
        inside.allocated.remove(&address);
        drop(inside);
        // Only addresses that were allocated come here.
        let _ = self.memory.free(address);
    }

    fn upload(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.count("bytes are uploaded", |calls| &mut calls.uploads)?;
        self.memory.write(address, bytes).map_err(failed)
    }

    fn download(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        self.count("bytes are downloaded", |calls| &mut calls.downloads)?;
        self.memory.read(address, bytes).map_err(failed)
    }

    fn fill(&self, address: u64, bytes: usize, value: u8) -> Result<()> {
        self.count("memory is filled", |calls| &mut calls.fills)?;
        self.memory.fill(address, value, bytes as u64).map_err(failed)
    }

    fn stream(&self, index: usize) -> Result<StreamId> {
        self.alive()?;
        Ok(StreamId(index as u32 + 1))
    }

    fn launch(&self, stream: StreamId, launch: &Launch) -> Result<()> {
        let mut inside = self.inside();
        if let Some(capture) = inside.capture.as_mut().filter(|capture| capture.has(stream)) {
            capture.launch(stream, launch.clone());
            return Ok(());
        }
        inside.calls.launches += 1;
        drop(inside);
        self.run(launch)
    }

    fn record(&self, stream: StreamId) -> Result<EventId> {
        let mut inside = self.inside();
        if std::mem::take(&mut inside.happened) && inside.capture.is_none() {
            inside.events.clear();
        }
        let event = match inside.capture.as_ref().filter(|capture| capture.has(stream)) {
            Some(capture) => Event::Captured(capture.event(stream)),
            None => Event::Happened(inside.instructions),
        };
        inside.next += 1;
        let id = inside.next;
        inside.events.insert(id, event);
        Ok(EventId(id))
    }

    fn elapsed(&self, from: EventId, to: EventId) -> Result<Duration> {
        let inside = self.inside();
        let at = |event: EventId| match inside.events.get(&event.0) {
            Some(Event::Happened(instructions)) => Ok(*instructions),
            Some(Event::Captured(_) | Event::Spent) => Err(Error::failed("sim: an event of a capture has no time")),
            None => Err(Error::failed(format!("sim: there is no event {}", event.0))),
        };
        Ok(Duration::from_nanos(at(to)?.saturating_sub(at(from)?)))
    }

    fn wait(&self, stream: StreamId, event: EventId) -> Result<()> {
        let mut inside = self.inside();
        let Inside { capture, events, .. } = &mut *inside;
        match (events.get(&event.0), capture) {
            (Some(Event::Captured(ends)), Some(capture)) => {
                capture.wait(stream, ends);
                Ok(())
            }
            (Some(Event::Happened(_)), Some(capture)) if capture.has(stream) => {
                Err(Error::failed("sim: a stream that is captured waits for an event from outside of the capture"))
            }
            (Some(Event::Happened(_)), _) => Ok(()),
            (Some(Event::Captured(_) | Event::Spent), _) => {
                Err(Error::failed("sim: a stream waits for an event of a capture that has ended"))
            }
            (None, _) => Err(Error::failed(format!("sim: there is no event {}", event.0))),
        }
    }

    fn begin_capture(&self, stream: StreamId) -> Result<()> {
        self.alive()?;
        let mut inside = self.inside();
        if inside.capture.is_some() {
            return Err(Error::failed("a graph is being recorded already"));
        }
        inside.capture = Some(Capture::new(stream));
        Ok(())
    }

    fn end_capture(&self, stream: StreamId) -> Result<GraphId> {
        let mut inside = self.inside();
        let capture = inside.capture.take().ok_or_else(|| Error::failed("no graph is being recorded"))?;
        for event in inside.events.values_mut() {
            if matches!(event, Event::Captured(_)) {
                *event = Event::Spent;
            }
        }
        let graph = capture.finish(stream)?;
        if self.options.checks.races {
            graph.check_races()?;
        }
        inside.calls.captures += 1;
        inside.next += 1;
        let id = inside.next;
        inside.graphs.insert(id, Arc::new(graph));
        Ok(GraphId(id))
    }

    fn replay(&self, graph: GraphId, _stream: StreamId) -> Result<()> {
        self.count("a graph is replayed", |calls| &mut calls.replays)?;
        let (graph, replay) = {
            let inside = self.inside();
            (inside.graphs.get(&graph.0).cloned(), inside.calls.replays)
        };
        let graph = graph.ok_or_else(|| Error::failed("a graph is replayed that was released"))?;
        graph.order(self.options.seed, replay).into_iter().try_for_each(|launch| self.run(&graph.launches[launch]))
    }

    fn release(&self, graph: GraphId) {
        self.inside().graphs.remove(&graph.0);
    }

    fn synchronize(&self) -> Result<()> {
        self.inside().happened = true;
        self.count("the host waits", |calls| &mut calls.synchronisations)
    }
}
