//! Compiles every kernel file for every target, in parallel; what did not change since the last build is taken from it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::library::{Compiled, Nvrtc, Source, entries, includes};
use crate::resources::{self, Resources};
use crate::target::{Arch, Target};

/// One kernel file, compiled.
pub struct File {
    /// Its name without `.cu`.
    pub name: String,
    /// The PTX.
    pub ptx: Vec<u8>,
    /// Machine code by architecture.
    pub cubins: Vec<(Arch, Vec<u8>)>,
    /// The kernels' names, in the order of the PTX.
    pub kernels: Vec<String>,
    /// What each kernel takes, by architecture.
    pub resources: Vec<(Arch, Vec<(String, Resources)>)>,
}

/// A compilation's result and the file it is kept in, or what the compiler complains about.
type Kept = Result<(PathBuf, Compiled), String>;

/// Compiles the `.cu` files among `sources`.
///
/// # Errors
/// The compiler's messages of every file that does not compile; two kernels of one name; a disk that refuses.
pub fn all(nvrtc: &Nvrtc, sources: &[Source], targets: &[Target], out: &Path) -> Result<Vec<File>, String> {
    let folder = out.join("compiled");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let units: Vec<&Source> = sources.iter().filter(|source| source.name.ends_with(".cu")).collect();
    let tasks: Vec<(&Source, Target)> =
        units.iter().flat_map(|unit| targets.iter().map(move |target| (*unit, *target))).collect();

    let done: Vec<OnceLock<Kept>> = tasks.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((source, target)) = tasks.get(index) else { return };
            let made = one(nvrtc, source, sources, *target, &folder);
            // Nobody else has this index.
            let _ = done[index].set(made);
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers().min(tasks.len()) {
            scope.spawn(work);
        }
    });

    let mut made = Vec::new();
    let mut kept = Vec::new();
    let mut complaints: Vec<String> = Vec::new();
    for slot in done {
        match slot.into_inner() {
            Some(Ok((path, compiled))) => {
                kept.push(path);
                made.push(compiled);
            }
            // Every target of a file complains about the same lines.
            Some(Err(complaint)) if !complaints.contains(&complaint) => complaints.push(complaint),
            Some(Err(_)) => {}
            None => return Err("a compiler thread ended early".to_string()),
        }
    }
    if !complaints.is_empty() {
        return Err(complaints.join("\n"));
    }
    remove_others(&folder, &kept);

    let mut files = Vec::new();
    let mut made = made.into_iter();
    for unit in units {
        files.push(file(unit, targets, &mut made));
    }
    unique(&files)?;
    Ok(files)
}

/// Threads: cargo's number of jobs.
fn workers() -> usize {
    let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok());
    jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// Compiles one file for one target, unless the last build made the same. Returns where the result is kept.
fn one(nvrtc: &Nvrtc, source: &Source, all: &[Source], target: Target, folder: &Path) -> Kept {
    let headers = includes(source, all);
    let path = folder.join(format!("{}-{target}-{:016x}", source.name, nvrtc.key(source, &headers, target)));
    if let Some(compiled) = read(&path) {
        return Ok((path, compiled));
    }
    let compiled = nvrtc
        .compile(source, &headers, target)
        .map_err(|message| format!("kernels/{} does not compile:\n{message}", source.name))?;
    write(&path, &compiled).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok((path, compiled))
}

/// Kept results: eight bytes with the length of the log, the log, the image.
fn read(path: &Path) -> Option<Compiled> {
    let bytes = fs::read(path).ok()?;
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (log, image) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some(Compiled { image: image.to_vec(), log: String::from_utf8(log.to_vec()).ok()? })
}

fn write(path: &Path, compiled: &Compiled) -> std::io::Result<()> {
    let length = (compiled.log.len() as u64).to_le_bytes();
    // The whole name: results of other targets are written at the same time.
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    fs::write(&aside, [&length, compiled.log.as_bytes(), &compiled.image].concat())?;
    fs::rename(aside, path)
}

/// Results of earlier sources.
fn remove_others(folder: &Path, kept: &[PathBuf]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !kept.contains(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Puts together what was made of one file, in the order of `targets`.
fn file(unit: &Source, targets: &[Target], made: &mut impl Iterator<Item = Compiled>) -> File {
    let name = unit.name.trim_end_matches(".cu").to_string();
    let mut file = File { name, ptx: Vec::new(), cubins: Vec::new(), kernels: Vec::new(), resources: Vec::new() };
    for (target, compiled) in targets.iter().zip(made) {
        match target {
            Target::Ptx => {
                // What the compiler says of a file that it accepts: unused variables and the like.
                for line in compiled.log.lines().filter(|line| !line.trim().is_empty()) {
                    println!("cargo::warning={line}");
                }
                file.kernels = entries(&String::from_utf8_lossy(&compiled.image));
                file.ptx = compiled.image;
            }
            Target::Cubin(arch) => {
                file.resources.push((*arch, resources::parse(&compiled.log)));
                file.cubins.push((*arch, compiled.image));
            }
        }
    }
    file
}

/// Kernels are found by name alone.
fn unique(files: &[File]) -> Result<(), String> {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for file in files {
        for kernel in &file.kernels {
            if let Some((_, other)) = seen.iter().find(|(name, _)| name == kernel) {
                return Err(format!("kernel {kernel} is in kernels/{other}.cu and in kernels/{}.cu", file.name));
            }
            seen.push((kernel, &file.name));
        }
    }
    Ok(())
}
