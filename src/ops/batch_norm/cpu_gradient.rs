//! BatchNorm backward: one pass sums per channel, one pass writes the gradient of the input (and of the residual).

use super::cpu::CHANNEL_BLOCK;
use crate::ops::parallel::{Chunks, Shared};
use crate::ops::rows::{Bundle, Expanded, MAP_VECTORS, Map, SUM_VECTORS, Sum, map_rows, sum_rows};
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// Where the upstream gradient passes a fused ReLU.
#[derive(Clone, Copy, Debug)]
pub enum Mask<T> {
    /// Everywhere: there is no ReLU.
    None,
    /// Where `scale * (x - mean) + shift > 0`, as the forward pass computed it: the output need not be read.
    Input,
    /// Where the saved output (`[rows, channels]`) is above zero: there is a residual in it.
    Output(*const T),
}

const NONE: u8 = 0;
const INPUT: u8 = 1;
const OUTPUT: u8 = 2;

/// Inputs of the backward passes: `x` and `upstream` are `[rows, channels]`, the tables `[channels]`.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T> {
    /// The input of the forward pass.
    pub x: *const T,
    /// The gradient of the output.
    pub upstream: *const T,
    /// The fused ReLU's mask.
    pub mask: Mask<T>,
    /// The mean that was subtracted.
    pub mean: &'a [T],
    /// Of [`super::cpu::scale_and_shift`].
    pub scale: &'a [T],
    /// Of [`super::cpu::scale_and_shift`].
    pub shift: &'a [T],
}

/// The same for a chunk, tables as wide as a bundle.
#[derive(Clone, Copy)]
struct Chunk<T> {
    x: *const T,
    upstream: *const T,
    output: *const T,
    mean: *const T,
    scale: *const T,
    shift: *const T,
}

impl<T: Element> Inputs<'_, T> {
    /// # Safety
    /// `offset` lies inside of `x`.
    unsafe fn chunk(&self, offset: usize) -> Chunk<T> {
        // SAFETY: `offset` lies inside of all three.
        unsafe {
            Chunk {
                x: self.x.add(offset),
                upstream: self.upstream.add(offset),
                output: if let Mask::Output(output) = self.mask { output.add(offset) } else { std::ptr::null() },
                mean: self.mean.as_ptr(),
                scale: self.scale.as_ptr(),
                shift: self.shift.as_ptr(),
            }
        }
    }
}

// SAFETY: the pointers are only read through.
unsafe impl<T: Sync> Sync for Inputs<'_, T> {}

/// Writes per chunk and channel `sum(g)` and `sum(g * (x - mean))` to `sums` (`[chunks][2][channels]`), where `g` is
/// the upstream gradient under the mask.
///
/// # Safety
/// The inputs are as long as [`Inputs`] says for `chunks.rows` rows; `sums` overlaps none of them.
pub unsafe fn chunk_sums<T: Element>(
    level: Level,
    chunks: Chunks,
    channels: usize,
    inputs: Inputs<'_, T>,
    sums: *mut T,
) {
    let sums = Shared::new(sums);
    let inputs = &inputs;
    chunks.for_each(|chunk, range| {
        let rows = range.len();
        // SAFETY: every chunk reads its own rows and writes its own sums.
        unsafe {
            let input = inputs.chunk(range.start * channels);
            let sums = sums.at(chunk * 2 * channels);
            match inputs.mask {
                Mask::None => dispatch_on(level, ChunkSums::<T, NONE> { input, sums, rows, channels }),
                Mask::Input => dispatch_on(level, ChunkSums::<T, INPUT> { input, sums, rows, channels }),
                Mask::Output(_) => dispatch_on(level, ChunkSums::<T, OUTPUT> { input, sums, rows, channels }),
            }
        }
    });
}

struct ChunkSums<T, const MASK: u8> {
    input: Chunk<T>,
    sums: *mut T,
    rows: usize,
    channels: usize,
}

impl<T: Element, const MASK: u8> Kernel<T> for ChunkSums<T, MASK> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let bundle = Bundle::new(self.channels, S::LANES, SUM_VECTORS);
        let (mut mean, mut scale, mut shift) = (Expanded::empty(), Expanded::empty(), Expanded::empty());
        // SAFETY: `chunk_sums` gives `rows` rows, and tables of `channels`.
        unsafe {
            let mean = mean.fill(self.input.mean, bundle);
            let scale = scale.fill(self.input.scale, bundle);
            let shift = shift.fill(self.input.shift, bundle);
            let input = Chunk { mean, scale, shift, ..self.input };
            sum_rows::<S, 2>(GradientSums::<T, MASK>(input), bundle, self.rows, self.sums);
        }
    }
}

#[derive(Clone, Copy)]
struct GradientSums<T, const MASK: u8>(Chunk<T>);

impl<S: Simd, const MASK: u8> Sum<S, 2> for GradientSums<S::Element, MASK> {
    /// Mean, scale, shift.
    type Columns = [S::Vector; 3];

    #[inline(always)]
    unsafe fn columns(self, column: usize, lanes: usize) -> [S::Vector; 3] {
        // SAFETY: as the trait's contract.
        unsafe {
            let mean = S::load_up_to(self.0.mean.add(column), lanes);
            if MASK == INPUT {
                let scale = S::load_up_to(self.0.scale.add(column), lanes);
                [mean, scale, S::load_up_to(self.0.shift.add(column), lanes)]
            } else {
                [mean; 3]
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, offset: usize, lanes: usize, [mean, scale, shift]: [S::Vector; 3], sums: &mut [S::Vector; 2]) {
        // SAFETY: as the trait's contract.
        unsafe {
            let centred = S::sub(S::load_up_to(self.0.x.add(offset), lanes), mean);
            let gradient = masked::<S, MASK>(self.0, offset, lanes, centred, scale, shift);
            sums[0] = S::add(sums[0], gradient);
            sums[1] = S::fma(gradient, centred, sums[1]);
        }
    }
}

/// The upstream gradient where the fused ReLU passes it, zero elsewhere.
///
/// # Safety
/// As for [`Sum::add`].
#[inline(always)]
unsafe fn masked<S: Simd, const MASK: u8>(
    input: Chunk<S::Element>,
    offset: usize,
    lanes: usize,
    centred: S::Vector,
    scale: S::Vector,
    shift: S::Vector,
) -> S::Vector {
    // SAFETY: as this function's own contract.
    unsafe {
        let upstream = S::load_up_to(input.upstream.add(offset), lanes);
        match MASK {
            INPUT => S::where_positive(S::fma(centred, scale, shift), upstream),
            OUTPUT => S::where_positive(S::load_up_to(input.output.add(offset), lanes), upstream),
            _ => upstream,
        }
    }
}

/// The gradients of the parameters, `dbeta = sum(g)` and `dgamma = inv_std * sum(g * (x - mean))`, summed over the
/// chunks in f64.
///
/// # Safety
/// `sums` is `[chunks][2][channels]`, everything else `[channels]`; the outputs overlap nothing else.
pub unsafe fn combine_sums<T: Element>(
    chunks: Chunks,
    channels: usize,
    sums: *const T,
    inv_std: *const T,
    dgamma: *mut T,
    dbeta: *mut T,
) {
    let (sums, inv_std) = (Shared::reading(sums), Shared::reading(inv_std));
    let (dgamma, dbeta) = (Shared::new(dgamma), Shared::new(dbeta));
    Chunks { rows: channels, chunk_rows: CHANNEL_BLOCK }.for_each(|_, block| {
        let mut totals = [[0.0; CHANNEL_BLOCK]; 2];
        // SAFETY: every task reads and writes its own channels.
        unsafe {
            for chunk in 0..chunks.count() {
                for (which, totals) in totals.iter_mut().enumerate() {
                    for (slot, channel) in totals.iter_mut().zip(block.clone()) {
                        *slot += (*sums.at((chunk * 2 + which) * channels + channel)).to_f64();
                    }
                }
            }
            for ((&gradient, &product), channel) in totals[0].iter().zip(&totals[1]).zip(block) {
                *dbeta.at(channel) = T::from_f64(gradient);
                *dgamma.at(channel) = T::from_f64(product * (*inv_std.at(channel)).to_f64());
            }
        }
    });
}

/// The gradient of the input as `a * g + b * (x - mean) + c`, which with batch statistics is
/// `gamma * inv_std * (g - mean(g) - xhat * mean(g * xhat))` (Ioffe, Szegedy: "Batch normalization", 2015, section 3),
/// and with running statistics `gamma * inv_std * g`: there `b` and `c` are not needed. `a` is the forward's scale.
#[allow(clippy::too_many_arguments)]
pub fn slope_and_offset<T: Element>(
    rows: usize,
    inv_std: &[T],
    scale: &[T],
    dgamma: &[T],
    dbeta: &[T],
    slope: &mut [T],
    offset: &mut [T],
) {
    let count = rows as f64;
    for channel in 0..scale.len() {
        let scale = scale[channel].to_f64();
        slope[channel] = T::from_f64(-scale * inv_std[channel].to_f64() * dgamma[channel].to_f64() / count);
        offset[channel] = T::from_f64(-scale * dbeta[channel].to_f64() / count);
    }
}

/// What the second pass reads and writes beside [`Inputs`], all `[rows, channels]`.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<T> {
    /// The gradient of the input; may be where the input, the upstream gradient or the mask's output is.
    pub dx: *mut T,
    /// The gradient of the residual (the upstream gradient under the mask), if it is wanted.
    pub residual: Option<*mut T>,
    /// Added to `dx`: what has flowed into the input from its other users.
    pub addend: Option<*const T>,
}

// SAFETY: chunks write through the pointers to disjoint rows.
unsafe impl<T: Send + Sync> Sync for Outputs<T> {}

/// Writes the gradients of input and residual. `terms` are slope and offset (see [`slope_and_offset`]); without them
/// the statistics were constants.
///
/// # Safety
/// The inputs are as long as [`Inputs`] says for `chunks.rows` rows, the outputs as [`Outputs`] says.
pub unsafe fn input_gradient<T: Element>(
    level: Level,
    chunks: Chunks,
    channels: usize,
    inputs: Inputs<'_, T>,
    terms: Option<(&[T], &[T])>,
    outputs: Outputs<T>,
) {
    let (slope, constant) = terms.unwrap_or((inputs.scale, inputs.shift));
    assert!(slope.len() == channels && constant.len() == channels);
    let pass = match (terms.is_some(), inputs.mask) {
        (false, Mask::None) => gradient_rows::<T, NONE, false>,
        (false, Mask::Input) => gradient_rows::<T, INPUT, false>,
        (false, Mask::Output(_)) => gradient_rows::<T, OUTPUT, false>,
        (true, Mask::None) => gradient_rows::<T, NONE, true>,
        (true, Mask::Input) => gradient_rows::<T, INPUT, true>,
        (true, Mask::Output(_)) => gradient_rows::<T, OUTPUT, true>,
    };
    let (inputs, outputs) = (&inputs, &outputs);
    chunks.for_each(|_, range| {
        let offset = range.start * channels;
        // SAFETY: every chunk reads and writes its own rows.
        unsafe {
            let map = InputGradient {
                input: inputs.chunk(offset),
                slope: slope.as_ptr(),
                constant: constant.as_ptr(),
                dx: outputs.dx.add(offset),
                residual: outputs.residual.map_or(std::ptr::null_mut(), |residual| residual.add(offset)),
                addend: outputs.addend.map_or(std::ptr::null(), |addend| addend.add(offset)),
            };
            pass(level, map, range.len(), channels);
        }
    });
}

/// # Safety
/// As for [`input_gradient`], for one chunk.
unsafe fn gradient_rows<T: Element, const MASK: u8, const TERMS: bool>(
    level: Level,
    map: InputGradient<T>,
    rows: usize,
    channels: usize,
) {
    dispatch_on(level, GradientRows::<T, MASK, TERMS> { map, rows, channels });
}

struct GradientRows<T, const MASK: u8, const TERMS: bool> {
    map: InputGradient<T>,
    rows: usize,
    channels: usize,
}

impl<T: Element, const MASK: u8, const TERMS: bool> Kernel<T> for GradientRows<T, MASK, TERMS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let bundle = Bundle::new(self.channels, S::LANES, MAP_VECTORS);
        let (mut mean, mut scale, mut shift) = (Expanded::empty(), Expanded::empty(), Expanded::empty());
        let (mut slope, mut constant) = (Expanded::empty(), Expanded::empty());
        let mut map = self.map;
        // SAFETY: `input_gradient` gives `rows` rows, and tables of `channels`.
        unsafe {
            map.input.mean = mean.fill(map.input.mean, bundle);
            map.input.scale = scale.fill(map.input.scale, bundle);
            map.input.shift = shift.fill(map.input.shift, bundle);
            map.slope = slope.fill(map.slope, bundle);
            map.constant = constant.fill(map.constant, bundle);
            map_rows::<S>(Variant::<T, MASK, TERMS>(map), bundle, self.rows);
        }
    }
}

#[derive(Clone, Copy)]
struct InputGradient<T> {
    input: Chunk<T>,
    slope: *const T,
    constant: *const T,
    dx: *mut T,
    residual: *mut T,
    addend: *const T,
}

#[derive(Clone, Copy)]
struct Variant<T, const MASK: u8, const TERMS: bool>(InputGradient<T>);

impl<S: Simd, const MASK: u8, const TERMS: bool> Map<S> for Variant<S::Element, MASK, TERMS> {
    #[inline(always)]
    unsafe fn apply(self, offset: usize, column: usize, lanes: usize) {
        let InputGradient { input, slope, constant, dx, residual, addend } = self.0;
        // SAFETY: as the trait's contract; everything is read before anything is written.
        unsafe {
            let scale = S::load_up_to(input.scale.add(column), lanes);
            let shift = if MASK == INPUT { S::load_up_to(input.shift.add(column), lanes) } else { scale };
            let centred = if TERMS || MASK == INPUT {
                S::sub(S::load_up_to(input.x.add(offset), lanes), S::load_up_to(input.mean.add(column), lanes))
            } else {
                scale
            };
            let gradient = masked::<S, MASK>(input, offset, lanes, centred, scale, shift);
            let mut total = S::mul(scale, gradient);
            if TERMS {
                let slope = S::load_up_to(slope.add(column), lanes);
                let constant = S::load_up_to(constant.add(column), lanes);
                total = S::fma(scale, gradient, S::fma(slope, centred, constant));
            }
            if !addend.is_null() {
                total = S::add(total, S::load_up_to(addend.add(offset), lanes));
            }
            S::store_up_to(dx.add(offset), total, lanes);
            if !residual.is_null() {
                S::store_up_to(residual.add(offset), gradient, lanes);
            }
        }
    }
}
