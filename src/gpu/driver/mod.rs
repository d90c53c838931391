//! An NVIDIA GPU through its driver (CUDA Driver API), loaded when it is asked for: the binary needs no driver to start.

mod fault;
mod modules;
mod survey;

#[cfg(test)]
mod tests;

use std::ffi::{c_uint, c_void};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cudarc::driver::{DriverError, result, sys};

use self::fault::Explain;
use self::modules::Modules;
pub use self::survey::{Gpu, Survey, survey};
use super::{Device, EventId, GraphId, Launch, Limits, MemoryInfo, StreamId};
use crate::error::{Error, Result};

/// A GPU that runs kernels. Its calls may come from any thread.
#[derive(Debug)]
pub struct Driver {
    gpu: Gpu,
    device: sys::CUdevice,
    context: sys::CUcontext,
    /// `None` only while the device is being taken down.
    modules: Option<Modules>,
    handles: Mutex<Handles>,
}

// SAFETY: the handles are pointers of the driver, which may be used from any thread whose current context is the one
// they belong to (CUDA Driver API manual, "Context Management"); every method makes it current first.
unsafe impl Send for Driver {}
// SAFETY: as above; the driver's functions are safe to call from several threads at once, and the tables have a lock.
unsafe impl Sync for Driver {}

/// What ids stand for: the number is the place.
#[derive(Debug, Default)]
struct Handles {
    streams: Vec<sys::CUstream>,
    /// Events in use, then events to use again.
    events: Vec<sys::CUevent>,
    events_in_use: usize,
    /// `None` where one was released.
    graphs: Vec<Option<sys::CUgraphExec>>,
}

impl Driver {
    /// Opens GPU `ordinal` and loads all kernels.
    ///
    /// # Errors
    /// There is no driver, no such GPU, one of them is too old, or there are no kernels for it.
    pub fn open(ordinal: usize) -> Result<Self> {
        let survey = survey()?;
        let gpu = survey.gpu(ordinal)?.clone();
        let doing = || "opening it".to_string();
        let device = result::device::get(ordinal as i32).explain(&gpu.name, doing)?;
        // SAFETY: the device comes from the driver. The context is released once, when this is dropped.
        let context = unsafe { result::primary_ctx::retain(device) }.explain(&gpu.name, doing)?;
        // From here on whatever fails is taken down by `drop`.
        let mut driver = Self { gpu, device, context, modules: None, handles: Mutex::new(Handles::default()) };
        driver.bind()?;
        driver.modules = Some(Modules::load(&driver.gpu, survey.version)?);
        driver.make_streams(1)?;
        Ok(driver)
    }

    /// What GPU it is.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Makes this GPU's context the calling thread's.
    fn bind(&self) -> Result<()> {
        // SAFETY: the context is retained as long as this lives.
        let bound = unsafe { result::ctx::set_current(self.context) };
        self.done(bound, || "making it current".to_string())
    }

    fn done<T>(&self, answer: Result<T, DriverError>, doing: impl FnOnce() -> String) -> Result<T> {
        answer.explain(&self.gpu.name, doing)
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream_of(&self, stream: StreamId) -> Result<sys::CUstream> {
        let found = self.handles().streams.get(stream.0 as usize).copied();
        found.ok_or_else(|| Error::failed(format!("{}: there is no stream {}", self.gpu.name, stream.0)))
    }

    /// Makes streams until there are `count`. The context is current.
    fn make_streams(&self, count: usize) -> Result<()> {
        let mut handles = self.handles();
        while handles.streams.len() < count {
            // Non-blocking: the default stream, which nobody uses, does not hold it up, and it can be captured.
            let created = result::stream::create(result::stream::StreamKind::NonBlocking);
            handles.streams.push(self.done(created, || "making a stream".to_string())?);
        }
        Ok(())
    }

    /// Waits for the first stream.
    fn finish(&self, doing: &str) -> Result<()> {
        let stream = self.stream_of(self.main_stream())?;
        // SAFETY: the stream lives as long as this.
        self.done(unsafe { result::stream::synchronize(stream) }, || doing.to_string())
    }
}

impl Device for Driver {
    fn name(&self) -> &str {
        &self.gpu.name
    }

    fn limits(&self) -> Result<Option<Limits>> {
        survey::limits(&self.gpu, self.device).map(Some)
    }

    fn memory(&self) -> Result<MemoryInfo> {
        self.bind()?;
        let (free, total) = self.done(result::mem_get_info(), || "asking for free memory".to_string())?;
        Ok(MemoryInfo { free: free as u64, total: total as u64 })
    }

    fn allocate(&self, bytes: usize, label: &str) -> Result<u64> {
        self.bind()?;
        // SAFETY: nothing reads what is undefined: whoever allocates fills or writes first (the simulator sees to it).
        match unsafe { result::malloc_sync(bytes) } {
            Err(error) if fault::code(error) == fault::OUT_OF_MEMORY => {
                let left = self.memory()?;
                Err(Error::failed(format!(
                    "{} has not enough memory: {label} takes {}, and of {} there are {} left",
                    self.gpu.name,
                    fault::size(bytes as u64),
                    fault::size(left.total),
                    fault::size(left.free)
                ))
                .help("a smaller batch needs less; `nvidia-smi` shows who else uses the GPU's memory"))
            }
            other => self.done(other, || format!("allocating {} for {label}", fault::size(bytes as u64))),
        }
    }

    fn free(&self, address: u64) {
        if self.bind().is_ok() {
            // SAFETY: allocated by `allocate` and freed once; cuMemFree waits for work that uses it.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    fn upload(&self, address: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bind()?;
        let stream = self.stream_of(self.main_stream())?;
        // SAFETY: the caller's address has room for the bytes; they stay where they are until `finish` returns.
        let given = unsafe { result::memcpy_htod_async(address, bytes, stream) };
        let doing = || format!("copying {} to it", fault::size(bytes.len() as u64));
        self.done(given, doing)?;
        self.finish(&doing())
    }

    fn download(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        self.bind()?;
        let doing = format!("copying {} from it", fault::size(bytes.len() as u64));
        if !bytes.is_empty() {
            let stream = self.stream_of(self.main_stream())?;
            // SAFETY: the caller's address holds the bytes; the target stays where it is until `finish` returns.
            let given = unsafe { result::memcpy_dtoh_async(bytes, address, stream) };
            self.done(given, || doing.clone())?;
        }
        self.finish(&doing)
    }

    fn fill(&self, address: u64, bytes: usize, value: u8) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        let stream = self.stream_of(self.main_stream())?;
        // SAFETY: the caller's address has room for the bytes.
        let given = unsafe { result::memset_d8_async(address, value, bytes, stream) };
        let doing = || format!("filling {} of its memory", fault::size(bytes as u64));
        self.done(given, doing)?;
        self.finish(&doing())
    }

    fn stream(&self, index: usize) -> Result<StreamId> {
        self.bind()?;
        // The first stream is number 0 of the table.
        self.make_streams(index + 2)?;
        Ok(StreamId(index as u32 + 1))
    }

    fn launch(&self, stream: StreamId, launch: &Launch) -> Result<()> {
        self.bind()?;
        let stream = self.stream_of(stream)?;
        let function = match &self.modules {
            Some(modules) => modules.function(&launch.kernel)?,
            None => return Err(Error::failed("no kernels are loaded")),
        };
        let doing = || {
            let Launch { kernel, grid, block, shared, .. } = launch;
            format!("launching {kernel} (grid {grid:?}, block {block:?}, {shared} bytes of shared memory)")
        };
        if launch.shared > function.shared_limit {
            let limit = function.shared_limit;
            return Err(Error::failed(format!("{}: {}: there are {limit} bytes", self.gpu.name, doing())));
        }
        let mut block = ParameterBlock::new(&launch.parameters);
        // SAFETY: the function is loaded, the stream lives; the driver copies the parameters before it returns. That
        // the kernel touches only its views is the launch list's promise, which the simulator checks.
        let answer = unsafe {
            sys::cuLaunchKernel(
                function.handle,
                launch.grid[0],
                launch.grid[1],
                launch.grid[2],
                launch.block[0],
                launch.block[1],
                launch.block[2],
                launch.shared as c_uint,
                stream,
                ptr::null_mut(),
                block.extra(),
            )
        };
        self.done(answer.result(), doing)
    }

    fn record(&self, stream: StreamId) -> Result<EventId> {
        self.bind()?;
        let stream = self.stream_of(stream)?;
        let mut handles = self.handles();
        let next = handles.events_in_use;
        if next == handles.events.len() {
            // They keep time. Those that join streams are captured into graphs, where that costs nothing.
            let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
            handles.events.push(self.done(event, || "making an event".to_string())?);
        }
        // SAFETY: event and stream live.
        let recorded = unsafe { result::event::record(handles.events[next], stream) };
        self.done(recorded, || "recording an event".to_string())?;
        handles.events_in_use += 1;
        Ok(EventId(next as u32))
    }

    fn elapsed(&self, from: EventId, to: EventId) -> Result<Duration> {
        self.bind()?;
        let handles = self.handles();
        let event = |id: EventId| {
            let found = handles.events.get(id.0 as usize).copied();
            found.ok_or_else(|| Error::failed(format!("{}: there is no event {}", self.gpu.name, id.0)))
        };
        // SAFETY: both events live.
        let milliseconds = unsafe { result::event::elapsed(event(from)?, event(to)?) };
        let milliseconds = self.done(milliseconds, || "asking for the time between two events".to_string())?;
        Ok(Duration::from_secs_f64((f64::from(milliseconds) * 1e-3).max(0.0)))
    }

    fn wait(&self, stream: StreamId, event: EventId) -> Result<()> {
        self.bind()?;
        let stream = self.stream_of(stream)?;
        let handles = self.handles();
        // What was recorded before the last `synchronize` has happened.
        let Some(event) = handles.events[..handles.events_in_use].get(event.0 as usize) else { return Ok(()) };
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: event and stream live.
        let answer = unsafe { result::stream::wait_event(stream, *event, flags) };
        self.done(answer, || "waiting for an event".to_string())
    }

    fn begin_capture(&self, stream: StreamId) -> Result<()> {
        self.bind()?;
        let stream = self.stream_of(stream)?;
        // Other threads may go on allocating and copying meanwhile.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives.
        self.done(unsafe { result::stream::begin_capture(stream, mode) }, || "starting to record a graph".to_string())
    }

    fn end_capture(&self, stream: StreamId) -> Result<GraphId> {
        self.bind()?;
        let stream = self.stream_of(stream)?;
        // SAFETY: the stream lives.
        let graph = self.done(unsafe { result::stream::end_capture(stream) }, || "recording a graph".to_string())?;
        // SAFETY: the graph was just made; what is instantiated does not need it any more, so it is destroyed once here.
        let made = unsafe {
            let made = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            made
        };
        let graph = self.done(made, || "preparing a graph".to_string())?;
        let mut handles = self.handles();
        handles.graphs.push(Some(graph));
        Ok(GraphId(handles.graphs.len() as u32 - 1))
    }

    fn replay(&self, graph: GraphId, stream: StreamId) -> Result<()> {
        self.bind()?;
        let stream = self.stream_of(stream)?;
        let found = self.handles().graphs.get(graph.0 as usize).copied().flatten();
        let graph = found.ok_or_else(|| Error::failed(format!("{}: there is no graph {}", self.gpu.name, graph.0)))?;
        // SAFETY: graph and stream live.
        self.done(unsafe { result::graph::launch(graph, stream) }, || "replaying a graph".to_string())
    }

    fn release(&self, graph: GraphId) {
        let graph = self.handles().graphs.get_mut(graph.0 as usize).and_then(Option::take);
        if let Some(graph) = graph
            && self.bind().is_ok()
        {
            // SAFETY: taken out of the table, so destroyed once; a replay that is under way is finished first.
            let _ = unsafe { result::graph::exec_destroy(graph) };
        }
    }

    fn synchronize(&self) -> Result<()> {
        self.bind()?;
        self.done(result::ctx::synchronize(), || "waiting for its work".to_string())?;
        // Every event has happened: they can be used again.
        self.handles().events_in_use = 0;
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A lost device refuses all of this; the driver cleans up when the process ends.
        if self.bind().is_ok() {
            let _ = result::ctx::synchronize();
            let handles = self.handles.get_mut().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: every handle was made by this device and is destroyed once; nothing runs any more.
            unsafe {
                for graph in handles.graphs.drain(..).flatten() {
                    let _ = result::graph::exec_destroy(graph);
                }
                for event in handles.events.drain(..) {
                    let _ = result::event::destroy(event);
                }
                for stream in handles.streams.drain(..) {
                    let _ = result::stream::destroy(stream);
                }
            }
            self.modules = None;
        }
        // SAFETY: retained once in `open`.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// A launch's parameters as one block of bytes, in the form `cuLaunchKernel` takes them by its argument `extra`
/// (CUDA Driver API manual, 6.21 "Execution Control").
#[derive(Debug)]
struct ParameterBlock<'a> {
    bytes: &'a [u8],
    size: usize,
    list: [*mut c_void; 5],
}

impl<'a> ParameterBlock<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, size: bytes.len(), list: [ptr::null_mut(); 5] }
    }

    /// The list that the driver reads. It points into this block, which has to outlive its use.
    fn extra(&mut self) -> *mut *mut c_void {
        self.list = [
            sys::CU_LAUNCH_PARAM_BUFFER_POINTER_AS_INT as usize as *mut c_void,
            self.bytes.as_ptr().cast_mut().cast(),
            sys::CU_LAUNCH_PARAM_BUFFER_SIZE_AS_INT as usize as *mut c_void,
            (&raw mut self.size).cast(),
            sys::CU_LAUNCH_PARAM_END_AS_INT as usize as *mut c_void,
        ];
        self.list.as_mut_ptr()
    }
}
