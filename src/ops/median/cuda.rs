//! The GPU's code: `kernels/median.cu`.

use crate::ops::reduce::view::View;
use crate::tape::{Argument, Launcher};

/// Threads of a block at most, and rows for each where there are fewer.
const MOST_THREADS: usize = 256;
const ROWS: usize = 4;

pub(super) fn launch(launcher: &mut Launcher<'_>, view: View) {
    let kernel = format!("median_{}", launcher.output_dtype(0));
    // Whole warps.
    let threads = view.axis.div_ceil(ROWS).next_multiple_of(32).min(MOST_THREADS);
    let mut arguments = vec![launcher.input(0), launcher.output(0)];
    arguments.extend([view.axis, view.inner].map(Argument::from));
    launcher.launch(kernel, [view.columns(), 1, 1], threads as u32, arguments);
}
