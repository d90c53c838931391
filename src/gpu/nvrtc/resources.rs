//! What a kernel takes of a multiprocessor, as the assembler reports it.
//!
//! Shared by the build script and the engine, so nothing of the crate is used here.

/// Registers and memory of one kernel on one architecture: they bound how many blocks run at once, and a spill is
/// traffic that nobody wrote down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Registers per thread.
    pub registers: u32,
    /// Bytes per thread that are written to local memory because registers ran out.
    pub spill_stores: u32,
    /// Bytes per thread that are read back from there.
    pub spill_loads: u32,
    /// Bytes of static shared memory per block; what a launch asks for on top is not known here.
    pub shared: u32,
    /// Named barriers per block.
    pub barriers: u32,
    /// Bytes of stack per thread: arrays that are indexed by what is not known when compiled.
    pub stack: u32,
}

/// Reads the log of `ptxas -v`: the resources of every kernel, in the log's order.
///
/// Its form (12.x and 13.x), per kernel:
/// ```text
/// ptxas info    : Compiling entry function 'add_f32' for 'sm_80'
/// ptxas info    : Function properties for add_f32
/// ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 22 registers, used 1 barriers, 4096 bytes smem, 380 bytes cmem[0]
/// ```
pub fn parse(log: &str) -> Vec<(String, Resources)> {
    let mut kernels: Vec<(String, Resources)> = Vec::new();
    // Functions that are called report their properties too, without "Compiling entry function" before them.
    let mut of_entry = false;
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or_default();
            kernels.push((name.to_string(), Resources::default()));
        } else if let Some((_, name)) = line.split_once("Function properties for ") {
            of_entry = kernels.last().is_some_and(|(kernel, _)| kernel == name.trim());
        } else if let Some((_, kernel)) = kernels.last_mut().filter(|_| of_entry) {
            if line.contains(" bytes stack frame, ") {
                kernel.stack = before(line, " bytes stack frame");
                kernel.spill_stores = before(line, " bytes spill stores");
                kernel.spill_loads = before(line, " bytes spill loads");
            } else if line.contains(": Used ") {
                kernel.registers = before(line, " registers");
                kernel.barriers = before(line, " barriers");
                kernel.shared = before(line, " bytes smem");
            }
        }
    }
    kernels
}

/// The number that stands right before `unit` in `line`; 0 where the unit is not named.
fn before(line: &str, unit: &str) -> u32 {
    let Some((head, _)) = line.split_once(unit) else { return 0 };
    let digits = head.len() - head.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    head[head.len() - digits..].parse().unwrap_or(0)
}
