//! Between two logging points a step on a GPU is one graph: nothing is sent, fetched, waited for or allocated. Counted at
//! the device of whole runs on the simulator.

#[allow(dead_code)] // It is made for the tests of whole runs.
#[path = "runs/school.rs"]
mod school;

use std::ops::Sub;
use std::sync::{Arc, Mutex};

use kd_engine::config::{Config, Overrides};
use kd_engine::error::Result;
use kd_engine::gpu::sim::{Sim, SimOptions};
use kd_engine::gpu::{Device, EventId, GraphId, Launch, MemoryInfo, Processor, StreamId};
use kd_engine::train::event::Event;
use kd_engine::train::run::Run;
use kd_engine::train::stop::Stop;
use school::School;

/// How often a device was asked for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Calls {
    allocations: i64,
    frees: i64,
    uploads: i64,
    downloads: i64,
    fills: i64,
    launches: i64,
    replays: i64,
    synchronisations: i64,
}

/// One replay and nothing else.
const STEP: Calls = Calls {
    allocations: 0,
    frees: 0,
    uploads: 0,
    downloads: 0,
    fills: 0,
    launches: 0,
    replays: 1,
    synchronisations: 0,
};

impl Sub for Calls {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            allocations: self.allocations - before.allocations,
            frees: self.frees - before.frees,
            uploads: self.uploads - before.uploads,
            downloads: self.downloads - before.downloads,
            fills: self.fills - before.fills,
            launches: self.launches - before.launches,
            replays: self.replays - before.replays,
            synchronisations: self.synchronisations - before.synchronisations,
        }
    }
}

/// The simulator, counting what it is asked for.
#[derive(Debug)]
struct Counting {
    sim: Sim,
    calls: Mutex<Calls>,
}

impl Counting {
    fn new() -> Arc<Self> {
        Arc::new(Self { sim: Sim::new(SimOptions::default()), calls: Mutex::default() })
    }

    fn calls(&self) -> Calls {
        *self.calls.lock().unwrap()
    }

    fn count(&self, counter: impl Fn(&mut Calls) -> &mut i64) {
        *counter(&mut self.calls.lock().unwrap()) += 1;
    }
}

impl Device for Counting {
    fn name(&self) -> &str {
        self.sim.name()
    }

    fn memory(&self) -> Result<MemoryInfo> {
        self.sim.memory()
    }

    fn allocate(&self, bytes: usize, label: &str) -> Result<u64> {
        self.count(|calls| &mut calls.allocations);
        self.sim.allocate(bytes, label)
    }

    fn free(&self, address: u64) {
        self.count(|calls| &mut calls.frees);
        self.sim.free(address);
    }

    fn upload(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.count(|calls| &mut calls.uploads);
        self.sim.upload(address, bytes)
    }

    fn download(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        self.count(|calls| &mut calls.downloads);
        self.sim.download(address, bytes)
    }

    fn fill(&self, address: u64, bytes: usize, value: u8) -> Result<()> {
        self.count(|calls| &mut calls.fills);
        self.sim.fill(address, bytes, value)
    }

    fn stream(&self, index: usize) -> Result<StreamId> {
        self.sim.stream(index)
    }

    fn launch(&self, stream: StreamId, launch: &Launch) -> Result<()> {
        self.count(|calls| &mut calls.launches);
        self.sim.launch(stream, launch)
    }

    fn record(&self, stream: StreamId) -> Result<EventId> {
        self.sim.record(stream)
    }

    fn wait(&self, stream: StreamId, event: EventId) -> Result<()> {
        self.sim.wait(stream, event)
    }

    fn begin_capture(&self, stream: StreamId) -> Result<()> {
        self.sim.begin_capture(stream)
    }

    fn end_capture(&self, stream: StreamId) -> Result<GraphId> {
        self.sim.end_capture(stream)
    }

    fn replay(&self, graph: GraphId, stream: StreamId) -> Result<()> {
        self.count(|calls| &mut calls.replays);
        self.sim.replay(graph, stream)
    }

    fn release(&self, graph: GraphId) {
        self.sim.release(graph);
    }

    fn synchronize(&self) -> Result<()> {
        self.count(|calls| &mut calls.synchronisations);
        self.sim.synchronize()
    }
}

/// Steps between two logging points.
const LOGGED: usize = 16;
/// 128 training images, 16 of them held out, in batches of 4.
const STEPS: usize = 28;

#[test]
fn steps_between_logging_points_are_one_replay_each_and_nothing_else() {
    let school = School::new();
    let model = |name: &str| format!("'{}:{name}'", school.path("models.toml").display());
    let (narrow, wide) = (model("narrow"), model("wide"));
    let sets = [
        ("classroom", format!("{{ student = {narrow}, teachers = [{wide}], peers = [{narrow}] }}")),
        ("train.batch_size", "4".to_string()),
        ("pretrain.batch_size", "4".to_string()),
        ("output.checkpoints", "{ every_epochs = 1, every_steps = 0 }".to_string()),
    ];
    let sets = sets.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    let overrides = Overrides { sets, epochs: Some(2), seeds: Some(vec![1, 2]) };
    let config = Config::load(school.path("school.toml").to_str(), &overrides).unwrap();
    let device = Counting::new();
    let processor = Processor::Gpu(device.clone());
    let run = Run::prepare(config, &processor).unwrap();
    // Calls up to each step's end, with the learners of its stage.
    let mut seen: Vec<(usize, usize, Calls)> = Vec::new();
    let mut learners = 0;
    // Batches of the validation and of the test split.
    let (validation, test) = (16 / 4, 40 / 4);
    let mut observe = |event: &Event| match event {
        Event::Stage { learners: all, seeds, .. } => learners = all.len() * seeds.len(),
        Event::Step { done } => seen.push((learners, *done, device.calls())),
        _ => {}
    };
    run.start(Some(&school.path("run")), &Stop::default(), &mut observe).unwrap();
    assert_eq!(seen.len(), 2 * 2 * STEPS, "two stages of two epochs: both seeds learn in one");
    for pair in seen.windows(2) {
        let [(_, _, before), (learners, done, after)] = pair else { unreachable!("windows of two") };
        let calls = *after - *before;
        let step = (done - 1) % STEPS;
        if step == 0 {
            // The first step of an epoch finds its tables uploaded, the first of a stage everything else.
            assert!(calls.uploads > 0, "step {done}: {calls:?}");
            // What was evaluated before it is a replay per batch; the test split only when validation was at its best.
            if *done > STEPS {
                let evaluated = calls.replays - 1;
                assert!([validation, validation + test].contains(&evaluated), "step {done}: {calls:?}");
            }
        } else if (step + 1).is_multiple_of(LOGGED) || step + 1 == STEPS {
            // Whether every learner still computes with finite numbers.
            assert_eq!(calls, Calls { downloads: *learners as i64, ..STEP }, "step {done}");
        } else if step.is_multiple_of(LOGGED) {
            // Every learner's running accuracy was fetched after the step before.
            assert_eq!(calls, Calls { downloads: *learners as i64, ..STEP }, "step {done}");
        } else {
            assert_eq!(calls, STEP, "step {done}");
        }
    }
}
