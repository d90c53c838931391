//! The GPU's code: `kernels/add.cu`.

use crate::tape::Launcher;

/// Threads of a block.
const THREADS: usize = 256;

pub(super) fn launch(launcher: &mut Launcher<'_>) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let lanes = 16 / dtype.size();
    let arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0), count.into()];
    launcher.launch(format!("add_{dtype}"), [count.div_ceil(lanes * THREADS), 1, 1], THREADS as u32, arguments);
}
