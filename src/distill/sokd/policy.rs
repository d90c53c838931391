//! The policy: sub-policies are pairs of distinct operations, applied one after the other; each operation of a pair has a
//! probability and a magnitude, and each pair a weight by which one of them is chosen in a step for the whole batch.
//!
//! What is drawn is hard, and its gradient that of its relaxation (Jang, Gu, Poole: "Categorical reparameterization with
//! Gumbel-Softmax", 2017, section 2.2; Maddison, Mnih, Teh: "The concrete distribution", 2017): with logistic noise `e` and
//! Gumbel noise `g`,
//!
//! ```text
//! z = logit(p) + e       b = [z > 0]           relaxed sigmoid(z / t)
//! y = log softmax(o) + g c = one-hot(argmax y) relaxed softmax(y / t)
//! ```
//!
//! With the one-hot choice `c` the feature after a position is `sum_k c_k (b_k op_k(x) + (1 - b_k) x)`. That is linear in `c`
//! and `b` of either position, so every sub-policy learns what the operations of its pair would have given in their places.
//! An operation that was not drawn is seen at the mean magnitude of the sub-policies that have it there.
//!
//! Magnitudes learn straight through, as in the released code: `x + (m - detach(m))` behind an operation that was applied.
//! Probabilities and magnitudes are held to their range by projection at the beginning of a step.

use super::augmentation::KINDS;
use super::formulas::{complement, logit, straight_through};
use crate::distill::{Hyperparameters, Learning, Lesson};
use crate::error::Result;
use crate::nn::Distribution as Start;
use crate::ops::matmul::Transposed;
use crate::ops::random::Distribution;
use crate::random::{Philox, Stream};
use crate::tape::{StateId, Tape, ValueId};
use crate::tensor::DType;

/// Probabilities stay this far from 0 and 1, so that none is out of reach for good and no logit is infinite.
pub(super) const MARGIN: f64 = 1e-3;

/// Names of the parameters: how likely an operation of a pair is applied, the weights that pairs are chosen by, magnitudes.
pub(super) const PARAMETERS: [&str; 3] = ["policy.probability", "policy.choice", "policy.magnitude"];

/// The sub-policies in their order: all pairs of operations but one, which `seed` chooses, or all 36 without a seed.
pub(super) fn pairs(seed: Option<u32>) -> Vec<[usize; 2]> {
    let all = (0..KINDS.len()).flat_map(|first| (first + 1..KINDS.len()).map(move |second| [first, second]));
    let mut all: Vec<[usize; 2]> = all.collect();
    if let Some(seed) = seed {
        let mut places: Vec<(u64, u32)> = vec![(0, 0); all.len()];
        Philox::new(u64::from(seed), Stream::Shuffle).permute(0, &mut places);
        all.remove(places[0].1 as usize);
    }
    all
}

/// The policy's parameters and tables.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pairs: Vec<[usize; 2]>,
    /// Where [`PARAMETERS`] are.
    pub(super) states: [StateId; 3],
    /// `[S, 2]`
    pub(super) probability: ValueId,
    /// `[1, S]`
    pub(super) choice: ValueId,
    /// `[S, 2]`
    pub(super) magnitude: ValueId,
    /// Which operation a sub-policy has in either position, `[S, 9]` of 0 and 1.
    operations: [ValueId; 2],
    /// The same with columns that add up to one, or to zero.
    means: [ValueId; 2],
    /// Value at magnitude 0 and what magnitude 1 adds, `[1, 9]`.
    ranges: [ValueId; 2],
    /// What finds the first of equals, `[S, S]`: 1 above the diagonal.
    earlier: ValueId,
    relaxation: f64,
}

/// What was drawn for a step.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Probabilities `[S, 2]`, and the logits with noise.
    pub(super) probability: ValueId,
    pub(super) z: ValueId,
    /// Log-probabilities of the choice `[1, S]`, and with noise.
    pub(super) log_choice: ValueId,
    pub(super) y: ValueId,
    /// What is relaxed: `sigmoid(z / t)`, `softmax(y / t)`.
    pub(super) soft: [ValueId; 2],
    /// What was drawn, 0 and 1: bits `[S, 2]`, choice `[1, S]`.
    pub(super) hard: [ValueId; 2],
}

/// How a position of the drawn sub-policy is applied.
#[derive(Clone, Debug)]
pub(super) struct Position {
    /// `[1, 9]`: one-hot, or zeros where nothing is applied.
    pub(super) weights: ValueId,
    /// `[1, 1, 1, 1]`: 1 where nothing is applied.
    pub(super) identity: ValueId,
    /// Every operation's value, `[1, 9]`.
    pub(super) values: ValueId,
    /// The magnitude of what is applied, `[1, 1]`, where magnitudes learn.
    pub(super) magnitude: Option<ValueId>,
    /// Which operations any sub-policy has here.
    pub(super) used: [bool; 9],
}

/// Who learns from what a step's policy does to a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learns {
    /// Nobody.
    Nothing,
    /// The magnitudes.
    Magnitudes,
    /// Magnitudes, and bits and choice through their relaxations.
    All,
}

impl Policy {
    /// Declares the policy.
    pub(super) fn new(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Self> {
        let pairs = pairs(values.count("policy_seed"));
        let (count, float) = (pairs.len(), tape.float());
        let at = |value: f64| Start::Constant { value };
        let shapes = [[count, 2], [1, count], [count, 2]];
        let starts = [at(0.5), at(1e-3), at(0.5)];
        let mut states = Vec::new();
        for ((name, shape), start) in PARAMETERS.into_iter().zip(shapes).zip(starts) {
            states.push(lesson.parameter_state(name, shape, start, Learning::Apart));
        }
        let states = [states[0], states[1], states[2]];
        let [probability, choice, magnitude] = states.map(|id| tape.state(lesson.layout, id));
        let kinds = KINDS.len();
        let mut tables = Vec::new();
        for position in 0..2 {
            let has = |kind: usize| pairs.iter().filter(|pair| pair[position] == kind).count().max(1) as f64;
            let table = |share: &dyn Fn(usize) -> f64| -> Vec<f64> {
                let row = |pair: &[usize; 2]| {
                    let own = pair[position];
                    (0..kinds).map(|kind| if kind == own { share(kind) } else { 0.0 }).collect::<Vec<_>>()
                };
                pairs.iter().flat_map(row).collect()
            };
            let rows = [("operations", table(&|_| 1.0)), ("means", table(&|kind| 1.0 / has(kind)))];
            for (what, rows) in rows {
                tables.push(lesson.constant(
                    tape,
                    &format!("policy/{what}/{position}"),
                    float,
                    [count, kinds],
                    rows,
                )?);
            }
        }
        let low = KINDS.iter().map(|kind| kind.range[0]).collect();
        let span = KINDS.iter().map(|kind| kind.range[1] - kind.range[0]).collect();
        let low = lesson.constant(tape, "policy/low", float, [1, kinds], low)?;
        let span = lesson.constant(tape, "policy/span", float, [1, kinds], span)?;
        let above = |index: usize| f64::from(u8::from(index / count < index % count));
        let above = (0..count * count).map(above).collect();
        let earlier = lesson.constant(tape, "policy/earlier", float, [count, count], above)?;
        Ok(Self {
            pairs,
            states,
            probability,
            choice,
            magnitude,
            operations: [tables[0], tables[2]],
            means: [tables[1], tables[3]],
            ranges: [low, span],
            earlier,
            relaxation: values.number("relaxation"),
        })
    }

    /// How many sub-policies there are.
    pub(super) fn count(&self) -> usize {
        self.pairs.len()
    }

    /// Brings probabilities and magnitudes back into their ranges: what the optimizer left is projected.
    pub(super) fn project(&self, tape: &mut Tape, lesson: &mut Lesson<'_>) -> Result<()> {
        let rows = (0..self.pairs.len()).map(|row| row as f64).collect();
        let rows = lesson.constant(tape, "policy/rows", DType::U32, [self.pairs.len()], rows)?;
        for (value, margin) in [(self.probability, MARGIN), (self.magnitude, 0.0)] {
            let least = tape.at_least(value, margin)?;
            let turned = complement(tape, least)?;
            let most = tape.at_least(turned, margin)?;
            let held = complement(tape, most)?;
            let held = tape.detach(held);
            tape.scatter_rows(rows, held, value)?;
        }
        Ok(())
    }

    /// Draws bits and choice of a step; parity cases give the noise as `policy/logistic` and `policy/gumbel`.
    pub(super) fn sample(&self, tape: &mut Tape, lesson: &Lesson<'_>) -> Result<Sample> {
        self.sample_of(tape, lesson, "policy", self.probability, self.choice)
    }

    /// A draw of an untrained policy, which the released code's unrolled step sees.
    pub(super) fn untrained(&self, tape: &mut Tape, lesson: &Lesson<'_>) -> Result<(Sample, ValueId)> {
        let count = self.pairs.len();
        let halves = tape.fill([count, 2], 0.5);
        let even = tape.fill([1, count], 1e-3);
        Ok((self.sample_of(tape, lesson, "untrained", halves, even)?, halves))
    }

    fn sample_of(
        &self,
        tape: &mut Tape,
        lesson: &Lesson<'_>,
        name: &str,
        probability: ValueId,
        choice: ValueId,
    ) -> Result<Sample> {
        let given = |what: &str| lesson.given(&format!("{name}/{what}"));
        let logistic = match given("logistic") {
            Some(noise) => noise,
            None => tape.random(Distribution::Logistic, tape.shape(probability))?,
        };
        let gumbel = match given("gumbel") {
            Some(noise) => noise,
            None => tape.random(Distribution::Gumbel, tape.shape(choice))?,
        };
        let logits = logit(tape, probability)?;
        let z = tape.add(logits, logistic)?;
        let bits = tape.above(z, 0.0)?;
        let tempered = tape.scale(z, 1.0 / self.relaxation);
        let soft_bits = tape.sigmoid(tempered)?;
        let log_choice = tape.log_softmax(choice, 1.0)?;
        let y = tape.add(log_choice, gumbel)?;
        let soft_choice = tape.softmax(y, self.relaxation)?;
        // The first of the highest: 1 where none is higher, and none of these stands before.
        let highest = tape.max(y, 1)?;
        let candidates = tape.less_or_equal(highest, y)?;
        let before = tape.matmul(candidates, self.earlier, Transposed::default())?;
        let later = tape.above(before, 0.5)?;
        let hard_choice = tape.greater(candidates, later)?;
        Ok(Sample { probability, z, log_choice, y, soft: [soft_bits, soft_choice], hard: [bits, hard_choice] })
    }

    /// The sum of the squares of probabilities, weight of the choice and magnitudes of the sub-policy that was drawn.
    pub(super) fn squares_of_drawn(&self, tape: &mut Tape, sample: &Sample) -> Result<ValueId> {
        let mut parts = Vec::new();
        for (value, columns) in [(self.probability, 2), (self.choice, 1), (self.magnitude, 2)] {
            let square = tape.square(value)?;
            let square = tape.view(square, [self.pairs.len(), columns])?;
            let drawn = tape.matmul(sample.hard[1], square, Transposed::default())?;
            parts.push((1.0, tape.total(drawn)?));
        }
        tape.weighted_sum(&parts)
    }

    /// How the two positions of what was drawn are applied.
    pub(super) fn positions(&self, tape: &mut Tape, sample: &Sample, learns: Learns) -> Result<[Position; 2]> {
        self.positions_with(tape, sample, self.magnitude, learns)
    }

    /// As [`Policy::positions`], with other magnitudes `[S, 2]`.
    pub(super) fn positions_with(
        &self,
        tape: &mut Tape,
        sample: &Sample,
        magnitudes: ValueId,
        learns: Learns,
    ) -> Result<[Position; 2]> {
        let count = self.pairs.len();
        let [mut bits, mut choice] = sample.hard;
        if learns == Learns::All {
            bits = straight_through(tape, bits, sample.soft[0])?;
            choice = straight_through(tape, choice, sample.soft[1])?;
        }
        let mut made = Vec::new();
        for position in 0..2 {
            let column = |tape: &mut Tape, table: ValueId| {
                let column = tape.slice(table, position, 1)?;
                tape.view(column, [1, count])
            };
            let bit = column(tape, bits)?;
            let applied = tape.multiply(choice, bit)?;
            let weights = tape.matmul(applied, self.operations[position], Transposed::default())?;
            let off = complement(tape, bit)?;
            let left = tape.multiply(choice, off)?;
            let identity = tape.sum(left, &[1])?;
            let identity = tape.view(identity, [1, 1, 1, 1])?;

            let own = column(tape, magnitudes)?;
            let constant = tape.detach(own);
            let chosen = tape.multiply(sample.hard[1], constant)?;
            let exact = tape.matmul(chosen, self.operations[position], Transposed::default())?;
            let is_drawn = tape.matmul(sample.hard[1], self.operations[position], Transposed::default())?;
            let mean = tape.matmul(constant, self.means[position], Transposed::default())?;
            let others = complement(tape, is_drawn)?;
            let others = tape.multiply(mean, others)?;
            let of_each = tape.add(exact, others)?;
            let spans = tape.multiply(of_each, self.ranges[1])?;
            let values = tape.add(spans, self.ranges[0])?;

            let magnitude = match learns {
                Learns::Nothing => None,
                _ => {
                    let hard_bit = column(tape, sample.hard[0])?;
                    let hard = tape.multiply(sample.hard[1], hard_bit)?;
                    let drawn = tape.multiply(own, hard)?;
                    Some(tape.sum(drawn, &[1])?)
                }
            };
            let mut used = [false; 9];
            self.pairs.iter().for_each(|pair| used[pair[position]] = true);
            made.push(Position { weights, identity, values, magnitude, used });
        }
        Ok([made.remove(0), made.remove(0)])
    }
}

/// How many sub-policies a summary names.
const TOLD: usize = 3;

/// The policy in words: the sub-policies that are chosen most often.
pub(super) fn learned(values: &Hyperparameters, parameter: &dyn Fn(&str) -> Option<Vec<f32>>) -> Vec<(String, String)> {
    let found = PARAMETERS.map(parameter);
    let [Some(probability), Some(choice), Some(magnitude)] = found else { return Vec::new() };
    let pairs = pairs(values.count("policy_seed"));
    let most = choice.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f64> = choice.iter().map(|weight| f64::from(weight - most).exp()).collect();
    let total: f64 = shares.iter().sum();
    let mut order: Vec<usize> = (0..pairs.len().min(choice.len())).collect();
    order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]).then(a.cmp(b)));
    let told = order.into_iter().take(TOLD).enumerate().map(|(rank, which)| {
        let part = |position: usize| {
            let kind = KINDS[pairs[which][position]];
            let (p, m) = (probability[2 * which + position], f64::from(magnitude[2 * which + position]));
            let p = f64::from(p).clamp(MARGIN, 1.0 - MARGIN);
            let value = kind.range[0] + m.clamp(0.0, 1.0) * (kind.range[1] - kind.range[0]);
            match kind.range[0] == kind.range[1] {
                true => format!("{} with {:.0}%", kind.name, 100.0 * p),
                false => format!("{} {value:.3} with {:.0}%", kind.name, 100.0 * p),
            }
        };
        let text = format!("{}, then {} (chosen in {:.1}% of steps)", part(0), part(1), 100.0 * shares[which] / total);
        (format!("sub-policy {}", rank + 1), text)
    });
    told.collect()
}
