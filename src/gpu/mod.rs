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
pub mod tuning;

use std::fmt;
use std::sync::Arc;

pub use device::{Buffer, Device, EventId, GraphId, Launch, Limits, MemoryInfo, StreamId, View};
pub use graph::{Graph, Task};
use tuning::{Choices, Tuning};

/// Where plans run.
#[derive(Clone, Debug, Default)]
pub enum Processor {
    /// The processor of this machine.
    #[default]
    Cpu,
    /// A GPU or its simulator, and how its kernels are chosen.
    Gpu(Arc<dyn Device>, Tuning),
}

impl Processor {
    /// `device`, with kernels that are chosen by rules of thumb.
    pub fn of(device: Arc<dyn Device>) -> Self {
        Self::Gpu(device, Tuning::default())
    }

    /// This processor for a piece of work of its own that has taken `choices` before, if any: [`Tuning::taken_up`].
    pub fn taken_up(&self, choices: Option<Choices>) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Gpu(device, tuning) => Self::Gpu(device.clone(), tuning.taken_up(choices)),
        }
    }

    /// This processor where nothing is measured: [`Tuning::as_known`].
    pub fn as_known(&self) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Gpu(device, tuning) => Self::Gpu(device.clone(), tuning.as_known()),
        }
    }

    /// What plans for it have chosen so far.
    pub fn choices(&self) -> Choices {
        match self {
            Self::Cpu => Choices::default(),
            Self::Gpu(_, tuning) => tuning.made(),
        }
    }

    /// The GPU, if it is one.
    pub fn gpu(&self) -> Option<&Arc<dyn Device>> {
        match self {
            Self::Cpu => None,
            Self::Gpu(device, _) => Some(device),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(device, _) => f.write_str(device.name()),
        }
    }
}
