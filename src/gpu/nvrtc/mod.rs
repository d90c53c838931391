//! The kernels as something that runs: PTX for the simulator, the best module for a GPU.
//!
//! What the build embedded is taken; what it did not is compiled here from the embedded sources by an NVRTC of this
//! machine, once, and kept in the user's cache folder.

pub mod cache;
pub mod library;
pub mod resources;
pub mod search;
pub mod target;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rayon::prelude::*;

use self::library::{Nvrtc, Source};
use self::target::{Arch, Target};
use super::kernels;
use crate::error::{Error, Result};

/// A kernel file as PTX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PtxFile {
    /// The file's name without `.cu`.
    pub name: String,
    /// The PTX.
    pub text: String,
    /// The names of its kernels.
    pub kernels: Vec<String>,
}

/// A module that a driver can load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// Machine code.
    Cubin {
        /// What it was made for.
        arch: Arch,
        /// The ELF file.
        bytes: Vec<u8>,
        /// Version of the NVRTC it comes from.
        nvrtc: (u32, u32),
    },
    /// PTX, which the driver translates. It takes PTX from NVRTC up to its own CUDA version.
    Ptx {
        /// The text.
        text: String,
        /// Version of the NVRTC it comes from.
        nvrtc: (u32, u32),
    },
}

impl Image {
    /// The CUDA version a driver has to be for: that of the compiler for PTX, any of its major version for machine code
    /// (CUDA Compatibility, "Minor Version Compatibility").
    pub fn needs(&self) -> (u32, u32) {
        match self {
            Self::Cubin { nvrtc, .. } => (nvrtc.0, 0),
            Self::Ptx { nvrtc, .. } => *nvrtc,
        }
    }
}

/// Every kernel file as PTX: embedded, or compiled here.
///
/// # Errors
/// The binary was built without NVRTC, and there is none here or it does not compile the sources.
pub fn ptx_files() -> Result<&'static [PtxFile]> {
    static FILES: OnceLock<Result<Vec<PtxFile>, String>> = OnceLock::new();
    let made = FILES.get_or_init(|| {
        let names: Vec<&str> = kernels::files().collect();
        let file = |name: &&str| {
            let text = match kernels::ptx(name) {
                Some(text) => text,
                None => String::from_utf8(here()?.image(name, kernels::sources(), Target::Ptx)?)
                    .map_err(|_| format!("the PTX of {name} is no text"))?,
            };
            Ok(PtxFile { name: name.to_string(), kernels: library::entries(&text), text })
        };
        names.par_iter().map(file).collect()
    });
    made.as_deref().map_err(|reason| unavailable(reason))
}

/// The names of all kernels.
///
/// # Errors
/// As [`ptx_files`].
pub fn kernel_names() -> Result<Vec<&'static str>> {
    Ok(ptx_files()?.iter().flat_map(|file| file.kernels.iter().map(String::as_str)).collect())
}

/// The file that a kernel is in.
///
/// # Errors
/// There is no such kernel, or as [`ptx_files`].
pub fn file_of(kernel: &str) -> Result<&'static PtxFile> {
    let files = ptx_files()?;
    files.iter().find(|file| file.kernels.iter().any(|name| name == kernel)).ok_or_else(|| {
        let names = files.iter().flat_map(|file| file.kernels.iter().map(String::as_str));
        let error = Error::failed(format!("there is no kernel `{kernel}`"));
        match crate::error::nearest(kernel, names) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

/// The modules of a file for a GPU of this compute capability, the best first: the one after is for a driver that
/// refuses the one before.
///
/// # Errors
/// As [`ptx_files`].
pub fn images(file: &PtxFile, capability: (u32, u32)) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    let nvrtc = match kernels::nvrtc_version() {
        Some(nvrtc) => {
            if let Some(arch) = best(kernels::archs(&file.name), capability)
                && let Some(bytes) = kernels::cubin(&file.name, arch)
            {
                images.push(Image::Cubin { arch, bytes, nvrtc });
            }
            nvrtc
        }
        None => {
            let compiler = here().map_err(|reason| unavailable(&reason))?;
            let (arch, nvrtc) = (Arch::of(capability), compiler.nvrtc.version());
            if compiler.nvrtc.supports(Target::Cubin(arch)) {
                let made = compiler.image(&file.name, kernels::sources(), Target::Cubin(arch));
                images.push(Image::Cubin { arch, bytes: made.map_err(|reason| unavailable(&reason))?, nvrtc });
            }
            nvrtc
        }
    };
    images.push(Image::Ptx { text: file.text.clone(), nvrtc });
    Ok(images)
}

/// Of the architectures whose code runs on a GPU of this compute capability the nearest.
pub fn best(archs: impl Iterator<Item = Arch>, capability: (u32, u32)) -> Option<Arch> {
    archs.filter(|arch| arch.runs_on(capability)).max()
}

/// An NVRTC of this machine, with the folder in which its work is kept.
#[derive(Debug)]
struct Compiler {
    nvrtc: Nvrtc,
    cache: Option<PathBuf>,
}

/// This machine's NVRTC, opened once.
fn here() -> Result<&'static Compiler, String> {
    static COMPILER: OnceLock<Result<Compiler, String>> = OnceLock::new();
    let opened = COMPILER.get_or_init(|| {
        let nvrtc = search::find().and_then(|places| Nvrtc::open_first(&places))?;
        Ok(Compiler { nvrtc, cache: cache::folder("kernels") })
    });
    opened.as_ref().map_err(Clone::clone)
}

impl Compiler {
    /// Compiles the file `name` among `sources`, or takes what was made of the same before.
    fn image(&self, name: &str, sources: &[Source], target: Target) -> Result<Vec<u8>, String> {
        let file = format!("{name}.cu");
        let source = sources.iter().find(|source| source.name == file).ok_or_else(|| format!("there is no {file}"))?;
        let headers = library::includes(source, sources);
        let kept_as = format!("{name}-{target}-{:016x}", self.nvrtc.key(source, &headers, target));
        if let Some(image) = self.cache.as_deref().and_then(|folder| cache::read(folder, &kept_as)) {
            return Ok(image);
        }
        let compiled = self.nvrtc.compile(source, &headers, target);
        let image = compiled.map_err(|message| format!("{file} does not compile:\n{message}"))?.image;
        if let Some(folder) = self.cache.as_deref() {
            keep(folder, &kept_as, &image);
        }
        Ok(image)
    }
}

/// Keeping is a convenience: a full or read-only disk costs a compilation at the next start and nothing more.
fn keep(folder: &Path, name: &str, image: &[u8]) {
    if let Err(error) = cache::write(folder, name, image) {
        tracing::warn!("compiled kernels cannot be kept in {}: {error}", folder.display());
    }
}

/// There are no kernels to run, and why.
fn unavailable(reason: &str) -> Error {
    let built = kernels::absent().map(|reason| format!("this binary was built without GPU kernels ({reason}), and "));
    let built = built.unwrap_or_default();
    Error::failed(format!("{built}they could not be compiled here: {reason}")).help(format!(
        "`python3 -m pip install {}` installs the compiler; {} names a folder with libnvrtc and libnvrtc-builtins",
        search::PACKAGE,
        search::FOLDER
    ))
}
