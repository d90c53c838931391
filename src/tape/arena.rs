//! Where the values of a step live that die with it: one block of the host's memory or of a GPU's.

use super::memory::Memory;
use crate::error::Result;
use crate::gpu::{Buffer, Processor};

/// The memory that plans share, one after the other.
#[derive(Debug)]
pub enum Arena {
    /// On the host.
    Host(Memory),
    /// On a GPU.
    Gpu(Buffer),
}

impl Arena {
    /// `bytes` bytes on the host.
    pub fn new(bytes: usize) -> Self {
        Self::Host(Memory::new(bytes))
    }

    /// `bytes` bytes where `processor` computes.
    ///
    /// # Errors
    /// If the GPU has not so much memory.
    pub fn on(processor: &Processor, bytes: usize) -> Result<Self> {
        Ok(match processor {
            Processor::Cpu => Self::new(bytes),
            Processor::Gpu(device, _) => Self::Gpu(Buffer::new(device, bytes, "the arena")?),
        })
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Host(memory) => memory.bytes(),
            Self::Gpu(buffer) => buffer.bytes(),
        }
    }

    /// The host's block.
    ///
    /// # Panics
    /// If it is a GPU's: a fault of the caller.
    pub(super) fn host(&self) -> &Memory {
        match self {
            Self::Host(memory) => memory,
            Self::Gpu(_) => panic!("a plan for the CPU was given an arena on a GPU"),
        }
    }

    /// The GPU's block.
    ///
    /// # Panics
    /// If it is the host's: a fault of the caller.
    pub(super) fn gpu(&self) -> &Buffer {
        match self {
            Self::Host(_) => panic!("a plan for a GPU was given an arena on the host"),
            Self::Gpu(buffer) => buffer,
        }
    }
}
