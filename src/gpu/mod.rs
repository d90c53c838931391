//! GPUs behind one small trait, and what implements it: the simulator, and NVIDIA's driver.
//!
//! ```text
//! operations list launches (tape::Launcher) → a plan binds them to addresses → a device records them as a graph and replays it
//! ```

mod device;
pub mod driver;
mod graph;
pub mod kernels;
pub mod nvrtc;
mod open;
pub mod sim;

use std::fmt;
use std::sync::Arc;

pub use device::{Buffer, Device, EventId, GraphId, Launch, MemoryInfo, StreamId, View};
pub use graph::{Graph, Task};

/// Where plans run.
#[derive(Clone, Debug, Default)]
pub enum Processor {
    /// The processor of this machine.
    #[default]
    Cpu,
    /// A GPU or its simulator.
    Gpu(Arc<dyn Device>),
}

impl Processor {
    /// The GPU, if it is one.
    pub fn gpu(&self) -> Option<&Arc<dyn Device>> {
        match self {
            Self::Cpu => None,
            Self::Gpu(device) => Some(device),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(device) => f.write_str(device.name()),
        }
    }
}
