//! What the memory-bound kernels share on the host: how wide a thread's accesses are, and launches of one thread per
//! access.

use crate::tape::{Argument, Launcher};
use crate::tensor::DType;

/// Threads of a block.
pub(in crate::ops) const THREADS: usize = 256;

/// A pointer to what is not there.
pub(in crate::ops) const NULL: Argument = Argument::U64(0);

/// Elements of a pack of 16 bytes.
pub(in crate::ops) fn lanes(dtype: DType) -> usize {
    16 / dtype.size()
}

/// The most elements, of 16 bytes, two and one, that divide all of `extents`.
pub(in crate::ops) fn common_lanes(dtype: DType, extents: &[usize]) -> usize {
    let divides_all = |lanes: &usize| extents.iter().all(|extent| extent.is_multiple_of(*lanes));
    [lanes(dtype), 2].into_iter().find(divides_all).unwrap_or(1)
}

/// A structure of 4-byte members by value.
pub(in crate::ops) fn structure<T: bytemuck::Pod>(content: T) -> Argument {
    Argument::Structure(bytemuck::bytes_of(&content).into())
}

/// Launches `kernel` with one thread for each of `threads`.
pub(in crate::ops) fn launch(launcher: &mut Launcher<'_>, kernel: String, threads: usize, arguments: Vec<Argument>) {
    launcher.launch(kernel, [threads.div_ceil(THREADS), 1, 1], THREADS as u32, arguments);
}
