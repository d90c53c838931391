//! Dense and 1x1 convolutions in float32: `kernels/conv_dense.cu`, `kernels/conv_pointwise.cu` and
//! `kernels/conv_dense_wgrad.cu`.

use std::fmt;

use super::super::Conv2dGeometry;
use super::{Besides, Chunked, ConvShape, Split, optional, phases, usual_first};
use crate::tape::Launcher;

/// Rows and columns of a tile, threads of its block, and the time that a column of it takes beside the others' (wider
/// tiles load less per multiply-add).
#[derive(Debug, PartialEq)]
pub(super) struct Tile {
    rows: usize,
    columns: usize,
    threads: u32,
    cost: usize,
}

const GATHER: [Tile; 3] = [
    Tile { rows: 128, columns: 64, threads: 128, cost: 5 },
    Tile { rows: 128, columns: 32, threads: 128, cost: 6 },
    Tile { rows: 128, columns: 16, threads: 64, cost: 7 },
];
/// For what would be too few blocks else.
const SMALL: Tile = Tile { rows: 32, columns: 32, threads: 64, cost: 10 };
const WGRAD: [Tile; 3] = [
    Tile { rows: 128, columns: 64, threads: 128, cost: 5 },
    Tile { rows: 64, columns: 32, threads: 64, cost: 6 },
    Tile { rows: 64, columns: 16, threads: 64, cost: 7 },
];

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns)
    }
}

impl Tile {
    fn grid(&self, rows: usize, columns: usize) -> [usize; 2] {
        [rows.div_ceil(self.rows), columns.div_ceil(self.columns)]
    }

    /// The tile that spends the least on `columns`, idle columns included.
    fn for_columns(tiles: &'static [Self], columns: usize) -> &'static Self {
        let cost = |tile: &&Self| columns.next_multiple_of(tile.columns) * tile.cost;
        tiles.iter().min_by_key(cost).expect("there are tiles")
    }

    /// The tiles for `pixels` x `columns` sums. The usual one comes first: on enough blocks to keep a GPU busy if there are
    /// that many.
    fn for_gather(pixels: usize, columns: usize) -> Vec<&'static Self> {
        const BLOCKS: usize = 64;
        let tile = Self::for_columns(&GATHER, columns);
        let [down, across] = tile.grid(pixels, columns);
        usual_first(if down * across < BLOCKS { &SMALL } else { tile }, GATHER.iter().chain([&SMALL]))
    }
}

/// The tiles of the forward pass, the usual one first.
pub(super) fn fprop_tiles(geometry: &Conv2dGeometry) -> Vec<&'static Tile> {
    let [rows, columns] = geometry.output();
    Tile::for_gather(geometry.batch * rows * columns, geometry.out_channels)
}

/// The tiles of the input gradient, the usual one first.
pub(super) fn dgrad_tiles(geometry: &Conv2dGeometry) -> Vec<&'static Tile> {
    let (phases, pixels) = phases(geometry);
    Tile::for_gather(phases * pixels, geometry.in_channels)
}

pub(super) fn fprop(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry, besides: Besides) {
    let [rows, columns] = geometry.output();
    let pixels = geometry.batch * rows * columns;
    let tile = fprop_tiles(geometry)[launcher.variant()];
    let [down, across] = tile.grid(pixels, geometry.out_channels);
    let kernel = match geometry.kernel == [1, 1] && geometry.padding == [0, 0] {
        true => format!("conv_pointwise_fprop_{tile}_f32"),
        false => format!("conv_fprop_{tile}_f32"),
    };
    let mut arguments = besides.arguments(launcher, None, true);
    arguments.push(ConvShape::from(geometry).into());
    launcher.launch(kernel, [down, across, 1], tile.threads, arguments);
}

pub(super) fn dgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let (phases, pixels) = phases(geometry);
    let tile = dgrad_tiles(geometry)[launcher.variant()];
    let [down, across] = tile.grid(pixels, geometry.in_channels);
    let kernel = match geometry.is_pointwise() {
        true => format!("conv_pointwise_dgrad_{tile}_f32"),
        false => format!("conv_dgrad_{tile}_f32"),
    };
    let addend = optional(launcher, 2);
    let shape = ConvShape::from(geometry).into();
    let arguments = vec![launcher.input(0), launcher.input(1), addend, launcher.output(0), shape];
    launcher.launch(kernel, [down, across, phases], tile.threads, arguments);
}

/// Rows of the weights as a matrix, with one more for the bias.
fn rows(geometry: &Conv2dGeometry, with_bias: bool) -> usize {
    geometry.weight_count() / geometry.out_channels + usize::from(with_bias)
}

/// The ways to make the weight gradient, the usual one first.
pub(super) fn wgrads(geometry: &Conv2dGeometry, with_bias: bool) -> Vec<Chunked<&'static Tile>> {
    let tiles = usual_first(Tile::for_columns(&WGRAD, geometry.out_channels), &WGRAD);
    Chunked::all(tiles, |tile, blocks| {
        let [down, across] = tile.grid(rows(geometry, with_bias), geometry.out_channels);
        Split::new(geometry, with_bias, blocks.div_ceil(down * across), 64, 8)
    })
}

pub(super) fn wgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let with_bias = launcher.output_count() > 1;
    let Chunked { tile, split } = wgrads(geometry, with_bias)[launcher.variant()];
    let grid = tile.grid(rows(geometry, with_bias), geometry.out_channels);
    split.launch(launcher, geometry, &format!("conv_wgrad_{tile}_f32"), grid, tile.threads, None);
}
