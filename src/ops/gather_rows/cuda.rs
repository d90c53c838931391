//! The GPU's code: `kernels/gather_rows.cu`.

use crate::ops::packs::{common_lanes, lanes, launch};
use crate::tape::Launcher;

/// Columns of a block of scatter, a thread each.
const COLUMNS: usize = 128;

pub(super) fn gather(launcher: &mut Launcher<'_>) {
    let (dtype, table, count) = (launcher.output_dtype(0), launcher.input_shape(0), launcher.output_shape(0).count());
    let lanes = if common_lanes(dtype, &[table[1]]) == lanes(dtype) { lanes(dtype) } else { 1 };
    let (packs, threads) = (table[1] / lanes, count / lanes);
    let mut arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0)];
    arguments.extend([table[0], packs, lanes, threads].map(Into::into));
    launch(launcher, "gather_rows_f32".to_string(), threads, arguments);
}

pub(super) fn scatter(launcher: &mut Launcher<'_>) {
    let (table, count) = (launcher.output_shape(0), launcher.input_shape(0).count());
    let mut arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0)];
    arguments.extend([table[1], count, table[0]].map(Into::into));
    let grid = [count, table[1].div_ceil(COLUMNS), 1];
    launcher.launch("scatter_rows_f32", grid, COLUMNS as u32, arguments);
}
