//! The simulator: the PTX that ships, run on the CPU by `ptxsim` behind the same trait as a GPU.
//!
//! Launches run one after the other, whatever their streams: an order that every GPU may choose as well.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ptxsim::{Checks, Counters, GlobalMemory, Options, Program};

use super::device::{Device, EventId, GraphId, Launch, MemoryInfo, StreamId};
use super::nvrtc;
use crate::error::{Error, Result};

/// How strictly the simulator looks, in which order it works, and what it pretends.
#[derive(Clone, Debug, Default)]
pub struct SimOptions {
    /// What is checked besides bounds.
    pub checks: Checks,
    /// Shuffles the order of blocks and warps.
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
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    capture: Option<Vec<Launch>>,
    graphs: HashMap<u32, Arc<Vec<Launch>>>,
    next: u32,
    launched: u64,
    /// Instructions of warps so far, and at each event.
    instructions: u64,
    events: HashMap<u32, u64>,
    /// Whether all events have happened: the next one makes the others forgotten.
    happened: bool,
    allocated: HashMap<u64, u64>,
    counters: Vec<(String, Counters)>,
}

impl Sim {
    /// A simulated GPU with empty memory.
    pub fn new(options: SimOptions) -> Self {
        Self::with_kernels(options, HashMap::new())
    }

    /// As [`Sim::new`], with other code for some kernels.
    pub fn with_kernels(options: SimOptions, instead: HashMap<String, Arc<Program>>) -> Self {
        Self { memory: GlobalMemory::new(), options, instead, recorded: Mutex::default() }
    }

    /// What was counted since the last call: one kernel's name and counters for each launch.
    pub fn take_counters(&self) -> Vec<(String, Counters)> {
        std::mem::take(&mut self.recorded().counters)
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        // What is behind the lock is whole at every point at which a panic could happen.
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails once the device is lost.
    fn alive(&self) -> Result<()> {
        let lost = self.options.lost_after.is_some_and(|after| self.recorded().launched >= after);
        if !lost {
            return Ok(());
        }
        Err(Error::failed("the device is lost: sim was told to end here (KD_SIM_LOST_AFTER)")
            .help("what was saved is whole: `run --resume` goes on from the last checkpoint"))
    }

    fn run(&self, launch: &Launch) -> Result<()> {
        self.alive()?;
        self.recorded().launched += 1;
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
        self.recorded().instructions += counters.warp_instructions;
        if self.options.counters {
            self.recorded().counters.push((launch.kernel.clone(), counters));
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
        let taken: u64 = self.recorded().allocated.values().sum();
        Ok(MemoryInfo { free: total.saturating_sub(taken), total })
    }

    fn allocate(&self, bytes: usize, label: &str) -> Result<u64> {
        self.alive()?;
        let free = self.memory()?.free;
        if bytes as u64 > free {
            return Err(Error::failed(format!("sim: {label} needs {bytes} bytes, but only {free} are free"))
                .help("a smaller batch needs less"));
        }
        let address = self.memory.allocate(bytes as u64, label).map_err(failed)?;
        self.recorded().allocated.insert(address, bytes as u64);
        Ok(address)
    }

    fn free(&self, address: u64) {
        self.recorded().allocated.remove(&address);
        // Only addresses that were allocated come here.
        let _ = self.memory.free(address);
    }

    fn upload(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.alive()?;
        self.memory.write(address, bytes).map_err(failed)
    }

    fn download(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        self.alive()?;
        self.memory.read(address, bytes).map_err(failed)
    }

    fn fill(&self, address: u64, bytes: usize, value: u8) -> Result<()> {
        self.memory.fill(address, value, bytes as u64).map_err(failed)
    }

    fn stream(&self) -> Result<StreamId> {
        let mut recorded = self.recorded();
        recorded.next += 1;
        Ok(StreamId(recorded.next))
    }

    fn launch(&self, _stream: StreamId, launch: &Launch) -> Result<()> {
        if let Some(capture) = &mut self.recorded().capture {
            capture.push(launch.clone());
            return Ok(());
        }
        self.run(launch)
    }

    fn record(&self, _stream: StreamId) -> Result<EventId> {
        let mut recorded = self.recorded();
        recorded.next += 1;
        if std::mem::take(&mut recorded.happened) {
            recorded.events.clear();
        }
        let (event, instructions) = (recorded.next, recorded.instructions);
        recorded.events.insert(event, instructions);
        Ok(EventId(event))
    }

    fn elapsed(&self, from: EventId, to: EventId) -> Result<Duration> {
        let recorded = self.recorded();
        let at = |event: EventId| {
            let found = recorded.events.get(&event.0).copied();
            found.ok_or_else(|| Error::failed(format!("sim: there is no event {}", event.0)))
        };
        Ok(Duration::from_nanos(at(to)?.saturating_sub(at(from)?)))
    }

    fn wait(&self, _stream: StreamId, _event: EventId) -> Result<()> {
        Ok(())
    }

    fn begin_capture(&self, _stream: StreamId) -> Result<()> {
        match self.recorded().capture.replace(Vec::new()) {
            None => Ok(()),
            Some(_) => Err(Error::failed("a graph is being recorded already")),
        }
    }

    fn end_capture(&self, _stream: StreamId) -> Result<GraphId> {
        let mut recorded = self.recorded();
        let launches = recorded.capture.take().ok_or_else(|| Error::failed("no graph is being recorded"))?;
        recorded.next += 1;
        let id = recorded.next;
        recorded.graphs.insert(id, Arc::new(launches));
        Ok(GraphId(id))
    }

    fn replay(&self, graph: GraphId, _stream: StreamId) -> Result<()> {
        let launches = self.recorded().graphs.get(&graph.0).cloned();
        let launches = launches.ok_or_else(|| Error::failed("a graph is replayed that was released"))?;
        launches.iter().try_for_each(|launch| self.run(launch))
    }

    fn release(&self, graph: GraphId) {
        self.recorded().graphs.remove(&graph.0);
    }

    fn synchronize(&self) -> Result<()> {
        self.recorded().happened = true;
        self.alive()
    }
}
