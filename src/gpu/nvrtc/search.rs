//! Where NVRTC, NVIDIA's compiler as a library, may lie. It needs neither a GPU nor a driver.
//!
//! Shared by the build script and the engine, so nothing of the crate is used here.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that names the folder of the NVRTC to use; then no other is looked at.
pub const FOLDER: &str = "KD_NVRTC_DIR";

/// The Python package that holds the NVRTC the project is tested with.
pub const PACKAGE: &str = "nvidia-cuda-nvrtc-cu12==12.8.93";

/// Beginnings of the two libraries' file names, and what the names hold besides.
const BUILTINS: &str = if cfg!(windows) { "nvrtc-builtins64_" } else { "libnvrtc-builtins.so" };
const NVRTC: &str = if cfg!(windows) { "nvrtc64_" } else { "libnvrtc.so" };

/// The files of one NVRTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// What the compiler opens by name while it works; of every version in the folder.
    pub builtins: Vec<PathBuf>,
    /// The compiler; the latest in the folder.
    pub nvrtc: PathBuf,
}

/// The NVRTC in `folder`, if there is one.
pub fn in_folder(folder: &Path) -> Option<Files> {
    let mut builtins = Vec::new();
    let mut nvrtc: Option<PathBuf> = None;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        // Packages hold a second build with `.alt` in its name, for programs that link it.
        if name.contains(".alt.") || cfg!(windows) && !name.ends_with(".dll") {
            continue;
        }
        if name.starts_with(BUILTINS) {
            builtins.push(entry.path());
        } else if name.starts_with(NVRTC) && nvrtc.as_ref().is_none_or(|best| version(&entry.path()) > version(best)) {
            nvrtc = Some(entry.path());
        }
    }
    builtins.sort();
    (!builtins.is_empty()).then_some(Files { builtins, nvrtc: nvrtc? })
}

/// The numbers in a library's file name: `libnvrtc.so.12.8.93` is later than `libnvrtc.so.12`, and that than `libnvrtc.so`.
fn version(path: &Path) -> Vec<u32> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let start = if cfg!(windows) { NVRTC.len() } else { 0 };
    name[start..].split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Every NVRTC that is to be found, the preferred first: where `KD_NVRTC_DIR` says and nowhere else; else in CUDA
/// toolkits, then in Python's packages.
///
/// # Errors
/// Why there is none, in one line.
pub fn find() -> Result<Vec<Files>, String> {
    if let Some(folder) = env::var_os(FOLDER).filter(|value| !value.is_empty()) {
        let folder = PathBuf::from(folder);
        let found = in_folder(&folder).map(|files| vec![files]);
        return found.ok_or_else(|| {
            format!("{FOLDER} is {}, where there is no {NVRTC}* with its {BUILTINS}*", folder.display())
        });
    }
    let mut found: Vec<Files> = toolkit_folders().iter().filter_map(|folder| in_folder(folder)).collect();
    // Python is asked only where no toolkit answers: that starts a process.
    if found.is_empty() {
        found = package_folders().iter().filter_map(|folder| in_folder(folder)).collect();
    }
    match found.is_empty() {
        true => Err("no NVRTC in a CUDA toolkit or in Python's packages".to_string()),
        false => Ok(found),
    }
}

/// Library folders of the CUDA toolkits on this machine.
fn toolkit_folders() -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> =
        ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(env::var_os).map(PathBuf::from).collect();
    roots.push(PathBuf::from("/usr/local/cuda"));
    // `cuda-12.8` and others beside the link `cuda`, the latest first.
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/local").into_iter().flatten().flatten().map(|e| e.path()).collect();
    versions.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cuda-")));
    versions.sort_by_key(|path| std::cmp::Reverse(version(path)));
    roots.extend(versions);
    let inner: &[&str] = if cfg!(windows) {
        &["bin", "bin/x64"]
    } else {
        &["lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"]
    };
    roots.iter().flat_map(|root| inner.iter().map(|inner| root.join(inner))).collect()
}

/// NVRTC's folders in the packages of the active virtual environment and of the `python3` on the path.
fn package_folders() -> Vec<PathBuf> {
    let mut pythons = Vec::new();
    if let Some(environment) = env::var_os("VIRTUAL_ENV") {
        pythons.push(Path::new(&environment).join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python3" }));
    }
    pythons.push(PathBuf::from(if cfg!(windows) { "python" } else { "python3" }));
    let inner: &[&str] = if cfg!(windows) {
        &["nvidia/cuda_nvrtc/bin", "nvidia/cu13/bin/x86_64"]
    } else {
        &["nvidia/cuda_nvrtc/lib", "nvidia/cu13/lib"]
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    for python in pythons {
        let Ok(output) = Command::new(python).args(["-c", "import sys; print('\\n'.join(sys.path))"]).output() else {
            continue;
        };
        for line in String::from_utf8_lossy(&output.stdout).lines().map(str::trim).filter(|line| !line.is_empty()) {
            folders.extend(inner.iter().map(|inner| Path::new(line).join(inner)));
        }
    }
    folders
}
