//! The kernels in a GPU's memory, found by name.
//!
//! All are loaded when the device is opened: loading synchronises, which a capture forbids.

use std::collections::HashMap;
use std::ffi::{CString, c_void};

use cudarc::driver::{DriverError, result, sys};
use rayon::prelude::*;

use super::fault::{self, Explain};
use super::survey::Gpu;
use crate::error::{Error, Result};
use crate::gpu::nvrtc::{self, Image};

/// Loaded modules and their kernels. They belong to the context that was current when they were loaded.
#[derive(Debug, Default)]
pub(super) struct Modules {
    handles: Vec<sys::CUmodule>,
    functions: HashMap<String, Function>,
}

/// A kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) handle: sys::CUfunction,
    /// Bytes of dynamic shared memory that a launch may ask for.
    pub(super) shared_limit: u32,
}

/// Codes with which a driver refuses an image that another may replace: it is for another GPU or a newer driver.
const REFUSED: [u32; 3] = [200, 209, 222];

impl Modules {
    /// Loads every kernel file in the form that suits GPU and driver best. The GPU's context is current.
    ///
    /// # Errors
    /// There are no kernels, the driver is too old for them, or it refuses them.
    pub(super) fn load(gpu: &Gpu, driver: (u32, u32)) -> Result<Self> {
        let files = nvrtc::ptx_files()?;
        // In parallel: a binary without machine code for this GPU may compile it here.
        let images = files.par_iter().map(|file| usable(nvrtc::images(file, gpu.capability)?, driver));
        let images = images.collect::<Result<Vec<_>>>()?;
        // What was loaded before an error is unloaded when this is dropped.
        let mut modules = Self::default();
        for (file, images) in files.iter().zip(images) {
            let module =
                load_first(&images).explain(&gpu.name, || format!("loading the kernels of {}.cu", file.name))?;
            modules.handles.push(module);
            for kernel in &file.kernels {
                let function =
                    find(module, kernel, gpu).explain(&gpu.name, || format!("loading the kernel {kernel}"))?;
                modules.functions.insert(kernel.clone(), function);
            }
        }
        Ok(modules)
    }

    /// A kernel by name.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn function(&self, kernel: &str) -> Result<Function> {
        self.functions.get(kernel).copied().ok_or_else(|| {
            Error::failed(format!("there is no kernel `{kernel}`"))
                .suggest(kernel, self.functions.keys().map(String::as_str))
        })
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        for module in self.handles.drain(..) {
            // SAFETY: loaded once, unloaded once, and no function of it is used any more. A lost device refuses; there
            // is nothing left to do then.
            let _ = unsafe { result::module::unload(module) };
        }
    }
}

/// Those of `images` that a driver for this CUDA version can read, the best first.
///
/// # Errors
/// None: the driver is too old.
pub(super) fn usable(images: Vec<Image>, driver: (u32, u32)) -> Result<Vec<Image>> {
    let least = images.iter().map(Image::needs).min().unwrap_or((0, 0));
    let usable: Vec<Image> = images.into_iter().filter(|image| image.needs() <= driver).collect();
    if usable.is_empty() { Err(fault::driver_too_old(driver, least)) } else { Ok(usable) }
}

fn load_first(images: &[Image]) -> Result<sys::CUmodule, DriverError> {
    let mut refused = DriverError(sys::CUresult::CUDA_ERROR_INVALID_IMAGE);
    for image in images {
        match load(image) {
            Err(error) if REFUSED.contains(&fault::code(error)) => refused = error,
            other => return other,
        }
    }
    Err(refused)
}

fn load(image: &Image) -> Result<sys::CUmodule, DriverError> {
    match image {
        // SAFETY: a whole ELF file as NVRTC made it; the driver copies what it needs before it returns.
        Image::Cubin { bytes, .. } => unsafe { result::module::load_data(bytes.as_ptr().cast::<c_void>()) },
        Image::Ptx { text, .. } => {
            let text = CString::new(text.as_str()).map_err(|_| DriverError(sys::CUresult::CUDA_ERROR_INVALID_PTX))?;
            // SAFETY: a text that ends with a zero; it lives until the driver has compiled it.
            unsafe { result::module::load_data(text.as_ptr().cast::<c_void>()) }
        }
    }
}

fn find(module: sys::CUmodule, kernel: &str, gpu: &Gpu) -> Result<Function, DriverError> {
    use sys::CUfunction_attribute as Attribute;
    let name = CString::new(kernel).map_err(|_| DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND))?;
    // SAFETY: the module is loaded, the function is its own.
    unsafe {
        let handle = result::module::get_function(module, name)?;
        let fixed = result::function::get_function_attribute(handle, Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?;
        // More than 48 KiB have to be asked for (CUDA C++ Programming Guide, "Compute Capability 8.x, Shared Memory").
        // This sets the limit and takes nothing; a launch takes what it names.
        let shared_limit = gpu.shared_per_block.saturating_sub(fixed as u32);
        let limit = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        result::function::set_function_attribute(handle, limit, shared_limit as i32)?;
        Ok(Function { handle, shared_limit })
    }
}
