//! What this machine offers: processor, GPUs, driver, the CUDA compiler, and which kernels are in the binary.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use crate::gpu::{driver, kernels, nvrtc};
use crate::simd::Level;

/// What was found; nothing of it is an error here.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The driver and its GPUs, or why there are none.
    pub driver: Result<driver::Survey, String>,
    /// Version and path of the compiler, or why there is none.
    pub nvrtc: Result<((u32, u32), String), String>,
    /// How many kernels are in the binary, and the architectures with machine code; or why there are none.
    pub kernels: Result<(usize, Vec<String>), String>,
}

impl Machine {
    /// Looks at this machine.
    pub fn survey() -> Self {
        let compiler = nvrtc::search::find().and_then(|places| nvrtc::library::Nvrtc::open_first(&places));
        let archs: BTreeSet<_> = kernels::files().flat_map(kernels::archs).collect();
        Self {
            driver: driver::survey().map_err(|error| error.to_string()),
            nvrtc: compiler.map(|compiler| (compiler.version(), compiler.path().display().to_string())),
            kernels: match kernels::absent() {
                Some(reason) => Err(reason.to_string()),
                None => {
                    let archs = archs.iter().map(ToString::to_string).collect();
                    Ok((kernels::kernel_names().count(), archs))
                }
            },
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let version = |(major, minor): (u32, u32)| format!("{major}.{minor}");
        let gpu = |gpu: &driver::Gpu| json!({ "device": format!("cuda:{}", gpu.ordinal), "name": gpu.name, "compute_capability": version(gpu.capability), "memory": gpu.memory });
        let gpus = |survey: &driver::Survey| survey.gpus.iter().map(gpu).collect::<Vec<_>>();
        json!({
            "cpu": { "instructions": Level::current().to_string(), "cores": cores() },
            "driver": self.driver.as_ref().ok().map(|survey| version(survey.version)),
            "gpus": self.driver.as_ref().map(gpus).unwrap_or_default(),
            "no_gpu": self.driver.as_ref().err(),
            "nvrtc": self.nvrtc.as_ref().ok().map(|(found, path)| json!({ "version": version(*found), "path": path })),
            "kernels": self.kernels.as_ref().ok().map(|(count, archs)| json!({ "count": count, "machine_code": archs })),
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cpu      {} cores, {}", cores(), Level::current())?;
        match &self.driver {
            Err(reason) => writeln!(f, "cuda     {reason}")?,
            Ok(survey) => {
                let (major, minor) = survey.version;
                writeln!(f, "driver   for CUDA {major}.{minor}")?;
                for gpu in &survey.gpus {
                    let (major, minor) = gpu.capability;
                    let memory = gpu.memory as f64 / (1u64 << 30) as f64;
                    let name = &gpu.name;
                    writeln!(f, "cuda:{}   {name}, compute capability {major}.{minor}, {memory:.1} GiB", gpu.ordinal)?;
                }
            }
        }
        match &self.nvrtc {
            Ok(((major, minor), path)) => writeln!(f, "nvrtc    {major}.{minor}, {path}")?,
            Err(reason) => writeln!(f, "nvrtc    {reason}")?,
        }
        match &self.kernels {
            Ok((count, archs)) if archs.is_empty() => writeln!(f, "kernels  {count}, as PTX"),
            Ok((count, archs)) => writeln!(f, "kernels  {count}, as PTX and for {}", archs.join(", ")),
            Err(reason) => writeln!(f, "kernels  not in this binary: {reason}"),
        }
    }
}
