//! The CUDA kernels that the build embedded: sources always; PTX, machine code and what each kernel takes of a
//! multiprocessor where the build had NVRTC.
//!
//! This says what is in the binary and nothing else. Whoever wants to run kernels asks [`crate::gpu::nvrtc`], which
//! compiles what is missing.

#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;

use flate2::read::ZlibDecoder;

use super::nvrtc::library::Source;
use super::nvrtc::resources::Resources;
use super::nvrtc::target::Arch;

struct Embedded {
    absent: Option<&'static str>,
    nvrtc: (u32, u32),
    sources: &'static [EmbeddedSource],
    files: &'static [EmbeddedFile],
}

struct EmbeddedSource {
    name: &'static str,
    text: &'static [u8],
}

struct EmbeddedFile {
    name: &'static str,
    ptx: &'static [u8],
    cubins: &'static [(Arch, &'static [u8])],
    kernels: &'static [EmbeddedKernel],
}

struct EmbeddedKernel {
    name: &'static str,
    resources: &'static [(Arch, Resources)],
}

static EMBEDDED: Embedded = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Whoever writes kernels points this at a folder with all of them: it is taken in place of what is embedded, so that a
/// changed kernel runs without a build.
const FOLDER: &str = "KD_KERNELS_DIR";

/// The sources that take the place of the embedded ones.
fn others() -> Option<&'static [Source]> {
    static OTHERS: OnceLock<Option<Vec<Source>>> = OnceLock::new();
    let read = |folder: &Path| -> std::io::Result<Vec<Source>> {
        let mut sources = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "cu" || extension == "cuh") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                sources.push(Source { name, text: std::fs::read_to_string(&path)? });
            }
        }
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sources)
    };
    let found = OTHERS.get_or_init(|| {
        let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty())?;
        read(Path::new(&folder))
            .inspect_err(|error| {
                tracing::warn!("{FOLDER} is not used: {}: {error}", Path::new(&folder).display());
            })
            .ok()
    });
    found.as_deref()
}

/// Why nothing but sources is embedded, in one line; `None` where the kernels are.
pub fn absent() -> Option<&'static str> {
    match others() {
        None => EMBEDDED.absent,
        Some(_) => Some("KD_KERNELS_DIR names others"),
    }
}

/// Version of the NVRTC that compiled what is embedded: its cubins need a driver for CUDA `major.0`, its PTX one for
/// `major.minor`. `None` where nothing is.
pub fn nvrtc_version() -> Option<(u32, u32)> {
    absent().is_none().then_some(EMBEDDED.nvrtc)
}

/// The sources, headers among them, by name.
pub fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    if let Some(others) = others() {
        return others;
    }
    SOURCES.get_or_init(|| {
        let source = |source: &EmbeddedSource| Source { name: source.name.to_string(), text: text(source.text) };
        EMBEDDED.sources.iter().map(source).collect()
    })
}

/// A number that changes with the sources, with the compiler of what is embedded, and with the version of this engine, which
/// launches them.
pub fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_PKG_VERSION"), nvrtc_version()).hash(&mut hasher);
    sources().iter().for_each(|source| (&source.name, &source.text).hash(&mut hasher));
    hasher.finish()
}

/// The kernel files' names without `.cu`, also where they were not compiled.
pub fn files() -> impl Iterator<Item = &'static str> {
    sources().iter().filter_map(|source| source.name.strip_suffix(".cu"))
}

/// Every compiled kernel with its file. Empty where nothing was compiled: names are made by macros, so only the
/// compiler knows them.
pub fn kernel_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    EMBEDDED.files.iter().flat_map(|file| file.kernels.iter().map(move |kernel| (kernel.name, file.name)))
}

/// The PTX of a file.
pub fn ptx(file: &str) -> Option<String> {
    find(file).map(|file| text(file.ptx))
}

/// The architectures that a file has machine code for.
pub fn archs(file: &str) -> impl Iterator<Item = Arch> {
    find(file).into_iter().flat_map(|file| file.cubins.iter().map(|(arch, _)| *arch))
}

/// The machine code of a file for an architecture.
pub fn cubin(file: &str, arch: Arch) -> Option<Vec<u8>> {
    let (_, cubin) = find(file)?.cubins.iter().find(|(made_for, _)| *made_for == arch)?;
    Some(unpack(cubin))
}

/// What a kernel takes of a multiprocessor, for every architecture that machine code was made for.
pub fn resources(kernel: &str) -> &'static [(Arch, Resources)] {
    let mut kernels = EMBEDDED.files.iter().flat_map(|file| file.kernels);
    kernels.find(|candidate| candidate.name == kernel).map_or(&[], |kernel| kernel.resources)
}

fn find(file: &str) -> Option<&'static EmbeddedFile> {
    if others().is_some() {
        return None;
    }
    EMBEDDED.files.iter().find(|candidate| candidate.name == file)
}

fn text(packed: &[u8]) -> String {
    String::from_utf8(unpack(packed)).expect("the build packed a text")
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).read_to_end(&mut bytes).expect("the build packed this");
    bytes
}
