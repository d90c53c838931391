//! The GPU's code: `kernels/accumulate.cu`.

use crate::tape::Launcher;

/// Threads of a block.
const THREADS: usize = 256;

pub(super) fn launch(launcher: &mut Launcher<'_>) {
    let (dtype, count) = (launcher.input_dtype(0), launcher.input_shape(0).count());
    let arguments = vec![launcher.input(0), launcher.output(0), count.into()];
    launcher.launch(format!("accumulate_{dtype}"), [count.div_ceil(THREADS), 1, 1], THREADS as u32, arguments);
}
