//! The simulator with made-up times: what a test of measuring takes for a GPU. Tests of whole runs include this file, too.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::gpu::sim::{Sim, SimOptions};
use crate::gpu::{Device, EventId, GraphId, Launch, MemoryInfo, StreamId};

/// A simulator on which a launch takes as long as [`cost`] says.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) sim: Sim,
    /// Launches outside of graphs take time and do nothing.
    is_idle: bool,
    clock: Mutex<Clock>,
}

#[derive(Debug, Default)]
struct Clock {
    now: u64,
    events: HashMap<EventId, u64>,
    is_capturing: bool,
}

/// Nanoseconds of a launch of `kernel` on `grid` blocks: any number, but the same for every launch.
pub(crate) fn cost(kernel: &str, grid: [u32; 3]) -> u64 {
    1000 + u64::from(crc32fast::hash(format!("{kernel}{grid:?}").as_bytes())) % 9000
}

impl Fake {
    /// On a simulator with `options`; with `is_idle` launches outside of graphs take time and do nothing.
    pub(crate) fn new(options: SimOptions, is_idle: bool) -> Self {
        Self { sim: Sim::new(options), is_idle, clock: Mutex::default() }
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device for Fake {
    fn name(&self) -> &str {
        "Fake"
    }

    fn memory(&self) -> Result<MemoryInfo> {
        self.sim.memory()
    }

    fn allocate(&self, bytes: usize, label: &str) -> Result<u64> {
        self.sim.allocate(bytes, label)
    }

    fn free(&self, address: u64) {
        self.sim.free(address);
    }

    fn upload(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.sim.upload(address, bytes)
    }

    fn download(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        self.sim.download(address, bytes)
    }

    fn fill(&self, address: u64, bytes: usize, value: u8) -> Result<()> {
        self.sim.fill(address, bytes, value)
    }

    fn stream(&self, index: usize) -> Result<StreamId> {
        self.sim.stream(index)
    }

    fn launch(&self, stream: StreamId, launch: &Launch) -> Result<()> {
        let mut clock = self.clock();
        clock.now += cost(&launch.kernel, launch.grid);
        if self.is_idle && !clock.is_capturing { Ok(()) } else { self.sim.launch(stream, launch) }
    }

    fn record(&self, stream: StreamId) -> Result<EventId> {
        let event = self.sim.record(stream)?;
        let mut clock = self.clock();
        let now = clock.now;
        clock.events.insert(event, now);
        Ok(event)
    }

    fn wait(&self, stream: StreamId, event: EventId) -> Result<()> {
        self.sim.wait(stream, event)
    }

    fn elapsed(&self, from: EventId, to: EventId) -> Result<Duration> {
        let clock = self.clock();
        Ok(Duration::from_nanos(clock.events[&to] - clock.events[&from]))
    }

    fn begin_capture(&self, stream: StreamId) -> Result<()> {
        self.clock().is_capturing = true;
        self.sim.begin_capture(stream)
    }

    fn end_capture(&self, stream: StreamId) -> Result<GraphId> {
        self.clock().is_capturing = false;
        self.sim.end_capture(stream)
    }

    fn replay(&self, graph: GraphId, stream: StreamId) -> Result<()> {
        self.sim.replay(graph, stream)
    }

    fn release(&self, graph: GraphId) {
        self.sim.release(graph);
    }

    fn synchronize(&self) -> Result<()> {
        self.sim.synchronize()
    }
}
