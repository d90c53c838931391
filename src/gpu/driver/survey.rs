//! Which GPUs there are. A machine without a driver is found out before the first call into it: cudarc panics there.

use std::sync::OnceLock;

use cudarc::driver::{result, sys};

use super::fault::{self, Explain};
use crate::error::{Error, Result};
use crate::gpu::Limits;

/// A GPU as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number among those the driver shows: `cuda:0`.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of shared memory that a block may ask for, static and dynamic together.
    pub shared_per_block: u32,
}

/// The driver and its GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The latest CUDA version that the driver is for.
    pub version: (u32, u32),
    /// The GPUs; at least one.
    pub gpus: Vec<Gpu>,
}

/// The oldest driver whose functions are used: those of CUDA 12.0.
const OLDEST: (u32, u32) = (12, 0);

/// Whether a driver library can be opened. Its answer does not change while the process runs.
fn present() -> bool {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    // SAFETY: opens libcuda if it is there and closes it again; its initialisers have no preconditions.
    *PRESENT.get_or_init(|| unsafe { sys::is_culib_present() })
}

/// Asks the driver what is there.
///
/// # Errors
/// There is no driver, it does not start or is too old, or it shows no GPU.
pub fn survey() -> Result<Survey> {
    if !present() {
        return Err(fault::no_driver());
    }
    let driver = "NVIDIA's driver";
    let mut version = 0;
    // SAFETY: writes one int; allowed before cuInit.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .explain(driver, || "asking for its version".to_string())?;
    // 12080 is 12.8.
    let version = (version as u32 / 1000, version as u32 % 1000 / 10);
    if version < OLDEST {
        return Err(fault::driver_too_old(version, OLDEST));
    }
    result::init().map_err(|error| fault::no_start(fault::code(error)))?;
    let count = result::device::get_count().explain(driver, || "counting GPUs".to_string())?;
    if count < 1 {
        return Err(fault::no_start(fault::NO_DEVICE));
    }
    let gpus = (0..count as usize).map(describe).collect::<Result<_>>()?;
    Ok(Survey { version, gpus })
}

impl Survey {
    /// The GPU `ordinal`.
    ///
    /// # Errors
    /// There is none of this number, or it is too old.
    pub fn gpu(&self, ordinal: usize) -> Result<&Gpu> {
        let gpu = self.gpus.get(ordinal).ok_or_else(|| {
            let list: Vec<String> =
                self.gpus.iter().map(|gpu| format!("cuda:{} ({})", gpu.ordinal, gpu.name)).collect();
            Error::request(format!("there is no GPU `cuda:{ordinal}`")).help(format!("there is {}", list.join(", ")))
        })?;
        match gpu.capability < crate::gpu::nvrtc::target::LEAST {
            true => Err(fault::gpu_too_old(&gpu.name, gpu.capability, crate::gpu::nvrtc::target::LEAST)),
            false => Ok(gpu),
        }
    }
}

/// What the hardware could do at best. Memory moves two words per cycle of its clock on every kind of memory as the driver
/// tells that clock.
///
/// # Errors
/// If the driver does not answer.
pub(super) fn limits(gpu: &Gpu, device: sys::CUdevice) -> Result<Limits> {
    use sys::CUdevice_attribute as Attribute;
    let attribute = |which: Attribute| {
        // SAFETY: the device comes from the driver.
        let value = unsafe { result::device::get_attribute(device, which) };
        value.explain(&gpu.name, || "asking for its clocks".to_string()).map(f64::from)
    };
    // Both clocks are told in kHz, the width in bits.
    let clock = 1e3 * attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?;
    let memory = 1e3 * attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?;
    let width = attribute(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?;
    let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32;
    Ok(Limits { multiprocessors, capability: gpu.capability, clock, bandwidth: 2.0 * memory * width / 8.0 })
}

fn describe(ordinal: usize) -> Result<Gpu> {
    use sys::CUdevice_attribute as Attribute;
    let gpu = format!("GPU {ordinal}");
    let doing = || "asking what it is".to_string();
    let device = result::device::get(ordinal as i32).explain(&gpu, doing)?;
    let attribute = |which: Attribute| {
        // SAFETY: the device comes from the driver.
        unsafe { result::device::get_attribute(device, which) }.explain(&gpu, doing).map(|value| value as u32)
    };
    Ok(Gpu {
        ordinal,
        name: result::device::get_name(device).explain(&gpu, doing)?,
        capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        // SAFETY: as above.
        memory: unsafe { result::device::total_mem(device) }.explain(&gpu, doing)? as u64,
        shared_per_block: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
    })
}
