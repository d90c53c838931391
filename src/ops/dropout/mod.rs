//! Dropout (Srivastava et al., JMLR 15, 2014), inverted as PyTorch does it: an element is zero with probability `p`, and
//! multiplied with `1 / (1 - p)` otherwise, so that its expectation stays.
//!
//! Which elements are dropped is a function of seed, step, draw and element alone ([`crate::tape::Randomness`]): the
//! gradient draws the same mask again, so nothing is stored, and every device drops the same.

pub(super) mod cases;
mod cuda;
pub(super) mod workloads;

use crate::error::{Error, Result};
use crate::ops::parallel::{Chunks, Shared};
use crate::random::{Philox, Stream};
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::with_float;

/// Words of one draw: neighbouring elements share one.
const WORDS: usize = 4;

/// Inputs: what is dropped from, and the number of the step.
#[derive(Clone, Copy, Debug)]
struct Dropout {
    generator: Philox,
    /// Which of the tape's draws.
    draw: u32,
    /// An element is dropped where its word is below.
    threshold: u32,
    /// What is kept is multiplied with this.
    factor: f64,
}

impl Tape {
    /// `x` with elements set to zero with this probability, and the others multiplied with `1 / (1 - probability)`. With
    /// probability 0 it is `x` itself, and nothing is drawn.
    ///
    /// The probability is rounded to a multiple of 2^-32.
    ///
    /// # Errors
    /// If `probability` is not in `[0, 1)`, or [`Tape::set_randomness`] was not called.
    pub fn dropout(&mut self, x: ValueId, probability: f64) -> Result<ValueId> {
        if !(0.0..1.0).contains(&probability) {
            return Err(Error::request(format!("a probability of dropout is from 0 to below 1, not {probability}")));
        }
        if probability == 0.0 {
            return Ok(x);
        }
        let (randomness, draw) = self.next_draw()?;
        let op = Dropout {
            generator: Philox::new(randomness.seed, Stream::Step),
            draw,
            threshold: (probability * 2f64.powi(32)).round() as u32, // Rust saturates.
            factor: 1.0 / (1.0 - probability),
        };
        Ok(op.record(self, x, randomness.number, "dropout"))
    }
}

impl Dropout {
    fn record(self, tape: &mut Tape, x: ValueId, number: ValueId, name: &str) -> ValueId {
        let (dtype, shape) = (tape.dtype(x), tape.shape(x));
        tape.record_one(self, &[x, number], name, dtype, shape)
    }

    /// Element `4 i + j` is kept where word `j` of the draw for counter (step and draw, `i`) is at least the threshold.
    fn fill<T: Element>(&self, number: u32, first: usize, out: &mut [T]) {
        let major = u64::from(self.draw) << 32 | u64::from(number);
        let factor = T::from_f64(self.factor);
        for (group, out) in out.chunks_mut(WORDS).enumerate() {
            let words = self.generator.draw(major, (first / WORDS + group) as u64);
            for (x, word) in out.iter_mut().zip(words) {
                *x = if word < self.threshold { T::from_f64(0.0) } else { *x * factor };
            }
        }
    }
}

impl Operation for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn in_place(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        Ok(vec![upstream[0].map(|upstream| self.record(tape, upstream, node.inputs[1], "ddropout")), None])
    }

    fn run(&self, frame: &Frame<'_>) {
        let number = frame.input::<u32>(1)[0];
        with_float!(frame.output_dtype(0), T => {
            let y = frame.output::<T>(0);
            if !frame.is_in_place() {
                y.copy_from_slice(frame.input::<T>(0));
            }
            let (count, y) = (y.len(), Shared::new(y.as_mut_ptr()));
            // Chunks begin at multiples of `WORDS`.
            Chunks::flat(count).for_each(|_, range| {
                // SAFETY: every chunk changes its own elements.
                let out = unsafe { std::slice::from_raw_parts_mut(y.at(range.start), range.len()) };
                self.fill(number, range.start, out);
            });
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch_dropout(launcher, self);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
