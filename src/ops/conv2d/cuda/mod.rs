//! The GPU's code: which kernels make a pass, by geometry and element type.
//!
//! | geometry | kernels |
//! |---|---|
//! | every channel alone | `kernels/conv_depthwise.cu` |
//! | several groups | `kernels/conv_grouped.cu` |
//! | up to four input channels (not the input gradient) | `kernels/conv_first.cu` |
//! | anything else, float32 | `kernels/conv_dense.cu`, `kernels/conv_pointwise.cu`, `kernels/conv_dense_wgrad.cu` |
//! | anything else, bf16, or float32 where TF32 is allowed and channels come in fours | [`tensor`] |

mod dense;
mod depthwise;
mod first;
mod grouped;
mod tensor;

use std::fmt;

use bytemuck::{Pod, Zeroable};

use super::Conv2dGeometry;
use crate::error::Result;
use crate::ops::batch_norm::partials;
use crate::tape::{Argument, Launcher, Signature, Variants};
use crate::tensor::{DType, Shape};

/// `ConvShape` of `kernels/conv.cuh`: the geometry as kernels read it, passed by value.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct ConvShape {
    batch: u32,
    height: u32,
    width: u32,
    in_channels: u32,
    out_height: u32,
    out_width: u32,
    out_channels: u32,
    kernel: [u32; 2],
    stride: [u32; 2],
    padding: [u32; 2],
    dilation: [u32; 2],
    groups: u32,
}

impl From<&Conv2dGeometry> for ConvShape {
    fn from(geometry: &Conv2dGeometry) -> Self {
        let [out_height, out_width] = geometry.output();
        // A checked geometry has tensors of less than 2^32 elements.
        let pair = |[rows, columns]: [usize; 2]| [rows as u32, columns as u32];
        Self {
            batch: geometry.batch as u32,
            height: geometry.height as u32,
            width: geometry.width as u32,
            in_channels: geometry.in_channels as u32,
            out_height: out_height as u32,
            out_width: out_width as u32,
            out_channels: geometry.out_channels as u32,
            kernel: pair(geometry.kernel),
            stride: pair(geometry.stride),
            padding: pair(geometry.padding),
            dilation: pair(geometry.dilation),
            groups: geometry.groups as u32,
        }
    }
}

impl From<ConvShape> for Argument {
    fn from(shape: ConvShape) -> Self {
        Self::Structure(bytemuck::bytes_of(&shape).into())
    }
}

/// Which kernels a geometry takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dense,
    Grouped,
    Depthwise,
    First,
}

impl Kind {
    fn of(geometry: &Conv2dGeometry) -> Self {
        if geometry.is_depthwise() {
            Self::Depthwise
        } else if geometry.groups > 1 {
            Self::Grouped
        } else if geometry.in_channels <= 4 && geometry.kernel != [1, 1] {
            Self::First
        } else {
            Self::Dense
        }
    }
}

/// Whether a dense convolution goes to the tensor cores.
fn on_tensor_cores(geometry: &Conv2dGeometry, dtype: DType, tf32: bool) -> bool {
    dtype == DType::BF16 || tf32 && tensor::in_packs(geometry, dtype)
}

/// Rows of the smallest tile that a forward pass as a matrix product may take.
const LEAST_ROWS: usize = 32;

/// A place for BatchNorm's partial statistics of the forward pass's output of type `dtype`; `None` where its kernel does not
/// leave them.
pub(super) fn statistics(geometry: &Conv2dGeometry, dtype: DType) -> Option<Shape> {
    let [rows, columns] = geometry.output();
    let most = match Kind::of(geometry) {
        Kind::Depthwise => depthwise::most_partials(geometry, 16 / dtype.size())?,
        _ => (geometry.batch * rows * columns).div_ceil(LEAST_ROWS),
    };
    Some(partials(most, geometry.out_channels))
}

/// What a forward pass takes in and leaves beside its input 0, `x`, its input 1, `w`, and its output 0, `y`.
#[derive(Clone, Debug)]
pub(super) struct Besides {
    bias: Argument,
    statistics: Argument,
    finish: Vec<Argument>,
}

impl Besides {
    /// Nothing.
    fn none() -> Self {
        let finish = [vec![NULL; 5], vec![0f32.into(), 0u32.into()]].concat();
        Self { bias: NULL, statistics: NULL, finish }
    }

    /// A bias, if there is an input 2, and partial statistics, if there is an output 1.
    pub fn of_convolution(launcher: &Launcher<'_>) -> Self {
        let statistics = if launcher.output_count() > 1 { launcher.output(1) } else { NULL };
        Self { bias: optional(launcher, 2), statistics, ..Self::none() }
    }

    /// A BatchNorm with running statistics (`Finish` in `kernels/finish.cuh`): gamma, beta, mean and variance are inputs 2 to
    /// 5, then the convolution's bias, then the residual, where there are such.
    pub fn of_normalised(launcher: &Launcher<'_>, bias: bool, residual: bool, relu: bool, epsilon: f64) -> Self {
        let mut finish: Vec<Argument> = (2..6).map(|index| launcher.input(index)).collect();
        finish.push(if residual { launcher.input(6 + usize::from(bias)) } else { NULL });
        finish.extend([(epsilon as f32).into(), u32::from(relu).into()]);
        Self { bias: if bias { launcher.input(6) } else { NULL }, statistics: NULL, finish }
    }

    /// The arguments up to the finish: `x`, `w`, the bias, `between`, `y`, and the statistics if the kernel leaves them.
    fn arguments(self, launcher: &Launcher<'_>, between: Option<Argument>, leaves_statistics: bool) -> Vec<Argument> {
        let mut arguments = vec![launcher.input(0), launcher.input(1), self.bias];
        arguments.extend(between);
        arguments.push(launcher.output(0));
        if leaves_statistics {
            arguments.push(self.statistics);
        }
        arguments.extend(self.finish);
        arguments
    }
}

/// The forward pass.
pub(super) fn fprop(
    launcher: &mut Launcher<'_>,
    geometry: &Conv2dGeometry,
    tf32: bool,
    besides: Besides,
) -> Result<()> {
    match (Kind::of(geometry), on_tensor_cores(geometry, launcher.input_dtype(0), tf32)) {
        (Kind::Depthwise, _) => depthwise::fprop(launcher, geometry, besides),
        (Kind::Grouped, _) => grouped::fprop(launcher, geometry, besides),
        (Kind::First, _) => first::fprop(launcher, geometry, besides),
        (Kind::Dense, true) => tensor::fprop(launcher, geometry, besides),
        (Kind::Dense, _) => dense::fprop(launcher, geometry, besides),
    }
    Ok(())
}

/// The input gradient: inputs `dy`, `w` and maybe an addend, output `dx`.
pub(super) fn dgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry, tf32: bool) -> Result<()> {
    match (Kind::of(geometry), on_tensor_cores(geometry, launcher.input_dtype(0), tf32)) {
        (Kind::Depthwise, _) => depthwise::dgrad(launcher, geometry),
        (Kind::Grouped, _) => grouped::dgrad(launcher, geometry),
        (Kind::Dense | Kind::First, true) => tensor::dgrad(launcher, geometry),
        (Kind::Dense | Kind::First, _) => dense::dgrad(launcher, geometry),
    }
    Ok(())
}

/// The weight gradient: inputs `x` and `dy`, outputs `dw` and maybe `d_bias`, both float32.
pub(super) fn wgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry, tf32: bool) -> Result<()> {
    match (Kind::of(geometry), on_tensor_cores(geometry, launcher.input_dtype(0), tf32)) {
        (Kind::Depthwise, _) => depthwise::wgrad(launcher, geometry),
        (Kind::Grouped, _) => grouped::wgrad(launcher, geometry),
        (Kind::First, _) => first::wgrad(launcher, geometry),
        (Kind::Dense, true) => tensor::wgrad(launcher, geometry),
        (Kind::Dense, _) => dense::wgrad(launcher, geometry),
    }
    Ok(())
}

/// Bytes of workspace that [`wgrad`] needs.
pub(super) fn wgrad_workspace(geometry: &Conv2dGeometry, tf32: bool, signature: &Signature) -> usize {
    let (dtype, with_bias, variant) = (signature.inputs[0].0, signature.outputs.len() > 1, signature.variant);
    let split = match (Kind::of(geometry), on_tensor_cores(geometry, dtype, tf32)) {
        (Kind::Depthwise, _) => depthwise::wgrads(geometry, 16 / dtype.size(), with_bias)[variant].split,
        (Kind::Grouped, _) => grouped::wgrads(geometry, with_bias)[variant].split,
        (Kind::First, _) => first::wgrads(geometry, with_bias)[variant].split,
        (Kind::Dense, true) => tensor::wgrads(geometry, dtype, with_bias)[variant].split,
        (Kind::Dense, _) => dense::wgrads(geometry, with_bias)[variant].split,
    };
    split.workspace()
}

/// A pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Fprop,
    Dgrad,
    Wgrad,
}

/// The ways to do a pass, for an operation called `name` with these inputs and outputs. All kernels of a geometry are
/// right for it, whatever their tile.
pub(super) fn variants(
    pass: Pass,
    name: &str,
    geometry: &Conv2dGeometry,
    tf32: bool,
    signature: &Signature,
) -> Variants {
    let dtype = signature.inputs[0].0;
    let (lanes, with_bias) = (16 / dtype.size(), signature.outputs.len() > 1);
    let kind = match Kind::of(geometry) {
        Kind::First if pass == Pass::Dgrad => Kind::Dense,
        kind => kind,
    };
    let is_tensor = kind == Kind::Dense && on_tensor_cores(geometry, dtype, tf32);
    let names = match (pass, kind) {
        (Pass::Fprop | Pass::Dgrad, Kind::Depthwise | Kind::Grouped) => vec!["one".to_string()],
        (Pass::Fprop, Kind::First) => names(&first::fprop_tiles(geometry)),
        (Pass::Fprop, _) if is_tensor => names(&tensor::fprop_tiles(geometry, dtype)),
        (Pass::Fprop, _) => names(&dense::fprop_tiles(geometry)),
        (Pass::Dgrad, _) if is_tensor => names(&tensor::dgrad_tiles(geometry, dtype)),
        (Pass::Dgrad, _) => names(&dense::dgrad_tiles(geometry)),
        (Pass::Wgrad, Kind::Depthwise) => names(&depthwise::wgrads(geometry, lanes, with_bias)),
        (Pass::Wgrad, Kind::Grouped) => names(&grouped::wgrads(geometry, with_bias)),
        (Pass::Wgrad, Kind::First) => names(&first::wgrads(geometry, with_bias)),
        (Pass::Wgrad, _) if is_tensor => names(&tensor::wgrads(geometry, dtype, with_bias)),
        (Pass::Wgrad, _) => names(&dense::wgrads(geometry, with_bias)),
    };
    // What else goes in and out shows in how many tensors there are: bias, residual, addend; statistics.
    let (inputs, outputs) = (signature.inputs.len(), signature.outputs.len());
    let precision = if is_tensor && dtype == DType::F32 { "tf32".to_string() } else { dtype.to_string() };
    Variants { key: format!("{name} {inputs}:{outputs} {precision} {geometry}"), names }
}

fn names<T: fmt::Display>(ways: &[T]) -> Vec<String> {
    ways.iter().map(T::to_string).collect()
}

/// `usual`, then the others.
fn usual_first<T: PartialEq>(usual: T, all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut ordered = vec![usual];
    for one in all {
        if !ordered.contains(&one) {
            ordered.push(one);
        }
    }
    ordered
}

/// A way to make a weight gradient: a tile, and how the pixels are cut.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Chunked<T> {
    tile: T,
    split: Split,
}

impl<T: Copy + PartialEq> Chunked<T> {
    /// Every one of `tiles` with pixels cut by `split` for a number of blocks; the first tile with the usual number comes
    /// first.
    fn all(tiles: Vec<T>, split: impl Fn(T, usize) -> Split) -> Vec<Self> {
        const BLOCKS: [usize; 5] = [512, 128, 256, 1024, 2048];
        let each = |tile: T| BLOCKS.map(|blocks| Self { tile, split: split(tile, blocks) });
        let mut ways = tiles.into_iter().flat_map(each);
        let usual = ways.next().expect("there is a tile");
        usual_first(usual, ways)
    }
}

impl<T: fmt::Display> fmt::Display for Chunked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} chunks", self.tile, self.split.chunks)
    }
}

/// How the pixels of a weight gradient are cut into chunks with partial sums of their own; the shape alone decides.
///
/// A partial gradient has the weights and behind them, where wanted, the bias; `conv_sum_f32` adds the chunks up in
/// order. A single chunk without a bias is the gradient: then `dw` takes it and nothing is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Split {
    /// How many chunks there are.
    chunks: usize,
    /// Pixels of the output in every chunk but the last, which may have less.
    pixels: usize,
    /// Elements of one partial gradient.
    len: usize,
    /// There is one chunk, and nothing behind its weights.
    is_whole: bool,
}

impl Split {
    /// Cuts the pixels of `geometry` into `chunks` chunks, or fewer with at least `least` pixels each; pixels are a multiple
    /// of `step`.
    fn new(geometry: &Conv2dGeometry, with_bias: bool, chunks: usize, least: usize, step: usize) -> Self {
        let [rows, columns] = geometry.output();
        let all = geometry.batch * rows * columns;
        let chunks = chunks.min(all.div_ceil(least)).max(1);
        let pixels = all.div_ceil(chunks).next_multiple_of(step);
        let len = geometry.weight_count() + if with_bias { geometry.out_channels } else { 0 };
        let chunks = all.div_ceil(pixels);
        Self { chunks, pixels, len, is_whole: chunks == 1 && !with_bias }
    }

    /// Bytes of all partial gradients together.
    fn workspace(&self) -> usize {
        if self.is_whole { 0 } else { self.chunks * self.len * size_of::<f32>() }
    }

    /// A pointer to the partial gradients `[chunks, len]`.
    fn partials(&self, launcher: &Launcher<'_>) -> Argument {
        if self.is_whole { launcher.output(0) } else { launcher.workspace(0, self.workspace()) }
    }

    /// Launches a kernel that leaves partial gradients, in `tiles` (rows, columns) for every chunk, and the one that
    /// adds them up into `dw` and `d_bias`. `extra` is a last argument.
    fn launch(
        &self,
        launcher: &mut Launcher<'_>,
        geometry: &Conv2dGeometry,
        kernel: &str,
        tiles: [usize; 2],
        threads: u32,
        extra: Option<Argument>,
    ) {
        let shape = ConvShape::from(geometry).into();
        let (x, dy) = (launcher.input(0), launcher.input(1));
        let mut arguments = vec![x, dy, self.partials(launcher), shape, self.pixels.into(), self.len.into()];
        arguments.extend(extra);
        launcher.launch(kernel, [tiles[0], tiles[1], self.chunks], threads, arguments);
        self.sum(launcher);
    }

    /// Launches the kernel that adds the partial gradients up into `dw` and `d_bias`.
    fn sum(&self, launcher: &mut Launcher<'_>) {
        const THREADS: usize = 256;
        if self.is_whole {
            return;
        }
        let d_bias = if launcher.output_count() > 1 { launcher.output(1) } else { NULL };
        let weights = launcher.output_shape(0).count().into();
        let (partials, dw) = (self.partials(launcher), launcher.output(0));
        let arguments = vec![partials, dw, d_bias, weights, self.len.into(), self.chunks.into()];
        launcher.launch("conv_sum_f32", [self.len.div_ceil(THREADS), 1, 1], THREADS as u32, arguments);
    }
}

/// The phases of an input gradient, one for each remainder of a pixel to the stride, and the pixels of the largest.
fn phases(geometry: &Conv2dGeometry) -> (usize, usize) {
    let [down, across] = geometry.stride;
    let phases = down.min(geometry.height) * across.min(geometry.width);
    (phases, geometry.batch * geometry.height.div_ceil(down) * geometry.width.div_ceil(across))
}

/// A pointer to nothing: no bias, no addend.
const NULL: Argument = Argument::U64(0);

/// The input at `index` if there is one.
fn optional(launcher: &Launcher<'_>, index: usize) -> Argument {
    if launcher.input_count() > index { launcher.input(index) } else { NULL }
}
