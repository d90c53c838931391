//! BatchNorm forward: statistics of every chunk of rows, their combination, one pass that normalises.
//!
//! The passes are apart so that a convolution may hand over the statistics of its output, chunk by chunk.

use crate::ops::parallel::{Chunks, Shared};
use crate::ops::rows::{Bundle, Expanded, MAP_VECTORS, Map, SUM_VECTORS, Sum, map_rows, sum_rows};
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// Channels that one task combines: their f64 accumulators are on its stack.
pub(super) const CHANNEL_BLOCK: usize = 64;

/// Numbers per chunk and channel that [`chunk_statistics`] writes.
pub const STATISTICS: usize = 3;

/// Writes per chunk and channel the rounded mean, the sum of squared deviations from it, and the sum of deviations (what
/// rounding did to the mean) to `statistics` (`[chunks][3][channels]`).
///
/// Two passes over a chunk, the second from the cache: no cancellation however far the mean is from zero.
///
/// # Safety
/// `x` holds `[chunks.rows, channels]`; `statistics` is as long as said and not `x`.
pub unsafe fn chunk_statistics<T: Element>(
    level: Level,
    chunks: Chunks,
    channels: usize,
    x: *const T,
    statistics: *mut T,
) {
    let (x, statistics) = (Shared::reading(x), Shared::new(statistics));
    chunks.for_each(|chunk, range| {
        // SAFETY: every chunk reads its own rows and writes its own statistics.
        let kernel = unsafe {
            ChunkStatistics {
                x: x.at(range.start * channels),
                statistics: statistics.at(chunk * STATISTICS * channels),
                rows: range.len(),
                channels,
            }
        };
        dispatch_on(level, kernel);
    });
}

struct ChunkStatistics<T> {
    x: *const T,
    statistics: *mut T,
    rows: usize,
    channels: usize,
}

impl<T: Element> Kernel<T> for ChunkStatistics<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let bundle = Bundle::new(self.channels, S::LANES, SUM_VECTORS);
        let scale = T::ONE / T::from_f64(self.rows as f64);
        let (mean, deviations) = (self.statistics, self.statistics.wrapping_add(self.channels));
        let mut room = Expanded::empty();
        // SAFETY: `chunk_statistics` gives `rows` rows of `x`, and room for three rows of statistics.
        unsafe {
            sum_rows::<S, 1>(Total { x: self.x }, bundle, self.rows, mean);
            for channel in 0..self.channels {
                *mean.add(channel) = *mean.add(channel) * scale;
            }
            let mean = room.fill(mean, bundle);
            sum_rows::<S, 2>(Deviation { x: self.x, mean }, bundle, self.rows, deviations);
        }
    }
}

#[derive(Clone, Copy)]
struct Total<T> {
    x: *const T,
}

impl<S: Simd> Sum<S, 1> for Total<S::Element> {
    type Columns = ();

    #[inline(always)]
    unsafe fn columns(self, _: usize, _: usize) {}

    #[inline(always)]
    unsafe fn add(self, offset: usize, lanes: usize, (): (), sums: &mut [S::Vector; 1]) {
        // SAFETY: as the trait's contract.
        unsafe { sums[0] = S::add(sums[0], S::load_up_to(self.x.add(offset), lanes)) }
    }
}

#[derive(Clone, Copy)]
struct Deviation<T> {
    x: *const T,
    mean: *const T,
}

impl<S: Simd> Sum<S, 2> for Deviation<S::Element> {
    type Columns = S::Vector;

    #[inline(always)]
    unsafe fn columns(self, column: usize, lanes: usize) -> S::Vector {
        // SAFETY: as the trait's contract.
        unsafe { S::load_up_to(self.mean.add(column), lanes) }
    }

    #[inline(always)]
    unsafe fn add(self, offset: usize, lanes: usize, mean: S::Vector, sums: &mut [S::Vector; 2]) {
        // SAFETY: as the trait's contract.
        unsafe {
            let deviation = S::sub(S::load_up_to(self.x.add(offset), lanes), mean);
            sums[0] = S::fma(deviation, deviation, sums[0]);
            sums[1] = S::add(sums[1], deviation);
        }
    }
}

/// Mean and inverse standard deviation of the whole batch from the statistics of its chunks, `rest` (what rounding took
/// from the mean: the mean is `mean + rest`), and with `running` the
/// running statistics (`momentum` is the share of the new ones; the variance goes in unbiased, as in PyTorch).
///
/// In f64, by the pairwise formula for all chunks at once: `M2 = sum_k M2_k + n_k (mean_k - mean)^2` (Chan, Golub,
/// LeVeque: "Updating formulae and a pairwise algorithm for computing sample variances", 1979).
///
/// # Safety
/// `statistics` is `[chunks][3][channels]`, everything else `[channels]`; the outputs overlap nothing else.
#[allow(clippy::too_many_arguments)]
pub unsafe fn combine<T: Element>(
    chunks: Chunks,
    channels: usize,
    statistics: *const T,
    epsilon: f64,
    momentum: f64,
    mean: *mut T,
    rest: *mut T,
    inv_std: *mut T,
    running: Option<(*mut T, *mut T)>,
) {
    let statistics = Shared::reading(statistics);
    let (mean, rest, inv_std) = (Shared::new(mean), Shared::new(rest), Shared::new(inv_std));
    let running = running.map(|(mean, var)| (Shared::new(mean), Shared::new(var)));
    let rows = chunks.rows as f64;
    Chunks { rows: channels, chunk_rows: CHANNEL_BLOCK }.for_each(|_, block| {
        let mut total = [0.0; CHANNEL_BLOCK];
        let mut squares = [0.0; CHANNEL_BLOCK];
        // SAFETY: every task reads and writes its own channels.
        unsafe {
            let read = |chunk: usize, which: usize, channel: usize| {
                (*statistics.at((chunk * STATISTICS + which) * channels + channel)).to_f64()
            };
            for chunk in 0..chunks.count() {
                let count = chunks.range(chunk).len() as f64;
                for (slot, channel) in total.iter_mut().zip(block.clone()) {
                    *slot += count * read(chunk, 0, channel) + read(chunk, 2, channel);
                }
            }
            for slot in &mut total {
                *slot /= rows;
            }
            for chunk in 0..chunks.count() {
                let count = chunks.range(chunk).len() as f64;
                for ((slot, &mean), channel) in squares.iter_mut().zip(&total).zip(block.clone()) {
                    // About the rounded mean a, sum (x - mean)^2 = sum (x - a)^2 + 2 (a - mean) sum (x - a) + n (a - mean)^2.
                    let apart = read(chunk, 0, channel) - mean;
                    *slot += read(chunk, 1, channel) + apart * (2.0 * read(chunk, 2, channel) + count * apart);
                }
            }
            for ((&batch_mean, &squares), channel) in total.iter().zip(&squares).zip(block) {
                let rounded = T::from_f64(batch_mean);
                *mean.at(channel) = rounded;
                *rest.at(channel) = T::from_f64(batch_mean - rounded.to_f64());
                *inv_std.at(channel) = T::from_f64(1.0 / (squares / rows + epsilon).sqrt());
                if let Some((running_mean, running_var)) = running {
                    let update = |old: &mut T, new: f64| {
                        *old = T::from_f64((1.0 - momentum) * old.to_f64() + momentum * new);
                    };
                    update(&mut *running_mean.at(channel), batch_mean);
                    update(&mut *running_var.at(channel), squares / (rows - 1.0));
                }
            }
        }
    });
}

/// `1 / sqrt(variance + epsilon)`, for running statistics.
pub fn inverse_deviation<T: Element>(variance: &[T], epsilon: f64, inv_std: &mut [T]) {
    for (out, variance) in inv_std.iter_mut().zip(variance) {
        *out = T::from_f64(1.0 / (variance.to_f64() + epsilon).sqrt());
    }
}

/// BatchNorm as `scale * (x - mean) + shift`: `scale = gamma * inv_std`, `shift = beta - scale * rest`, where the mean is
/// `mean + rest`.
///
/// Subtracting the mean first costs an operation, but is exact where x is near it: what a ReLU decides about small outputs
/// does not depend on how far the mean is from zero. Forward and backward compute the same, and see the same sign.
pub fn scale_and_shift<T: Element>(
    rest: &[T],
    inv_std: &[T],
    gamma: &[T],
    beta: &[T],
    scale: &mut [T],
    shift: &mut [T],
) {
    for channel in 0..rest.len() {
        let factor = gamma[channel] * inv_std[channel];
        scale[channel] = factor;
        shift[channel] = T::from_f64(beta[channel].to_f64() - factor.to_f64() * rest[channel].to_f64());
    }
}

/// `y = act(scale * (x - mean) + shift [+ residual])`, where `act` is ReLU or nothing.
///
/// # Safety
/// `x`, `residual` and `y` hold `[chunks.rows, channels]`, the tables `[channels]`. `y` may be `x` or `residual`.
#[allow(clippy::too_many_arguments)]
pub unsafe fn normalise<T: Element>(
    level: Level,
    chunks: Chunks,
    channels: usize,
    x: *const T,
    residual: Option<*const T>,
    relu: bool,
    mean: &[T],
    scale: &[T],
    shift: &[T],
    y: *mut T,
) {
    assert!(mean.len() == channels && scale.len() == channels && shift.len() == channels);
    let pass = match (residual.is_some(), relu) {
        (false, false) => normalise_rows::<T, false, false>,
        (false, true) => normalise_rows::<T, false, true>,
        (true, false) => normalise_rows::<T, true, false>,
        (true, true) => normalise_rows::<T, true, true>,
    };
    let (x, y, residual) = (Shared::reading(x), Shared::new(y), residual.map(Shared::reading));
    chunks.for_each(|_, range| {
        let offset = range.start * channels;
        // SAFETY: every chunk reads and writes its own rows.
        unsafe {
            let residual = residual.map_or(std::ptr::null(), |residual| residual.at(offset).cast_const());
            let (mean, scale, shift) = (mean.as_ptr(), scale.as_ptr(), shift.as_ptr());
            let map = Normalise { x: x.at(offset), residual, mean, scale, shift, y: y.at(offset) };
            pass(level, map, range.len(), channels);
        }
    });
}

/// # Safety
/// As for [`normalise`], for one chunk.
unsafe fn normalise_rows<T: Element, const RESIDUAL: bool, const RELU: bool>(
    level: Level,
    map: Normalise<T>,
    rows: usize,
    channels: usize,
) {
    dispatch_on(level, NormaliseRows::<T, RESIDUAL, RELU> { map, rows, channels });
}

struct NormaliseRows<T, const RESIDUAL: bool, const RELU: bool> {
    map: Normalise<T>,
    rows: usize,
    channels: usize,
}

impl<T: Element, const RESIDUAL: bool, const RELU: bool> Kernel<T> for NormaliseRows<T, RESIDUAL, RELU> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let bundle = Bundle::new(self.channels, S::LANES, MAP_VECTORS);
        let (mut mean, mut scale, mut shift) = (Expanded::empty(), Expanded::empty(), Expanded::empty());
        // SAFETY: `normalise` gives `rows` rows, and tables of `channels`.
        unsafe {
            let mean = mean.fill(self.map.mean, bundle);
            let scale = scale.fill(self.map.scale, bundle);
            let shift = shift.fill(self.map.shift, bundle);
            let map = Normalise { mean, scale, shift, ..self.map };
            map_rows::<S>(Variant::<T, RESIDUAL, RELU>(map), bundle, self.rows);
        }
    }
}

#[derive(Clone, Copy)]
struct Normalise<T> {
    x: *const T,
    residual: *const T,
    mean: *const T,
    scale: *const T,
    shift: *const T,
    y: *mut T,
}

#[derive(Clone, Copy)]
struct Variant<T, const RESIDUAL: bool, const RELU: bool>(Normalise<T>);

impl<S: Simd, const RESIDUAL: bool, const RELU: bool> Map<S> for Variant<S::Element, RESIDUAL, RELU> {
    #[inline(always)]
    unsafe fn apply(self, offset: usize, column: usize, lanes: usize) {
        let Normalise { x, residual, mean, scale, shift, y } = self.0;
        // SAFETY: as the trait's contract.
        unsafe {
            let mean = S::load_up_to(mean.add(column), lanes);
            let scale = S::load_up_to(scale.add(column), lanes);
            let shift = S::load_up_to(shift.add(column), lanes);
            let centred = S::sub(S::load_up_to(x.add(offset), lanes), mean);
            let mut value = S::fma(centred, scale, shift);
            if RESIDUAL {
                value = S::add(value, S::load_up_to(residual.add(offset), lanes));
            }
            if RELU {
                value = S::max(S::zero(), value);
            }
            S::store_up_to(y.add(offset), value, lanes);
        }
    }
}
