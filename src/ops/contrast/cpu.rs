//! Rows of the batch on all threads.

use rayon::prelude::*;

use super::{ContrastIndices, Positive};
use crate::random::Philox;
use crate::simd::Element;
use crate::tape::Frame;

/// Rounds of the Feistel network.
const ROUNDS: usize = 4;

/// A random order of `0..count`: a bijection of those numbers that depends on `keys` alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shuffle {
    keys: [u32; ROUNDS],
    count: u32,
    /// Bits of either half.
    half: u32,
}

impl Shuffle {
    pub fn new(keys: [u32; ROUNDS], count: u32) -> Self {
        let bits = 32 - count.saturating_sub(1).leading_zeros();
        Self { keys, count, half: bits.div_ceil(2).max(1) }
    }

    /// Which number comes at `place`, below the count.
    pub fn at(&self, place: u32) -> u32 {
        let mask = (1u32 << self.half) - 1;
        let mut number = place;
        loop {
            let (mut left, mut right) = (number >> self.half, number & mask);
            for key in self.keys {
                (left, right) = (right, left ^ (mix(right ^ key) & mask));
            }
            number = left << self.half | right;
            if number < self.count {
                return number;
            }
        }
    }
}

/// The finaliser of MurmurHash3: every bit of the input changes half of the output's.
fn mix(mut word: u32) -> u32 {
    word = (word ^ word >> 16).wrapping_mul(0x85EB_CA6B);
    word = (word ^ word >> 13).wrapping_mul(0xC2B2_AE35);
    word ^ word >> 16
}

/// Four words for a row of the batch: of its positive (turn 0), and of each turn of its negatives (from 1 on).
fn words(generator: &Philox, draw: u32, number: u32, row: u32, turn: u32) -> [u32; 4] {
    generator.draw(u64::from(draw) << 32 | u64::from(number), u64::from(turn) << 32 | u64::from(row))
}

pub(super) fn indices(op: &ContrastIndices, frame: &Frame<'_>) {
    let [own, labels, order, starts] = [0, 1, 2, 3].map(|input| frame.input::<u32>(input));
    let number = frame.input::<u32>(4)[0];
    let width = frame.output_shape(0)[1];
    frame.output::<u32>(0).par_chunks_exact_mut(width).enumerate().for_each(|(row, out)| {
        let [start, end] = [0, 1].map(|next| starts[labels[row] as usize + next]);
        let class = end - start;
        let drawn = |turn: u32| words(&op.generator, op.draw, number, row as u32, turn);
        out[0] = match op.positive {
            Positive::Exact => own[row],
            // The high product maps a word to 0..class evenly enough.
            Positive::Relaxed => order[(start + ((u64::from(drawn(0)[0]) * u64::from(class)) >> 32) as u32) as usize],
        };
        let others = order.len() as u32 - class;
        for (turn, out) in (1u32..).zip(out[1..].chunks_mut(others as usize)) {
            let shuffle = Shuffle::new(drawn(turn), others);
            for (place, out) in (0u32..).zip(out) {
                let place = shuffle.at(place);
                *out = order[(if place < start { place } else { place + class }) as usize];
            }
        }
    });
}

pub(super) fn products<T: Element>(frame: &Frame<'_>) {
    let (x, bank, indices) = (frame.input::<T>(0), frame.input::<T>(1), frame.input::<u32>(2));
    let [width, depth] = [frame.output_shape(0)[1], frame.input_shape(0)[1]];
    let rows = frame.output::<T>(0).par_chunks_mut(width).zip(indices.par_chunks(width)).zip(x.par_chunks(depth));
    rows.for_each(|((out, indices), x)| {
        for (out, index) in out.iter_mut().zip(indices) {
            let row = &bank[*index as usize * depth..][..depth];
            *out = x.iter().zip(row).fold(T::ZERO, |sum, (a, b)| sum + *a * *b);
        }
    });
}

pub(super) fn gradient<T: Element>(frame: &Frame<'_>) {
    let (upstream, bank, indices) = (frame.input::<T>(0), frame.input::<T>(1), frame.input::<u32>(2));
    let [width, depth] = [frame.input_shape(0)[1], frame.output_shape(0)[1]];
    let rows =
        frame.output::<T>(0).par_chunks_mut(depth).zip(indices.par_chunks(width)).zip(upstream.par_chunks(width));
    rows.for_each(|((out, indices), upstream)| {
        out.fill(T::ZERO);
        for (index, upstream) in indices.iter().zip(upstream) {
            let row = &bank[*index as usize * depth..][..depth];
            out.iter_mut().zip(row).for_each(|(out, row)| *out += *upstream * *row);
        }
    });
}
