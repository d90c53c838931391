//! The GPU's code: `kernels/matmul.cu`.

use bytemuck::{Pod, Zeroable};

use super::product::{Product, Strides};
use crate::ops::packs::{NULL, THREADS, structure};
use crate::tape::Launcher;

/// The structure of the same name in `kernels/matmul.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Factor {
    batch: u32,
    outer: u32,
    inner: u32,
    turned: u32,
    whole: u32,
}

/// The structure of the same name in `kernels/matmul.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Matmul {
    groups: u32,
    added: u32,
    rows: u32,
    columns: u32,
    depth: u32,
    a: Factor,
    b: Factor,
    y_row: u32,
    y_column: u32,
    y_whole: u32,
    tiles_down: u32,
    tiles_across: u32,
    slices: u32,
    slices_per_chunk: u32,
}

fn small(extent: usize) -> u32 {
    u32::try_from(extent).expect("tensors have less than 2^32 elements")
}

impl Factor {
    /// A factor with `outer` rows or columns of the result and `depth` summands.
    fn new(strides: Strides, outer: usize, depth: usize) -> Self {
        let turned = strides.inner == 1 && depth > 1;
        // Lines and matrices follow one another without gaps, so that all begin at multiples of a line's length.
        let whole = if turned { depth } else { outer }.is_multiple_of(4);
        Self {
            batch: small(strides.batch),
            outer: small(strides.outer),
            inner: small(strides.inner),
            turned: turned.into(),
            whole: whole.into(),
        }
    }
}

/// The tile of a kernel, and its threads.
#[derive(Clone, Copy, Debug)]
struct Tile {
    kernel: &'static str,
    rows: usize,
    columns: usize,
    depth: usize,
    threads: u32,
}

const SQUARE: Tile = Tile { kernel: "matmul_f32", rows: 64, columns: 64, depth: 16, threads: 256 };
const NARROW: Tile = Tile { kernel: "matmul_narrow_f32", rows: 256, columns: 4, depth: 8, threads: 64 };

/// Blocks that keep a GPU busy.
const BLOCKS: usize = 512;
/// Slices that a chunk of summands has at least.
const LEAST_SLICES: usize = 16;

/// How a product is done: by shape alone.
#[derive(Clone, Copy, Debug)]
struct Way {
    tile: Tile,
    /// The factors change places.
    turned: bool,
    product: Product,
    tiles: [usize; 2],
    slices: usize,
    slices_per_chunk: usize,
    chunks: usize,
}

impl Way {
    fn of(product: &Product) -> Self {
        let narrow = product.rows.min(product.columns) <= NARROW.columns;
        let turned = narrow && product.rows < product.columns;
        let (tile, product) = match (narrow, turned) {
            (false, _) => (SQUARE, *product),
            (true, false) => (NARROW, *product),
            (true, true) => (NARROW, product.turned()),
        };
        let tiles = [product.rows.div_ceil(tile.rows), product.columns.div_ceil(tile.columns)];
        let slices = product.added * product.depth.div_ceil(tile.depth);
        let blocks = product.groups * tiles[0] * tiles[1];
        let wanted = BLOCKS.div_ceil(blocks).min(slices / LEAST_SLICES).max(1);
        let slices_per_chunk = slices.div_ceil(wanted);
        Self { tile, turned, product, tiles, slices, slices_per_chunk, chunks: slices.div_ceil(slices_per_chunk) }
    }

    /// Bytes of the partial results.
    fn workspace(&self) -> usize {
        if self.chunks == 1 { 0 } else { self.chunks * self.product.count() * size_of::<f32>() }
    }
}

/// Bytes of workspace that [`launch`] needs.
pub(super) fn workspace(product: &Product) -> usize {
    Way::of(product).workspace()
}

pub(super) fn launch(launcher: &mut Launcher<'_>, product: &Product) {
    let way = Way::of(product);
    let Way { tile, product, tiles: [down, across], .. } = way;
    let Product { groups, added, rows, columns, depth, a, b, y } = product;
    let run = if y[1] == 1 { columns } else { rows };
    let matmul = Matmul {
        groups: small(groups),
        added: small(added),
        rows: small(rows),
        columns: small(columns),
        depth: small(depth),
        a: Factor::new(a, rows, depth),
        b: Factor::new(b, columns, depth),
        y_row: small(y[0]),
        y_column: small(y[1]),
        y_whole: run.is_multiple_of(4).into(),
        tiles_down: small(down),
        tiles_across: small(across),
        slices: small(way.slices),
        slices_per_chunk: small(way.slices_per_chunk),
    };
    let (a, b) = if way.turned { (1, 0) } else { (0, 1) };
    let (a, b) = (launcher.input(a), launcher.input(b));
    let whole = way.chunks == 1;
    let result = if whole { launcher.output(0) } else { launcher.workspace(0, way.workspace()) };
    let grid = [across * down * groups * way.chunks, 1, 1];
    launcher.launch(tile.kernel, grid, tile.threads, vec![a, b, result.clone(), structure(matmul)]);
    if !whole {
        let (y, count) = (launcher.output(0), product.count());
        let arguments = vec![result, y, NULL, count.into(), count.into(), way.chunks.into()];
        launcher.launch("conv_sum_f32", [count.div_ceil(THREADS), 1, 1], THREADS as u32, arguments);
    }
}
