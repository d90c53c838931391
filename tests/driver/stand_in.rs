//! Compiles the stand-in and opens it, so that it is found in place of the driver.

use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use kd_engine::gpu::kernels;
use libloading::Library;

/// The driver that a test wants; the next test waits until this one is dropped.
pub struct StandIn {
    library: &'static Library,
    _alone: MutexGuard<'static, ()>,
}

/// What the stand-in says it is.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The CUDA version of the driver: 12080 is 12.8.
    pub version: c_int,
    pub gpus: c_int,
    pub capability: (u32, u32),
    pub memory: usize,
}

impl Default for Machine {
    fn default() -> Self {
        Self { version: 13_000, gpus: 1, capability: (8, 0), memory: 1 << 24 }
    }
}

fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        assert_eq!(kernels::absent(), None, "built without kernels: run ./test, or set KD_NVRTC_DIR");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libcuda.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/driver/libcuda.c");
        let options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libcuda.so", "-o"];
        let status = Command::new("cc").args(options).arg(&file).arg(source).status().expect("a C compiler");
        assert!(status.success(), "{source} does not compile");
        // SAFETY: our own library. Once it is open, opening `libcuda.so` by name finds it: the loader goes by the soname.
        unsafe { Library::new(&file) }.unwrap()
    })
}

impl StandIn {
    pub fn new(machine: Machine) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let library = library();
        type Reset = unsafe extern "C" fn(c_int, c_int, c_int, c_int, usize);
        // SAFETY: the function has this signature in libcuda.c.
        unsafe {
            let reset = library.get::<Reset>("stand_in_reset").unwrap();
            let (major, minor) = machine.capability;
            reset(machine.version, machine.gpus, major as c_int, minor as c_int, machine.memory);
        }
        Self { library, _alone: alone }
    }

    /// Lets the driver's `function` fail with `code`, after `after` more calls that go well: once, or with `lost` every
    /// function from then on.
    pub fn fail(&self, function: &str, after: c_int, code: c_int, lost: bool) {
        type Fail = unsafe extern "C" fn(*const c_char, c_int, c_int, c_int);
        let function = CString::new(function).unwrap();
        // SAFETY: the function has this signature in libcuda.c.
        unsafe { self.library.get::<Fail>("stand_in_fail").unwrap()(function.as_ptr(), after, code, lost.into()) }
    }

    /// How often the driver's `function` was called. Those that give something back are not counted.
    pub fn calls(&self, function: &str) -> c_long {
        type Calls = unsafe extern "C" fn(*const c_char) -> c_long;
        let function = CString::new(function).unwrap();
        // SAFETY: the function has this signature in libcuda.c.
        unsafe { self.library.get::<Calls>("stand_in_calls").unwrap()(function.as_ptr()) }
    }

    /// Handles and memory that were not given back.
    pub fn live(&self) -> c_long {
        type Live = unsafe extern "C" fn() -> c_long;
        // SAFETY: the function has this signature in libcuda.c.
        unsafe { self.library.get::<Live>("stand_in_live").unwrap()() }
    }

    /// What modules were loaded and which kernels ran, in order.
    pub fn log(&self) -> Vec<String> {
        type Log = unsafe extern "C" fn() -> *const c_char;
        // SAFETY: the function has this signature in libcuda.c and returns a text.
        let text = unsafe { CStr::from_ptr(self.library.get::<Log>("stand_in_log").unwrap()()) };
        text.to_string_lossy().lines().map(str::to_string).collect()
    }

    /// Which kernels ran, with grid, block, shared memory and bytes of parameters.
    pub fn kernels(&self) -> Vec<String> {
        self.log().into_iter().filter(|line| line.contains(" grid ")).collect()
    }
}
