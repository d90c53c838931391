//! From what a user asks for to a processor.

use std::sync::Arc;

use super::Processor;
use super::driver::Driver;
use super::sim::{Sim, SimOptions};
use crate::config::DeviceRequest;
use crate::error::Result;

impl DeviceRequest {
    /// Opens the device that was asked for. `auto` is the first GPU where it can be used, else the CPU.
    ///
    /// # Errors
    /// Where there is no such device, saying what is missing.
    pub fn open(self) -> Result<Processor> {
        Ok(match self {
            Self::Cpu => Processor::Cpu,
            Self::Auto => match Driver::open(0) {
                Ok(driver) => Processor::Gpu(Arc::new(driver)),
                Err(reason) => {
                    tracing::debug!("no GPU is used: {reason}");
                    Processor::Cpu
                }
            },
            Self::Cuda(ordinal) => Processor::Gpu(Arc::new(Driver::open(ordinal)?)),
            Self::Sim => Processor::Gpu(Arc::new(Sim::new(SimOptions::from_environment()?))),
        })
    }
}
