//! From what a user asks for to a processor.

use super::Processor;
use crate::config::DeviceRequest;
use crate::error::{Error, Result};

impl DeviceRequest {
    /// Opens the device that was asked for. `auto` is a GPU where there is one that works, else the CPU.
    ///
    /// # Errors
    /// Where there is no such device, saying what is missing.
    pub fn open(self) -> Result<Processor> {
        match self {
            Self::Auto | Self::Cpu => Ok(Processor::Cpu),
            Self::Cuda(_) | Self::Sim => {
                let name = if self == Self::Sim { "sim" } else { "cuda" };
                Err(Error::request(format!("this kd-engine was built without the device `{name}`"))
                    .help("leave --device out, or --device cpu"))
            }
        }
    }
}
