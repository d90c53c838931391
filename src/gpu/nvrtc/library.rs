//! NVRTC as a loaded library: compiles kernel sources held in memory to PTX or machine code.
//!
//! Functions and status codes: NVRTC manual, "User interface". Shared by the build script and the engine, so nothing of
//! the crate is used here.

use std::collections::hash_map::DefaultHasher;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::hash::{Hash, Hasher};
use std::mem;
use std::path::{Path, PathBuf};
use std::ptr;

use libloading::Library;

use super::search::Files;
use super::target::Target;

/// The oldest NVRTC that knows what the kernels need.
const OLDEST: (u32, u32) = (12, 0);

type Status = c_int;
/// `NVRTC_SUCCESS`
const SUCCESS: Status = 0;
/// `NVRTC_ERROR_COMPILATION`: the log says what is wrong with the source.
const COMPILATION: Status = 6;

type Program = *mut c_void;
type CreateProgram = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> Status;
type SizeOf = unsafe extern "C" fn(Program, *mut usize) -> Status;
type CopyTo = unsafe extern "C" fn(Program, *mut c_char) -> Status;

/// A source file by the name that `#include` and messages use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// File name without a folder: `add.cu`, `prims.cuh`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// What a compilation made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// PTX as text without a closing zero, or a cubin.
    pub image: Vec<u8>,
    /// What the compiler said: warnings, and with a cubin the resources of each kernel.
    pub log: String,
}

/// An open NVRTC. It stays open until the process ends: it keeps threads and state of its own.
#[derive(Debug)]
pub struct Nvrtc {
    path: PathBuf,
    version: (u32, u32),
    supported: Vec<u32>,
    error_string: unsafe extern "C" fn(Status) -> *const c_char,
    create: CreateProgram,
    destroy: unsafe extern "C" fn(*mut Program) -> Status,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status,
    log: (SizeOf, CopyTo),
    ptx: (SizeOf, CopyTo),
    cubin: (SizeOf, CopyTo),
}

impl Nvrtc {
    /// Opens the first of `candidates` that can be used.
    ///
    /// # Errors
    /// Why each of them cannot.
    pub fn open_first(candidates: &[Files]) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for files in candidates {
            match Self::open(files) {
                Ok(nvrtc) => return Ok(nvrtc),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons.join("; "))
    }

    /// Opens one NVRTC: its builtins first, by full path, so that they are found later without a library path.
    ///
    /// # Errors
    /// The library cannot be loaded, lacks a function, or is too old.
    pub fn open(files: &Files) -> Result<Self, String> {
        let load = |path: &Path| {
            // SAFETY: NVIDIA's libraries may be loaded from any thread; their initialisers have no preconditions.
            unsafe { Library::new(path) }.map_err(|error| format!("cannot load {}: {error}", path.display()))
        };
        let builtins = files.builtins.iter().map(|path| load(path)).collect::<Result<Vec<_>, _>>()?;
        let library = load(&files.nvrtc)?;
        let place = files.nvrtc.display();
        let missing = |error: libloading::Error| format!("{place} is not a usable NVRTC: {error}");
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the field or local it is assigned to has the signature that nvrtc.h declares for this name;
                // the library is never closed, so the pointer stays valid.
                *unsafe { library.get($name) }.map_err(missing)?
            };
        }
        let get_version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status = function!("nvrtcVersion");
        let count_archs: unsafe extern "C" fn(*mut c_int) -> Status = function!("nvrtcGetNumSupportedArchs");
        let get_archs: unsafe extern "C" fn(*mut c_int) -> Status = function!("nvrtcGetSupportedArchs");
        let mut nvrtc = Self {
            path: files.nvrtc.clone(),
            version: (0, 0),
            supported: Vec::new(),
            error_string: function!("nvrtcGetErrorString"),
            create: function!("nvrtcCreateProgram"),
            destroy: function!("nvrtcDestroyProgram"),
            compile: function!("nvrtcCompileProgram"),
            log: (function!("nvrtcGetProgramLogSize"), function!("nvrtcGetProgramLog")),
            ptx: (function!("nvrtcGetPTXSize"), function!("nvrtcGetPTX")),
            cubin: (function!("nvrtcGetCUBINSize"), function!("nvrtcGetCUBIN")),
        };
        mem::forget((builtins, library));

        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: both write one int to each pointer.
        let status = unsafe { (get_version)(&mut major, &mut minor) };
        nvrtc.check(status, "nvrtcVersion")?;
        nvrtc.version = (major as u32, minor as u32);
        if nvrtc.version < OLDEST {
            return Err(format!("{place} is NVRTC {major}.{minor}; {}.{} or later is needed", OLDEST.0, OLDEST.1));
        }
        // SAFETY: writes one int.
        let status = unsafe { (count_archs)(&mut count) };
        nvrtc.check(status, "nvrtcGetNumSupportedArchs")?;
        let mut archs = vec![0 as c_int; count.max(0) as usize];
        // SAFETY: writes as many ints as nvrtcGetNumSupportedArchs said.
        let status = unsafe { (get_archs)(archs.as_mut_ptr()) };
        nvrtc.check(status, "nvrtcGetSupportedArchs")?;
        nvrtc.supported = archs.into_iter().map(|arch| arch as u32).collect();
        Ok(nvrtc)
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Major and minor version: PTX from 12.8 needs a driver for CUDA 12.8, cubins one for 12.0.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Whether this version knows the target.
    pub fn supports(&self, target: Target) -> bool {
        match target {
            Target::Ptx => true,
            Target::Cubin(arch) => self.supported.contains(&arch.number()),
        }
    }

    /// A checksum of everything that decides what a compilation makes: this library, the options, the texts.
    pub fn key(&self, source: &Source, headers: &[&Source], target: Target) -> u64 {
        let mut hasher = DefaultHasher::new();
        // The version has two numbers; the third shows in the file.
        (self.version, &self.path, fs::metadata(&self.path).map_or(0, |file| file.len())).hash(&mut hasher);
        target.options().hash(&mut hasher);
        for source in [source].iter().chain(headers) {
            (&source.name, &source.text).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Compiles `source`, which may include any of `headers` by name.
    ///
    /// # Errors
    /// What the compiler says: its messages name file and line.
    pub fn compile(&self, source: &Source, headers: &[&Source], target: Target) -> Result<Compiled, String> {
        let text = |text: &str| CString::new(text).map_err(|_| format!("{}: a source holds a zero byte", source.name));
        let (source_text, name) = (text(&source.text)?, text(&source.name)?);
        let header_texts = headers.iter().map(|header| text(&header.text)).collect::<Result<Vec<_>, _>>()?;
        let header_names = headers.iter().map(|header| text(&header.name)).collect::<Result<Vec<_>, _>>()?;
        let options = target.options().iter().map(|option| text(option)).collect::<Result<Vec<_>, _>>()?;
        let pointers = |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).collect::<Vec<_>>();
        let (header_texts, header_names) = (pointers(&header_texts), pointers(&header_names));
        let option_pointers = pointers(&options);

        let mut program = Opened { nvrtc: self, handle: ptr::null_mut() };
        // SAFETY: all texts end with a zero and outlive the call; the two arrays hold `headers.len()` pointers.
        let status = unsafe {
            (self.create)(
                &mut program.handle,
                source_text.as_ptr(),
                name.as_ptr(),
                headers.len() as c_int,
                header_texts.as_ptr(),
                header_names.as_ptr(),
            )
        };
        self.check(status, "nvrtcCreateProgram")?;
        // SAFETY: the program was created above; the array holds as many zero-ended texts as is said.
        let status = unsafe { (self.compile)(program.handle, options.len() as c_int, option_pointers.as_ptr()) };
        let log = String::from_utf8_lossy(&program.read(self.log, "nvrtcGetProgramLog")?).trim_end().to_string();
        if status != SUCCESS {
            let failed = self.check(status, "nvrtcCompileProgram").unwrap_err();
            // Without a word of the compiler's own the status is all there is.
            return Err(if status == COMPILATION || !log.is_empty() { log } else { failed });
        }
        let image = match target {
            Target::Ptx => {
                let text = String::from_utf8_lossy(&program.read(self.ptx, "nvrtcGetPTX")?).into_owned();
                relative_files(&text).into_bytes()
            }
            Target::Cubin(_) => program.read(self.cubin, "nvrtcGetCUBIN")?,
        };
        Ok(Compiled { image, log })
    }

    fn check(&self, status: Status, call: &str) -> Result<(), String> {
        if status == SUCCESS {
            return Ok(());
        }
        // SAFETY: returns a static text for every status, also for unknown ones.
        let text = unsafe { CStr::from_ptr((self.error_string)(status)) };
        Err(format!("{call}: {}", text.to_string_lossy()))
    }
}

/// A program that is destroyed when it is dropped.
struct Opened<'a> {
    nvrtc: &'a Nvrtc,
    handle: Program,
}

impl Opened<'_> {
    /// Asks for the size of a result, then for the result. Texts lose their closing zero.
    fn read(&self, (size_of, copy_to): (SizeOf, CopyTo), what: &str) -> Result<Vec<u8>, String> {
        let mut size = 0;
        // SAFETY: the program lives; one size is written.
        self.nvrtc.check(unsafe { size_of(self.handle, &mut size) }, what)?;
        let mut bytes = vec![0u8; size];
        // SAFETY: exactly `size` bytes are written.
        self.nvrtc.check(unsafe { copy_to(self.handle, bytes.as_mut_ptr().cast()) }, what)?;
        let is_cubin = bytes.starts_with(b"\x7fELF");
        if !is_cubin && bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: created by this NVRTC and not destroyed before.
            unsafe { (self.nvrtc.destroy)(&mut self.handle) };
        }
    }
}

/// NVRTC puts the working folder before every file name in line information; without it equal sources make equal PTX.
fn relative_files(ptx: &str) -> String {
    let mut text = String::with_capacity(ptx.len());
    for line in ptx.split_inclusive('\n') {
        match line.trim_start().strip_prefix(".file").and_then(|rest| rest.split_once('"')) {
            Some((number, path)) => {
                let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
                text.push_str(&format!("\t.file{number}\"{name}"));
            }
            None => text.push_str(line),
        }
    }
    text
}

/// The names of the kernels in a PTX text, in its order (PTX ISA, 5.4 ".entry").
pub fn entries(ptx: &str) -> Vec<String> {
    let names = ptx.lines().filter_map(|line| line.trim_start().strip_prefix(".visible .entry "));
    names.map(|rest| rest.split(['(', ' ']).next().unwrap_or_default().to_string()).collect()
}

/// The headers that `source` includes, directly or through others, in the order of `all`. What is not among `all` is
/// left to the compiler to complain about.
pub fn includes<'a>(source: &Source, all: &'a [Source]) -> Vec<&'a Source> {
    let mut wanted = Vec::new();
    let mut open = vec![source];
    while let Some(source) = open.pop() {
        for line in source.text.lines() {
            let Some(rest) = line.trim_start().strip_prefix('#') else { continue };
            let Some(rest) = rest.trim_start().strip_prefix("include") else { continue };
            let Some(name) = rest.split('"').nth(1) else { continue };
            if let Some(index) = all.iter().position(|header| header.name == name)
                && !wanted.contains(&index)
            {
                wanted.push(index);
                open.push(&all[index]);
            }
        }
    }
    wanted.sort();
    wanted.into_iter().map(|index| &all[index]).collect()
}
