//! The GPU's code: a launch per block of columns.

use super::Concat;
use crate::ops::column_copies::{Block, copy_columns};
use crate::tape::Launcher;

pub(super) fn launch(launcher: &mut Launcher<'_>, concat: &Concat) {
    let (dtype, shape) = (launcher.output_dtype(0), launcher.output_shape(0));
    let (rows, stride) = (shape.rows(), shape.channels());
    let addend = concat.addend.then(|| launcher.input(concat.starts.len()));
    let y = launcher.output(0);
    let to = |start: usize| Block { matrix: y.clone(), stride, start };
    for (index, start) in concat.starts.iter().enumerate() {
        let width = launcher.input_shape(index).channels();
        let from = Block { matrix: launcher.input(index), stride: width, start: 0 };
        copy_columns(launcher, dtype, [rows, width], Some(from), addend.clone(), to(*start));
    }
    // In place the sum with a gap's zeros is there already.
    let gaps = if launcher.is_in_place() { &[] } else { &*concat.gaps };
    for (start, width) in gaps {
        copy_columns(launcher, dtype, [rows, *width], None, addend.clone(), to(*start));
    }
}
