//! What a plan needs of a GPU: memory, copies, launches, streams, events, graphs.
//!
//! The words are the CUDA driver API's (CUDA Driver API manual, sections 6.13 memory, 6.18 streams, 6.19 events, 6.21
//! execution, 6.23 graphs). Work on one stream runs in the order it was given; copies and fills go to the first stream
//! and are complete when they return.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;

/// A stream of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u32);

/// A point in a stream's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId(pub u32);

/// Recorded launches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GraphId(pub u32);

/// Bytes of a device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Not in use.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// What the hardware could do at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// Cycles per second, boosted.
    pub clock: f64,
    /// Bytes per second between chip and memory.
    pub bandwidth: f64,
}

/// Bytes that a launch may touch: every access of its kernel lies inside of a view. The simulator holds it to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// First byte.
    pub address: u64,
    /// How many.
    pub bytes: usize,
    /// Whether the kernel may write.
    pub writable: bool,
    /// Whose bytes these are, for reports.
    pub label: String,
}

/// A kernel with everything it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: String,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// The parameters' bytes, laid out as C does.
    pub parameters: Vec<u8>,
    /// What it may touch.
    pub views: Vec<View>,
    /// Ranges (address, bytes) whose content is undefined before this launch: nobody may count on what was there.
    pub undefined: Vec<(u64, usize)>,
}

/// A GPU.
pub trait Device: fmt::Debug + Send + Sync {
    /// What it is, for people and for `summary.json`: `sim`, or the GPU's name.
    fn name(&self) -> &str;

    /// What the hardware could do at best; `None` where there is none, so that no time means anything.
    ///
    /// # Errors
    /// If the device is lost.
    fn limits(&self) -> Result<Option<Limits>> {
        Ok(None)
    }

    /// How much memory there is.
    ///
    /// # Errors
    /// If the device is lost.
    fn memory(&self) -> Result<MemoryInfo>;

    /// Allocates `bytes` bytes at a multiple of 256; their content is undefined. Prefer [`Buffer::new`], which frees them.
    ///
    /// # Errors
    /// If there is not so much memory.
    fn allocate(&self, bytes: usize, label: &str) -> Result<u64>;

    /// Gives memory back. What could go wrong has gone wrong before.
    fn free(&self, address: u64);

    /// Copies bytes to the device.
    ///
    /// # Errors
    /// If the device is lost, or work before this failed.
    fn upload(&self, address: u64, bytes: &[u8]) -> Result<()>;

    /// Copies bytes from the device, after all work that was given to the first stream before.
    ///
    /// # Errors
    /// If the device is lost, or work before this failed.
    fn download(&self, address: u64, bytes: &mut [u8]) -> Result<()>;

    /// Sets `bytes` bytes to `value`.
    ///
    /// # Errors
    /// If the device is lost.
    fn fill(&self, address: u64, bytes: usize, value: u8) -> Result<()>;

    /// The first stream.
    fn main_stream(&self) -> StreamId {
        StreamId(0)
    }

    /// Stream number `index` beside the first one. It is made when it is asked for the first time, and is the same for
    /// everybody.
    ///
    /// # Errors
    /// If the device is lost.
    fn stream(&self, index: usize) -> Result<StreamId>;

    /// Launches a kernel, or records it while the stream is being captured.
    ///
    /// # Errors
    /// If there is no such kernel, the launch is not valid, or (on the simulator) the kernel does something wrong.
    fn launch(&self, stream: StreamId, launch: &Launch) -> Result<()>;

    /// Marks the present end of a stream's work.
    ///
    /// # Errors
    /// If the device is lost.
    fn record(&self, stream: StreamId) -> Result<EventId>;

    /// The time between two events of one stream that have happened (`cuEventElapsedTime`, 6.19: in steps of about half a
    /// microsecond). Events are known until the first one that is recorded after a [`Device::synchronize`]. The
    /// simulator has no time: it takes one nanosecond for every instruction of a warp.
    ///
    /// # Errors
    /// If one of them has not happened, or was recorded while a graph was.
    fn elapsed(&self, from: EventId, to: EventId) -> Result<Duration>;

    /// Lets what follows on `stream` wait for `event`.
    ///
    /// # Errors
    /// If the device is lost.
    fn wait(&self, stream: StreamId, event: EventId) -> Result<()>;

    /// Records the work that is given to `stream`, and to streams that wait for its events, instead of doing it. Prefer
    /// [`super::Graph`].
    ///
    /// # Errors
    /// If a capture is under way.
    fn begin_capture(&self, stream: StreamId) -> Result<()>;

    /// Ends the recording that began on `stream`, which has to wait for the last work of every stream that took part
    /// (CUDA C++ Programming Guide, "Cross-stream Dependencies and Events").
    ///
    /// # Errors
    /// If nothing is being recorded, or a stream was not waited for.
    fn end_capture(&self, stream: StreamId) -> Result<GraphId>;

    /// Does the recorded work.
    ///
    /// # Errors
    /// As [`Device::launch`].
    fn replay(&self, graph: GraphId, stream: StreamId) -> Result<()>;

    /// Forgets a graph.
    fn release(&self, graph: GraphId);

    /// Waits until all work is done.
    ///
    /// # Errors
    /// If some of it failed or the device is lost.
    fn synchronize(&self) -> Result<()>;
}

/// Memory of a device that is given back when nobody holds it any more.
#[derive(Debug)]
pub struct Buffer {
    device: Arc<dyn Device>,
    address: u64,
    bytes: usize,
}

impl Buffer {
    /// Allocates `bytes` bytes of undefined content; at least one, so that every buffer has an address of its own.
    ///
    /// # Errors
    /// If there is not so much memory.
    pub fn new(device: &Arc<dyn Device>, bytes: usize, label: &str) -> Result<Self> {
        let address = device.allocate(bytes.max(1), label)?;
        Ok(Self { device: device.clone(), address, bytes })
    }

    /// Its first byte on the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whose it is.
    pub fn device(&self) -> &Arc<dyn Device> {
        &self.device
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.device.free(self.address);
    }
}
