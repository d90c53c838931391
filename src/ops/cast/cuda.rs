//! The GPU's code: `kernels/cast.cu`.

use crate::tape::{Argument, Launcher};

/// Threads of a block.
const THREADS: usize = 256;
/// Elements of a thread in one turn.
const EACH: usize = 4;
/// Turns of a block in the largest tensor, and how many blocks share one tensor at most: enough to fill a GPU, and few
/// that find nothing to do in small tensors.
const TURNS: usize = 4;
const BLOCKS: usize = 64;

pub(super) fn launch(launcher: &mut Launcher<'_>) {
    let tensors = launcher.input_count();
    let largest = (0..tensors).map(|index| launcher.input_shape(index).count()).max().expect("a value is cast");
    let blocks = largest.div_ceil(THREADS * EACH * TURNS).min(BLOCKS);
    let words = (0..tensors).flat_map(|index| {
        let count = launcher.input_shape(index).count() as u64;
        [launcher.input(index), launcher.output(index), Argument::U64(count)]
    });
    let words = words.collect();
    let name = format!("cast_{}_{}", launcher.input_dtype(0), launcher.output_dtype(0));
    let table = launcher.table(words);
    launcher.launch(name, [blocks, tensors, 1], THREADS as u32, vec![table]);
}
