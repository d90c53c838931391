//! One axis of a resized map: which inputs an output position reads, with what weights, and which outputs read an input.
//!
//! Positions are fractions of whole numbers and are computed as such: the only rounding is that of the weight.

use std::ops::Range;

use super::Mode;

/// From `input` to `output` positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub mode: Mode,
    pub input: usize,
    pub output: usize,
}

/// What an output position reads: the input `first` times `1 - share` and the input `second` times `share`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tap {
    pub first: usize,
    pub second: usize,
    pub share: f64,
}

impl Axis {
    pub fn tap(&self, at: usize) -> Tap {
        let Self { mode, input, output } = *self;
        match mode {
            Mode::Nearest => {
                let first = at * input / output;
                Tap { first, second: first, share: 0.0 }
            }
            Mode::Bilinear => {
                // (at + 1/2) input / output - 1/2, and not before the first input, in units of 1 / (2 output).
                let (place, unit) = (((2 * at + 1) * input).saturating_sub(output), 2 * output);
                let first = place / unit;
                Tap { first, second: (first + 1).min(input - 1), share: (place % unit) as f64 / unit as f64 }
            }
        }
    }

    /// The outputs that may read the input `at`.
    pub fn readers(&self, at: usize) -> Range<usize> {
        let Self { mode, input, output } = *self;
        match mode {
            Mode::Nearest => (at * output).div_ceil(input)..((at + 1) * output).div_ceil(input),
            Mode::Bilinear => {
                // The first output whose own place is `from` or later.
                let first = |from: usize| ((2 * from + 1) * output).saturating_sub(input).div_ceil(2 * input);
                let start = if at == 0 { 0 } else { first(at - 1) };
                let end = if at + 1 == input { output } else { first(at + 1) };
                start..end
            }
        }
    }

    /// With what weight the output `by` reads the input `at`.
    pub fn weight(&self, by: usize, at: usize) -> f64 {
        let tap = self.tap(by);
        let first = if tap.first == at { 1.0 - tap.share } else { 0.0 };
        let second = if tap.second == at { tap.share } else { 0.0 };
        first + second
    }
}
