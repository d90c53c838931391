//! From what a user asks for to a processor.

use std::sync::Arc;

use super::Processor;
use super::driver::Driver;
use super::sim::{Sim, SimOptions};
use super::tuning::Tuning;
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
                Ok(driver) => tuned(driver)?,
                Err(reason) => {
                    tracing::debug!("no GPU is used: {reason}");
                    Processor::Cpu
                }
            },
            Self::Cuda(ordinal) => tuned(Driver::open(ordinal)?)?,
            Self::Sim => Processor::of(Arc::new(Sim::new(SimOptions::from_environment()?))),
        })
    }
}

/// A GPU whose kernels are chosen by measuring, unless the user wants it otherwise.
fn tuned(driver: Driver) -> Result<Processor> {
    let tuning = Tuning::of_gpu(&driver.gpu().name, driver.gpu().capability)?;
    Ok(Processor::Gpu(Arc::new(driver), tuning))
}
