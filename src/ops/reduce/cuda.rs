//! The GPU's code: `kernels/reduce.cu`.

use bytemuck::{Pod, Zeroable};

use super::view::View;
use crate::ops::packs::{launch, structure};
use crate::tape::{Argument, Launcher};

/// Threads of a block.
const THREADS: usize = 256;

/// Columns side by side that a warp needs to read whole sectors.
const WHOLE_SECTORS: usize = 8;

/// Rows of a chunk for each thread that shares a column: a chain of additions so long.
const CHAIN: usize = 32;

/// Blocks that fill a large GPU several times: no axis is cut to make more.
const BLOCKS: usize = 2048;

/// How blocks and threads share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    view: View,
    chunks: usize,
    chunk_rows: usize,
    width: usize,
    height: usize,
    /// Whether threads side by side take neighbouring rows, or neighbouring columns.
    rows_first: bool,
}

/// `Reduction` of `kernels/reduce.cu`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Reduction {
    axis: u32,
    inner: u32,
    columns: u32,
    chunks: u32,
    chunk_rows: u32,
    width: u32,
    height: u32,
    column_step: u32,
    row_step: u32,
}

/// The largest power of two that is not above `x`.
fn power(x: usize) -> usize {
    1 << x.max(1).ilog2()
}

impl Cut {
    /// A block per tile of columns takes the whole axis.
    fn whole(view: View) -> Self {
        let View { axis, inner, .. } = view;
        let rows_first = inner < WHOLE_SECTORS;
        let height = match rows_first {
            // A warp for rows that need no more than one, and then four rows for each thread; the columns of one `outer` are
            // side by side in memory, and so in a block.
            true => power(axis).min(32).max(power(axis / 4).min(THREADS / inner.next_power_of_two())),
            // What a warp of columns leaves.
            false => power(axis).min(THREADS / power(view.columns()).min(32)),
        };
        Self { view, chunks: 1, chunk_rows: axis, width: THREADS / height, height, rows_first }
    }

    /// As [`Cut::whole`], in chunks if the axis is long and the blocks would be few.
    fn chunked(view: View) -> Self {
        let whole = Self::whole(view);
        let wanted = view.axis.div_ceil(whole.height * CHAIN).min((BLOCKS / whole.tiles()).max(1));
        let chunk_rows = view.axis.div_ceil(wanted);
        Self { chunk_rows, chunks: view.axis.div_ceil(chunk_rows), ..whole }
    }

    fn tiles(self) -> usize {
        self.view.columns().div_ceil(self.width)
    }

    /// Elements of the chunks' sums.
    fn partials(self) -> usize {
        if self.chunks > 1 { self.chunks * self.view.columns() } else { 0 }
    }

    fn argument(self) -> Argument {
        structure(Reduction {
            axis: self.view.axis as u32,
            inner: self.view.inner as u32,
            columns: self.view.columns() as u32,
            chunks: self.chunks as u32,
            chunk_rows: self.chunk_rows as u32,
            width: self.width as u32,
            height: self.height as u32,
            column_step: if self.rows_first { self.height as u32 } else { 1 },
            row_step: if self.rows_first { 1 } else { self.width as u32 },
        })
    }

    fn launch(self, launcher: &mut Launcher<'_>, kernel: String, arguments: Vec<Argument>) {
        launcher.launch(kernel, [self.tiles() * self.chunks, 1, 1], THREADS as u32, arguments);
    }
}

/// Bytes of the chunks' sums.
pub(super) fn workspace(view: View) -> usize {
    4 * Cut::chunked(view).partials()
}

pub(super) fn sum(launcher: &mut Launcher<'_>, view: View, factor: f64) {
    let kernel = format!("sum_{}", launcher.output_dtype(0));
    let cut = Cut::chunked(view);
    let (x, y, factor) = (launcher.input(0), launcher.output(0), Argument::F32(factor as f32));
    if cut.chunks == 1 {
        return cut.launch(launcher, kernel, vec![x, y, cut.argument(), factor]);
    }
    let partials = launcher.workspace(0, workspace(view));
    cut.launch(launcher, kernel.clone(), vec![x, partials.clone(), cut.argument(), Argument::F32(1.0)]);
    let rest = Cut::whole(View { axis: cut.chunks, ..view });
    rest.launch(launcher, kernel, vec![partials, y, rest.argument(), factor]);
}

pub(super) fn max(launcher: &mut Launcher<'_>, view: View) {
    let (kernel, cut) = (format!("max_{}", launcher.output_dtype(0)), Cut::whole(view));
    let arguments = vec![launcher.input(0), launcher.output(0), launcher.output(1), cut.argument()];
    cut.launch(launcher, kernel, arguments);
}

pub(super) fn max_gradient(launcher: &mut Launcher<'_>, view: View) {
    let (kernel, count) = (format!("max_gradient_{}", launcher.output_dtype(0)), launcher.output_shape(0).count());
    let sizes = [view.axis, view.inner, count].map(Argument::from);
    let mut arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0)];
    arguments.extend(sizes);
    launch(launcher, kernel, count, arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_belongs_to_one_chunk_and_blocks_are_full() {
        for outer in [1, 3, 4096] {
            for axis in [1, 2, 10, 100, 8193, 1_000_003] {
                for inner in [1, 3, 16, 100, 4096] {
                    let view = View { outer, axis, inner };
                    let cut = Cut::chunked(view);
                    assert_eq!(cut.width * cut.height, THREADS, "{cut:?}");
                    assert!(cut.height <= axis && cut.height.is_power_of_two(), "{cut:?}");
                    assert!((cut.chunks - 1) * cut.chunk_rows < axis && cut.chunks * cut.chunk_rows >= axis, "{cut:?}");
                    // Nobody adds up for long while others have nothing to do.
                    assert!(cut.tiles() * cut.chunks >= BLOCKS / 2 || cut.chunk_rows <= cut.height * CHAIN, "{cut:?}");
                }
            }
        }
    }
}
