//! The GPU's code: `kernels/clock.cu`.

use crate::ops::packs::NULL;
use crate::tape::Launcher;

/// Threads of the one block.
const THREADS: u32 = 256;

pub(super) fn launch(launcher: &mut Launcher<'_>, has_rates: bool) {
    let (rates, rate) = match has_rates {
        true => (launcher.input(1), launcher.output(4)),
        false => (NULL, NULL),
    };
    let mut arguments = vec![launcher.input(0), rates];
    arguments.extend((0..4).map(|index| launcher.output(index)));
    arguments.extend([rate, launcher.input_shape(0).count().into(), launcher.output_shape(1).count().into()]);
    launcher.launch("clock_tick", [1, 1, 1], THREADS, arguments);
}
