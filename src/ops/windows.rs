//! Windows of pooling along one dimension.

use std::ops::Range;

use crate::error::{Error, Result};

/// Which inputs belong to an output, along one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// `kernel` inputs, `stride` apart, the first starting `padding` before the input.
    Sliding {
        /// Inputs per window.
        kernel: usize,
        /// From one window to the next.
        stride: usize,
        /// Missing inputs before the first and after the last.
        padding: usize,
    },
    /// As even a partition as can be: output `o` of `n` covers `floor(o I / n)..ceil((o + 1) I / n)` (PyTorch's
    /// adaptive pooling; neighbours may overlap).
    Even,
}

impl Windows {
    /// Sliding windows that fit `input`, and how many there are.
    ///
    /// # Errors
    /// If there is no window at all, or one could lie in the padding alone.
    pub fn sliding(input: usize, kernel: usize, stride: usize, padding: usize) -> Result<(Self, usize)> {
        if kernel == 0 || stride == 0 || 2 * padding > kernel {
            return Err(Error::request(format!(
                "pooling with kernel {kernel}, stride {stride}, padding {padding}: kernel and stride are at least 1, \
                 the padding at most half the kernel"
            )));
        }
        if input + 2 * padding < kernel {
            let padded = input + 2 * padding;
            return Err(Error::request(format!("a pooling kernel of {kernel} does not fit an input of {padded}")));
        }
        Ok((Self::Sliding { kernel, stride, padding }, (input + 2 * padding - kernel) / stride + 1))
    }

    /// The inputs of window `index` of `output` windows over `input` inputs.
    #[inline(always)]
    pub fn range(self, input: usize, output: usize, index: usize) -> Range<usize> {
        match self {
            Self::Sliding { kernel, stride, padding } => {
                let start = index * stride;
                start.saturating_sub(padding)..(start + kernel - padding).min(input)
            }
            Self::Even => index * input / output..((index + 1) * input).div_ceil(output),
        }
    }

    /// Inputs of window `index`, counting those in the padding.
    #[inline(always)]
    pub fn padded_length(self, input: usize, output: usize, index: usize) -> usize {
        match self {
            Self::Sliding { kernel, .. } => kernel,
            Self::Even => self.range(input, output, index).len(),
        }
    }

    /// The windows that input `index` belongs to.
    #[inline(always)]
    pub fn covering(self, input: usize, output: usize, index: usize) -> Range<usize> {
        match self {
            Self::Sliding { kernel, stride, padding } => {
                let first = (index + padding + 1).saturating_sub(kernel).div_ceil(stride);
                first..((index + padding) / stride + 1).min(output)
            }
            Self::Even => index * output / input..((index + 1) * output).div_ceil(input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covering_is_the_inverse_of_range() {
        let mut cases = Vec::new();
        for input in 1..20 {
            for kernel in 1..5 {
                for stride in 1..5 {
                    for padding in 0..=kernel / 2 {
                        if let Ok((windows, output)) = Windows::sliding(input, kernel, stride, padding) {
                            cases.push((windows, input, output));
                        }
                    }
                }
            }
            cases.extend((1..20).map(|output| (Windows::Even, input, output)));
        }
        assert!(cases.len() > 500);
        for (windows, input, output) in cases {
            for index in 0..input {
                let expected: Vec<usize> =
                    (0..output).filter(|o| windows.range(input, output, *o).contains(&index)).collect();
                let actual: Vec<usize> = windows.covering(input, output, index).collect();
                assert_eq!(actual, expected, "{windows:?}, input {index} of {input}, {output} windows");
            }
            assert!((0..output).all(|o| !windows.range(input, output, o).is_empty()), "{windows:?} {input} {output}");
        }
    }

    #[test]
    fn windows_that_cannot_be_are_refused() {
        assert!(Windows::sliding(8, 0, 1, 0).is_err());
        assert!(Windows::sliding(8, 3, 0, 1).is_err());
        assert!(Windows::sliding(8, 3, 2, 2).is_err());
        assert!(Windows::sliding(2, 5, 1, 1).is_err());
    }
}
