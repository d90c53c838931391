//! Kernels that were compiled at run time, kept in the user's cache folder.
//!
//! A file is a zlib stream, whose checksum tells a damaged one; a damaged or unreadable file is as good as none. Files
//! are written aside and renamed, so several processes may share the folder.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// The environment variable that names the folder for what can be made again.
pub const FOLDER: &str = "KD_CACHE_DIR";

/// Where `what` (`kernels`, `tuning`) is kept: in `KD_CACHE_DIR`; else in the engine's part of the user's cache folder (XDG Base
/// Directory Specification; `%LOCALAPPDATA%` on Windows). `None` where none of these is set.
pub fn folder(what: &str) -> Option<PathBuf> {
    let path = |name: &str| env::var_os(name).map(PathBuf::from);
    // The specification has relative paths ignored.
    let of_user = path("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| match cfg!(windows) {
        true => path("LOCALAPPDATA"),
        false => path("HOME").map(|home| home.join(".cache")),
    });
    path(FOLDER)
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| of_user.map(|folder| folder.join("kd-engine")))
        .map(|folder| folder.join(what))
}

/// What is kept under `name`, if it is whole.
pub fn read(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(fs::File::open(folder.join(name)).ok()?).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Keeps `bytes` under `name`.
///
/// # Errors
/// A disk that refuses.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let aside = folder.join(format!(".tmp-{}-{name}", std::process::id()));
    let written = || {
        let mut encoder = ZlibEncoder::new(fs::File::create(&aside)?, Compression::default());
        encoder.write_all(bytes)?;
        encoder.finish()?;
        fs::rename(&aside, folder.join(name))
    };
    written().inspect_err(|_| {
        let _ = fs::remove_file(&aside);
    })
}
