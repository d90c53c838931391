//! What the driver's status codes mean to a user, and what to do about them.
//!
//! Codes: CUDA Driver API manual, "Data types used by CUDA driver", `CUresult`. They are taken as numbers: drivers that
//! are newer than the binding know more of them.

use cudarc::driver::DriverError;

use crate::error::{Error, Result};

/// `CUDA_ERROR_OUT_OF_MEMORY`
pub(super) const OUT_OF_MEMORY: u32 = 2;
/// `CUDA_ERROR_STUB_LIBRARY`
const STUB_LIBRARY: u32 = 34;
/// `CUDA_ERROR_DEVICE_UNAVAILABLE`
const DEVICE_UNAVAILABLE: u32 = 46;
/// `CUDA_ERROR_NO_DEVICE`
pub(super) const NO_DEVICE: u32 = 100;
/// `CUDA_ERROR_LAUNCH_TIMEOUT`
const LAUNCH_TIMEOUT: u32 = 702;
/// `CUDA_ERROR_SYSTEM_DRIVER_MISMATCH`
const DRIVER_MISMATCH: u32 = 803;

/// Codes with the manual's name and what happened in plain words.
const CODES: [(u32, &str, &str); 27] = [
    (1, "CUDA_ERROR_INVALID_VALUE", "a value is out of range"),
    (OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "the GPU's memory is used up"),
    (3, "CUDA_ERROR_NOT_INITIALIZED", "the driver could not start"),
    (STUB_LIBRARY, "CUDA_ERROR_STUB_LIBRARY", "libcuda is a stub for linking, not a driver"),
    (DEVICE_UNAVAILABLE, "CUDA_ERROR_DEVICE_UNAVAILABLE", "another process has the GPU for itself"),
    (NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "there is no GPU"),
    (200, "CUDA_ERROR_INVALID_IMAGE", "the driver does not know this kind of kernel image"),
    (209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "the kernel image is for another GPU"),
    (214, "CUDA_ERROR_ECC_UNCORRECTABLE", "the GPU's memory had an error that could not be corrected"),
    (218, "CUDA_ERROR_INVALID_PTX", "the driver could not compile the kernels"),
    (220, "CUDA_ERROR_NVLINK_UNCORRECTABLE", "the link between GPUs had an error that could not be corrected"),
    (222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the kernels are newer than the driver"),
    (226, "CUDA_ERROR_CONTAINED", "the GPU had an error that ended this process's work"),
    (700, "CUDA_ERROR_ILLEGAL_ADDRESS", "a kernel accessed memory that it does not have"),
    (701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "a kernel needs more registers or shared memory than there are"),
    (LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT", "a kernel ran for too long"),
    (710, "CUDA_ERROR_ASSERT", "a check in a kernel failed"),
    (714, "CUDA_ERROR_HARDWARE_STACK_ERROR", "a kernel's call stack broke"),
    (715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "a kernel came to an illegal instruction"),
    (716, "CUDA_ERROR_MISALIGNED_ADDRESS", "a kernel used a misaligned address"),
    (717, "CUDA_ERROR_INVALID_ADDRESS_SPACE", "a kernel used an address of another memory space"),
    (718, "CUDA_ERROR_INVALID_PC", "a kernel's program counter left the program"),
    (719, "CUDA_ERROR_LAUNCH_FAILED", "a kernel failed"),
    (802, "CUDA_ERROR_SYSTEM_NOT_READY", "the system's GPU services do not run"),
    (DRIVER_MISMATCH, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "libcuda and the kernel module have different versions"),
    (804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", "this GPU takes no forward-compatible libcuda"),
    (999, "CUDA_ERROR_UNKNOWN", "the driver does not say what happened"),
];

/// Codes after which the process cannot use the GPU any more (manual: "the process must be terminated and relaunched").
const LOST: [u32; 14] = [214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 999];

/// Codes of [`LOST`] that a kernel of ours is to blame for.
const OURS: [u32; 9] = [700, 710, 714, 715, 716, 717, 718, 719, 721];

/// Turns the driver's answer into the engine's error.
pub(super) trait Explain<T> {
    /// Says which GPU it was and what was being done, in the form "launching `add_f32`".
    fn explain(self, gpu: &str, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Explain<T> for Result<T, DriverError> {
    fn explain(self, gpu: &str, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| fault(code(error), gpu, &doing()))
    }
}

/// The number of a driver's answer.
pub(super) fn code(error: DriverError) -> u32 {
    error.0 as u32
}

/// The manual's name and what it means; for codes that are not listed the number.
fn words(code: u32) -> String {
    match CODES.iter().find(|(listed, ..)| *listed == code) {
        Some((_, name, meaning)) => format!("{meaning} ({name})"),
        None => format!("the driver refuses (CUDA error {code})"),
    }
}

/// An error of GPU `gpu` that came up while `doing`.
pub(super) fn fault(code: u32, gpu: &str, doing: &str) -> Error {
    if !LOST.contains(&code) {
        let error = Error::failed(format!("{gpu}: {doing}: {}", words(code)));
        return match code {
            OUT_OF_MEMORY => {
                error.help("a smaller batch needs less; `nvidia-smi` shows who else uses the GPU's memory")
            }
            DEVICE_UNAVAILABLE => error.help("`nvidia-smi` shows which process; wait for it, or take another GPU"),
            _ => error,
        };
    }
    let saved = "What was saved is whole: `run --resume` goes on from the last checkpoint";
    Error::failed(format!("{gpu} is lost to this process: {doing}: {}", words(code))).help(if OURS.contains(&code) {
        format!(
            "{saved}. With the environment variable CUDA_LAUNCH_BLOCKING=1 the message names the kernel; `kd-engine \
             doctor` checks all of them"
        )
    } else if code == LAUNCH_TIMEOUT {
        format!("{saved}. A GPU that also drives a screen stops kernels after a few seconds: take another one")
    } else {
        format!("{saved}. `nvidia-smi` and the system's log (`dmesg`, \"Xid\") tell the cause")
    })
}

/// The driver does not start: `cuInit` failed.
pub(super) fn no_start(code: u32) -> Error {
    let error = Error::request(format!("no GPU can be used: {}", words(code)));
    match code {
        NO_DEVICE => {
            error.help("`nvidia-smi` lists the GPUs; CUDA_VISIBLE_DEVICES may hide them; `--device cpu` needs none")
        }
        DRIVER_MISMATCH => error.help("the driver was updated since the machine started: restart it"),
        STUB_LIBRARY => error.help("take the stub's folder out of the library path, or install NVIDIA's driver"),
        _ => error.help("`nvidia-smi` should say more; `--device cpu` needs no GPU"),
    }
}

/// There is no driver library.
pub(super) fn no_driver() -> Error {
    let library = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so" };
    Error::request(format!("no GPU can be used: NVIDIA's driver is not installed ({library} was not found)"))
        .help("install NVIDIA's driver, or use `--device cpu` or `--device sim`, which need none")
}

/// The driver is for an older CUDA version than what is to run.
pub(super) fn driver_too_old(found: (u32, u32), needed: (u32, u32)) -> Error {
    // The first releases for these versions: CUDA Toolkit release notes, table "CUDA Toolkit and corresponding driver
    // versions".
    let release = match needed {
        (12, 0) => " (release 525 or later)",
        (12, 8) => " (release 570 or later)",
        (13, 0) => " (release 580 or later)",
        _ => "",
    };
    Error::request(format!(
        "NVIDIA's driver is too old: it is for CUDA {}.{}, and the kernels need one for CUDA {}.{}{release}",
        found.0, found.1, needed.0, needed.1
    ))
    .help("update the driver; `--device cpu` needs none")
}

/// The GPU lacks instructions that the kernels use.
pub(super) fn gpu_too_old(gpu: &str, found: (u32, u32), needed: (u32, u32)) -> Error {
    Error::request(format!(
        "{gpu} is too old: its compute capability is {}.{}, and the kernels need {}.{} or later",
        found.0, found.1, needed.0, needed.1
    ))
    .help("GPUs of the Ampere generation (2020) and later will do; `--device cpu` needs none")
}

/// A size in words: GiB, or MiB where that is less than one.
pub(super) fn size(bytes: u64) -> String {
    let mib = bytes as f64 / (1024.0 * 1024.0);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
