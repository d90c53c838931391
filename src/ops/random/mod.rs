//! Random numbers within a step: every element is a function of the run's seed, the number of the step, which of the tape's
//! draws this is, and its place ([`Tape::set_randomness`]). No gradient flows through them; what is differentiated is how
//! they are used.
//!
//! Philox (`src/random.rs`) at the counter (step and draw, `q`) makes four words, for elements `4q` to `4q + 3`. A word
//! becomes `u = (2 (word >> 9) + 1) 2^-24`: 2^23 numbers in the middle of equal parts of (0, 1), each exact in
//! float32, and so is `1 - u`; neither is ever 0 or 1. So CPU and GPU start from the same `u`, and differ by the
//! rounding of logarithm, square root and cosine alone.

pub(super) mod cases;
mod cuda;
mod permutation;
pub(super) mod workloads;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::random::{Philox, Stream};
use crate::simd::Element;
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

/// What random numbers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Evenly in (0, 1).
    Uniform,
    /// Standard normal (Box and Muller, 1958).
    Normal,
    /// `-ln(-ln u)`: the largest of `logits + noise` is drawn with the probabilities of their softmax (Maddison, Tarlow,
    /// Minka: "A* sampling", 2014; Jang, Gu, Poole: "Categorical reparameterization with Gumbel-Softmax", 2017).
    Gumbel,
    /// `ln u - ln(1 - u)`: `logit(p) + noise > 0` with probability `p` (Maddison, Mnih, Teh: "The concrete distribution",
    /// 2017, appendix B).
    Logistic,
}

/// From what one draw of a tape is made.
#[derive(Clone, Copy, Debug)]
struct Source {
    generator: Philox,
    /// Which draw of the tape.
    draw: u32,
}

#[derive(Debug)]
struct Random {
    distribution: Distribution,
    source: Source,
}

/// Elements that one counter's words make.
const WORDS: usize = 4;

/// Elements of a task, a multiple of [`WORDS`].
const TASK: usize = 4096;

impl Tape {
    /// Numbers of the tape's float type that follow `distribution`: others with each replay, the same in each replay of one
    /// step.
    ///
    /// # Errors
    /// If the tape has no source of random numbers ([`Tape::set_randomness`]), or there is nothing to draw.
    pub fn random(&mut self, distribution: Distribution, shape: impl Into<Shape>) -> Result<ValueId> {
        let shape = shape.into();
        if shape.count() == 0 {
            return Err(Error::request(format!("there are no random numbers of shape {shape}")));
        }
        let (source, number) = self.source()?;
        let dtype = self.float();
        Ok(self.record_one(Random { distribution, source }, &[number], "random", dtype, shape))
    }

    /// The next draw's source, and the number of the step.
    fn source(&mut self) -> Result<(Source, ValueId)> {
        let (randomness, draw) = self.next_draw()?;
        Ok((Source { generator: Philox::new(randomness.seed, Stream::Step), draw }, randomness.number))
    }
}

impl Source {
    /// Four words for `index` in the step `number`.
    fn words(&self, number: u32, index: u64) -> [u32; WORDS] {
        self.generator.draw(u64::from(self.draw) << 32 | u64::from(number), index)
    }
}

impl Distribution {
    /// Four elements from four words.
    fn elements(self, words: [u32; WORDS]) -> [f64; WORDS] {
        let u = words.map(|word| f64::from(word >> 9 << 1 | 1) / f64::from(1 << 24));
        match self {
            Self::Uniform => u,
            Self::Normal => {
                let pair = |a: f64, b: f64| {
                    let (radius, (sine, cosine)) = ((-2.0 * a.ln()).sqrt(), (std::f64::consts::TAU * b).sin_cos());
                    [radius * cosine, radius * sine]
                };
                let ([a, b], [c, d]) = (pair(u[0], u[1]), pair(u[2], u[3]));
                [a, b, c, d]
            }
            Self::Gumbel => u.map(|u| -(-u.ln()).ln()),
            Self::Logistic => u.map(|u| u.ln() - (1.0 - u).ln()),
        }
    }
}

impl Random {
    /// Computes in f64 for either type: what float32 holds is then rounded once.
    fn fill<T: Element>(&self, number: u32, out: &mut [T]) {
        out.par_chunks_mut(TASK).enumerate().for_each(|(task, out)| {
            for (index, out) in (0u64..).zip(out.chunks_mut(WORDS)) {
                let counter = (task * (TASK / WORDS)) as u64 + index;
                let elements = self.distribution.elements(self.source.words(number, counter));
                out.iter_mut().zip(elements).for_each(|(out, element)| *out = T::from_f64(element));
            }
        });
    }
}

impl Operation for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn run(&self, frame: &Frame<'_>) {
        let number = frame.input::<u32>(0)[0];
        with_float!(frame.output_dtype(0), T => self.fill(number, frame.output::<T>(0)));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::random(launcher, self);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
