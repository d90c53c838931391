//! Depthwise convolution: every channel has a kernel of its own, so lanes are channels and nothing is packed.

use super::product::Start;
use super::taps::{Class, Correlation, Pixel, Segment};
use crate::simd::{Element, Kernel, Level, Simd, dispatch_on};

/// Pixels of one tile: one weight vector is loaded for all of them.
const PIXELS: usize = 8;
/// Taps whose gradients are summed in registers at once: all of a 3x3 kernel.
const TAPS: usize = 9;

/// Result of one chunk: every pixel's taps times their weights `[KH * KW, C]`, from its start.
pub(super) struct Depthwise<'a, T> {
    pub correlation: &'a Correlation,
    pub source: &'a [T],
    /// Weights by tap; with `turned` the last tap meets the first segment row.
    pub weights: &'a [T],
    pub turned: bool,
    pub start: Start<'a, T>,
    pub result: &'a mut [T],
}

impl<T: Element> Depthwise<'_, T> {
    /// Does the work.
    pub fn run(self, level: Level) {
        let correlation = self.correlation;
        let channels = correlation.result_channels;
        let images = self.result.len() / (correlation.result_pixels * channels);
        assert_eq!(self.source.len(), images * correlation.source_pixels * channels);
        assert_eq!(self.weights.len(), correlation.rows * channels);
        match self.start {
            Start::PerChannel(values) => assert_eq!(values.len(), channels),
            Start::Tensor(values) => assert_eq!(values.len(), self.result.len()),
            Start::Zero => {}
        }
        assert!(correlation.classes.iter().all(|class| images * class.pixels_per_image <= class.pixels.len()));
        dispatch_on(level, self);
    }

    /// One tile, one vector of channels of which `lanes` are real.
    #[inline(always)]
    unsafe fn tile<S: Simd<Element = T>>(&mut self, class: &Class, tile: &[Pixel], channel: usize, lanes: usize) {
        let channels = self.correlation.result_channels;
        // SAFETY: `run` checked lengths, and offsets in the tables stay inside of them by construction. A short tile
        // repeats its last pixel and stores it once.
        unsafe {
            let mut sums = [S::zero(); PIXELS];
            let mut sources = [self.source.as_ptr(); PIXELS];
            for p in 0..PIXELS {
                let pixel = tile[p.min(tile.len() - 1)];
                sources[p] = sources[p].add(pixel.source as usize + channel);
                match self.start {
                    Start::Zero => {}
                    Start::PerChannel(values) => sums[p] = S::load_up_to(values.as_ptr().add(channel), lanes),
                    Start::Tensor(values) => {
                        sums[p] = S::load_up_to(values.as_ptr().add(pixel.result as usize + channel), lanes);
                    }
                }
            }
            let weights = self.weights.as_ptr().add(channel);
            for segment in &class.segments {
                let tap = if self.turned { self.correlation.rows - 1 - segment.row } else { segment.row };
                let weight = S::load_up_to(weights.add(tap * channels), lanes);
                for p in 0..PIXELS {
                    let value = S::load_up_to(sources[p].add(segment.source), lanes);
                    sums[p] = S::fma(value, weight, sums[p]);
                }
            }
            for p in 0..PIXELS {
                if p < tile.len() {
                    let to = self.result.as_mut_ptr().add(tile[p].result as usize + channel);
                    S::store_up_to(to, sums[p], lanes);
                }
            }
        }
    }
}

impl<T: Element> Kernel<T> for Depthwise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(mut self) {
        let correlation = self.correlation;
        let channels = correlation.result_channels;
        let images = self.result.len() / (correlation.result_pixels * channels);
        for class in &correlation.classes {
            for tile in class.pixels[..class.pixels_per_image * images].chunks(PIXELS) {
                let mut channel = 0;
                while channel + S::LANES <= channels {
                    // SAFETY: `dispatch_on` saw to the instruction set.
                    unsafe { self.tile::<S>(class, tile, channel, S::LANES) };
                    channel += S::LANES;
                }
                if channel < channels {
                    // SAFETY: as above.
                    unsafe { self.tile::<S>(class, tile, channel, channels - channel) };
                }
            }
        }
    }
}

/// Weight gradient `[KH * KW, C]` of one chunk of the batch (all of it): `Σ over pixels of x * dy`, tap by tap.
pub(super) struct DepthwiseWgrad<'a, T> {
    pub correlation: &'a Correlation,
    pub x: &'a [T],
    pub dy: &'a [T],
    pub partial: &'a mut [T],
}

impl<T: Element> DepthwiseWgrad<'_, T> {
    /// Does the work.
    pub fn run(self, level: Level) {
        let correlation = self.correlation;
        let channels = correlation.result_channels;
        let images = self.dy.len() / (correlation.result_pixels * channels);
        assert_eq!(self.x.len(), images * correlation.source_pixels * channels);
        assert_eq!(self.partial.len(), correlation.rows * channels);
        assert!(correlation.classes.iter().all(|class| images * class.pixels_per_image <= class.pixels.len()));
        dispatch_on(level, self);
    }

    /// Adds what `pixels` give to the taps of `segments` (at most `COUNT`) in one vector of channels.
    #[inline(always)]
    unsafe fn taps<S: Simd<Element = T>, const COUNT: usize>(
        &mut self,
        pixels: &[Pixel],
        segments: &[Segment],
        channel: usize,
        lanes: usize,
    ) {
        let channels = self.correlation.result_channels;
        // SAFETY: as for `Depthwise::tile`. Missing taps repeat the last one and are dropped.
        unsafe {
            let mut sums = [S::zero(); COUNT];
            let mut sources = [self.x.as_ptr(); COUNT];
            for tap in 0..COUNT {
                sources[tap] = sources[tap].add(segments[tap.min(segments.len() - 1)].source + channel);
            }
            let dy = self.dy.as_ptr().add(channel);
            for pixel in pixels {
                let gradient = S::load_up_to(dy.add(pixel.result as usize), lanes);
                for tap in 0..COUNT {
                    let value = S::load_up_to(sources[tap].add(pixel.source as usize), lanes);
                    sums[tap] = S::fma(value, gradient, sums[tap]);
                }
            }
            for tap in 0..COUNT {
                if tap < segments.len() {
                    let to = self.partial.as_mut_ptr().add(segments[tap].row * channels + channel);
                    S::store_up_to(to, S::add(S::load_up_to(to, lanes), sums[tap]), lanes);
                }
            }
        }
    }

    /// One vector of channels of all pixels.
    #[inline(always)]
    unsafe fn channel<S: Simd<Element = T>>(&mut self, images: usize, channel: usize, lanes: usize) {
        let correlation = self.correlation;
        for class in &correlation.classes {
            let pixels = &class.pixels[..class.pixels_per_image * images];
            for segments in class.segments.chunks(TAPS) {
                // SAFETY: as this function's own contract.
                unsafe {
                    match segments.len() {
                        7.. => self.taps::<S, TAPS>(pixels, segments, channel, lanes),
                        5..=6 => self.taps::<S, 6>(pixels, segments, channel, lanes),
                        _ => self.taps::<S, 4>(pixels, segments, channel, lanes),
                    }
                }
            }
        }
    }
}

impl<T: Element> Kernel<T> for DepthwiseWgrad<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Element = T>>(mut self) {
        let channels = self.correlation.result_channels;
        let images = self.dy.len() / (self.correlation.result_pixels * channels);
        self.partial.fill(T::ZERO);
        let mut channel = 0;
        while channel + S::LANES <= channels {
            // SAFETY: `dispatch_on` saw to the instruction set.
            unsafe { self.channel::<S>(images, channel, S::LANES) };
            channel += S::LANES;
        }
        if channel < channels {
            // SAFETY: as above.
            unsafe { self.channel::<S>(images, channel, channels - channel) };
        }
    }
}
