//! The GPU's code: `kernels/gather_channels.cu`.

use crate::ops::packs::{THREADS, launch};
use crate::tape::Launcher;

/// Elements of a block: `ELEMENTS` in `kernels/gather_channels.cu`.
const ELEMENTS: usize = 2048;

pub(super) fn forward(launcher: &mut Launcher<'_>) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let [channels, picks] = [launcher.input_shape(0).channels(), launcher.output_shape(0).channels()];
    let mut arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0)];
    arguments.extend([count.into(), channels.into(), picks.into()]);
    launcher.launch(format!("gather_channels_{dtype}"), [count.div_ceil(ELEMENTS), 1, 1], THREADS as u32, arguments);
}

pub(super) fn backward(launcher: &mut Launcher<'_>) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let [channels, picks] = [launcher.output_shape(0).channels(), launcher.input_shape(0).channels()];
    let starts = launcher.workspace(0, 4 * (channels + 1));
    let order = launcher.workspace(4 * (channels + 1), 4 * picks);
    let arguments = vec![launcher.input(1), starts.clone(), order.clone(), channels.into(), picks.into()];
    launch(launcher, "gather_channels_sort_u32".to_string(), picks.max(channels + 1), arguments);
    let mut arguments = vec![launcher.input(0), starts, order, launcher.output(0)];
    arguments.extend([count.into(), channels.into(), picks.into()]);
    let blocks = count.div_ceil(ELEMENTS);
    launcher.launch(format!("gather_channels_backward_{dtype}"), [blocks, 1, 1], THREADS as u32, arguments);
}
