//! Compiles the CUDA kernels and embeds them: `kernels/*.cu` become PTX and machine code in the binary.
//!
//! NVRTC does it, loaded as a library; neither a GPU nor a driver is needed. Settings, as environment variables:
//! `KD_NVRTC_DIR` (the folder with NVRTC; else it is searched for), `KD_CUDA_ARCHS` (`all`, `none`, or a list such as
//! `80,90a`: what machine code is made for; `all` in a release build and `none` in a debug build; PTX is made always).
//! Without NVRTC the build gives one warning and embeds the sources alone.

#[path = "build/compile.rs"]
mod compile;
#[path = "build/embed.rs"]
mod embed;
#[path = "src/gpu/nvrtc/library.rs"]
#[allow(dead_code)]
mod library;
#[path = "src/gpu/nvrtc/resources.rs"]
mod resources;
#[path = "src/gpu/nvrtc/search.rs"]
mod search;
#[path = "src/gpu/nvrtc/target.rs"]
#[allow(dead_code)]
mod target;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use library::{Nvrtc, Source};
use target::{ARCHS, Arch, Target};

/// Which architectures get machine code.
const ARCHITECTURES: &str = "KD_CUDA_ARCHS";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    println!("cargo::rerun-if-changed=kernels");
    for variable in [search::FOLDER, ARCHITECTURES, "CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: this is a build script of cargo")?);
    let sources = read_sources(Path::new("kernels"))?;
    let asked = env::var(ARCHITECTURES).ok().filter(|value| !value.trim().is_empty());
    let archs = match &asked {
        Some(list) => Arch::parse_list(list)?,
        None if env::var("PROFILE").is_ok_and(|profile| profile == "release") => ARCHS.to_vec(),
        None => Vec::new(),
    };
    let nvrtc = match search::find().and_then(|places| Nvrtc::open_first(&places)) {
        Ok(nvrtc) => nvrtc,
        // Where the user said which NVRTC to take, going on without is not what they want.
        Err(reason) if env::var_os(search::FOLDER).is_some_and(|folder| !folder.is_empty()) => return Err(reason),
        Err(reason) => {
            println!(
                "cargo::warning=the CUDA kernels were not compiled ({reason}): the binary can use a GPU only where it \
                 finds NVRTC when it runs. `python3 -m pip install {}` installs it; then `touch build.rs` and build again",
                search::PACKAGE
            );
            return embed::write(&out, &sources, &embed::Made::Nothing(reason));
        }
    };
    println!("cargo::rerun-if-changed={}", nvrtc.path().display());

    let mut targets = vec![Target::Ptx];
    for arch in archs {
        match (nvrtc.supports(Target::Cubin(arch)), &asked) {
            (true, _) => targets.push(Target::Cubin(arch)),
            (false, Some(list)) => {
                let (major, minor) = nvrtc.version();
                return Err(format!("{ARCHITECTURES}={list}: NVRTC {major}.{minor} does not know {arch}"));
            }
            // By default: what this NVRTC knows. GPUs beyond that use the PTX.
            (false, None) => {}
        }
    }
    let files = compile::all(&nvrtc, &sources, &targets, &out)?;
    embed::write(&out, &sources, &embed::Made::Files { version: nvrtc.version(), files })
}

/// Every kernel file and header, by name.
fn read_sources(folder: &Path) -> Result<Vec<Source>, String> {
    let fail = |path: &Path, error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| fail(folder, error))? {
        let path = entry.map_err(|error| fail(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "cu" || extension == "cuh") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).map_err(|error| fail(&path, error))?;
            sources.push(Source { name, text });
        }
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sources)
}
