//! The GPU's code: a launch per slice.

use crate::ops::column_copies::{Block, copy_columns};
use crate::tape::Launcher;

pub(super) fn launch(launcher: &mut Launcher<'_>, starts: &[usize]) {
    let (dtype, shape) = (launcher.input_dtype(0), launcher.input_shape(0));
    for (index, start) in starts.iter().enumerate() {
        let width = launcher.output_shape(index).channels();
        let from = Block { matrix: launcher.input(0), stride: shape.channels(), start: *start };
        let to = Block { matrix: launcher.output(index), stride: width, start: 0 };
        copy_columns(launcher, dtype, [shape.rows(), width], Some(from), None, to);
    }
}
