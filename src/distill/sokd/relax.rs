//! RELAX (Grathwohl, Choi, Wu, Roeder, Duvenaud: "Backpropagation through the void", 2018, equation 8 and appendix B), by
//! which the released code learns probabilities and choice: an unbiased gradient of a loss `f` of what was drawn,
//!
//! ```text
//! g = (f - Q(z~)) d log P(b, c) / d phi + d Q(z) / d phi - d Q(z~) / d phi
//! ```
//!
//! with a net Q on the relaxed draws, and on draws `z~` made again given what came out: for bits `z~ = logit(p) + logit(v')`
//! with `v' = v p + 1 - p` where the bit is 1 and `v (1 - p)` where it is 0; for the choice `k`, with `E = -ln v`,
//! `y~_k = -ln E_k` and `y~_i = -ln(E_i / softmax(o)_i + E_k)`. Q learns to make `mean g^2` small. `v'` is held to
//! `[1e-6, 1 - 1e-6]`, where it has no slope beyond: in float32 it may round to 1, whose logit is infinite.
//!
//! Q's gradient is part of g and is differentiated once more for that, so it is written out:
//! `Q(u) = w_2 tanh(u W_1 + b_1) + b_2`, `u = 2 [sigmoid(z / t), softmax(y / t)] - 1`.

use super::formulas::{blend, complement, differentiate, logit, variance};
use super::policy::{Policy, Sample};
use crate::distill::{Hyperparameters, Learning, Lesson};
use crate::error::Result;
use crate::nn::Distribution as Start;
use crate::ops::matmul::Transposed;
use crate::ops::random::Distribution;
use crate::tape::{StateId, Tape, ValueId};

/// Hidden units of Q.
const HIDDEN: usize = 100;

/// The net Q.
#[derive(Clone, Debug)]
pub(super) struct Control {
    /// `W_1` `[3 S, 100]`, `b_1`, `w_2`, `b_2`.
    pub(super) states: [StateId; 4],
    parameters: [ValueId; 4],
    relaxation: f64,
    /// The score of the choice counts this often.
    repeated: f64,
}

/// One draw in the order that Q reads, with how it moves when the policy does.
struct Relaxed {
    /// `[1, 2 S]` and `[1, S]`
    soft: [ValueId; 2],
    /// `dz / dp`, `[1, 2 S]`
    slope: ValueId,
    /// `dy / d log softmax(o)`, `[1, S]`; none where it is 1.
    moved: Option<ValueId>,
}

impl Control {
    /// Declares Q, which starts as PyTorch's linear layers do.
    pub(super) fn new(
        tape: &mut Tape,
        lesson: &mut Lesson<'_>,
        policy: &Policy,
        values: &Hyperparameters,
    ) -> Result<Self> {
        let count = policy.count();
        let bounds = [1.0 / (3.0 * count as f64).sqrt(), 1.0 / (HIDDEN as f64).sqrt()];
        let shapes: [(&str, [usize; 2], f64); 4] = [
            ("control.hidden.weight", [3 * count, HIDDEN], bounds[0]),
            ("control.hidden.bias", [1, HIDDEN], bounds[0]),
            ("control.last.weight", [1, HIDDEN], bounds[1]),
            ("control.last.bias", [1, 1], bounds[1]),
        ];
        let states = shapes
            .map(|(name, shape, bound)| lesson.parameter_state(name, shape, Start::Uniform { bound }, Learning::Apart));
        let parameters = states.map(|id| tape.state(lesson.layout, id));
        let repeated = if values.flag("relax_repeats_choice") { 2.0 * count as f64 } else { 1.0 };
        Ok(Self { states, parameters, relaxation: values.number("relaxation"), repeated })
    }

    /// The gradients of probabilities `[S, 2]` and choice `[1, S]` by `loss`, a scalar, and of Q's parameters. Parity cases
    /// give the noise of the draws made again as `policy/again/bits` and `policy/again/choice`, even in (0, 1).
    pub(super) fn gradients(
        &self,
        tape: &mut Tape,
        sample: &Sample,
        again: &Again,
        loss: ValueId,
    ) -> Result<(ValueId, ValueId, Vec<ValueId>)> {
        let count = tape.shape(sample.log_choice).channels();
        let flat = |tape: &mut Tape, value: ValueId| tape.view(value, [1, 2 * count]);
        let p = flat(tape, sample.probability)?;
        let [bits, choice] = [flat(tape, sample.hard[0])?, sample.hard[1]];
        let p = tape.detach(p);
        let log_choice = tape.detach(sample.log_choice);
        let shares = tape.exp(log_choice)?;

        let drawn = self.of_draw(tape, sample, p)?;
        let conditioned = self.of_again(tape, again, [bits, choice], [p, shares])?;
        let (_, [d_p, d_o]) = self.value_and_slopes(tape, &drawn, shares)?;
        let (value, [other_p, other_o]) = self.value_and_slopes(tape, &conditioned, shares)?;

        // d log P / dp = b / p - (1 - b) / (1 - p) = (b - p) / (p (1 - p)); d log P / do = c - softmax(o).
        let loss = tape.detach(loss);
        let loss = tape.view(loss, [1, 1])?;
        let advantage = tape.subtract(loss, value)?;
        let surprise = tape.subtract(bits, p)?;
        let variance = variance(tape, p)?;
        let of_bits = tape.divide(surprise, variance)?;
        let of_choice = tape.subtract(choice, shares)?;
        let of_choice = tape.scale(of_choice, self.repeated);
        let mut all = Vec::new();
        for (score, slope, other) in [(of_bits, d_p, other_p), (of_choice, d_o, other_o)] {
            let scored = tape.multiply(score, advantage)?;
            let rest = tape.subtract(slope, other)?;
            all.push(tape.add(scored, rest)?);
        }
        let both = tape.concat(&all)?;
        let square = tape.square(both)?;
        let noise = tape.average(square)?;
        // The last bias is in g by Q(z~) alone; every parameter is in it.
        let of_control = differentiate(tape, noise, &self.parameters)?;
        let shape = tape.shape(sample.probability);
        Ok((tape.view(all[0], shape)?, all[1], of_control))
    }

    /// What was drawn.
    fn of_draw(&self, tape: &mut Tape, sample: &Sample, p: ValueId) -> Result<Relaxed> {
        let count = tape.shape(sample.log_choice).channels();
        let z = tape.view(sample.z, [1, 2 * count])?;
        let [z, y] = [z, sample.y].map(|value| tape.detach(value));
        let variance = variance(tape, p)?;
        Ok(Relaxed { soft: self.relax(tape, z, y)?, slope: tape.reciprocal(variance)?, moved: None })
    }

    /// Draws made again, given what came out.
    fn of_again(
        &self,
        tape: &mut Tape,
        again: &Again,
        [bits, choice]: [ValueId; 2],
        [p, shares]: [ValueId; 2],
    ) -> Result<Relaxed> {
        let count = tape.shape(shares).channels();
        let v = tape.view(again.bits, [1, 2 * count])?;
        // v' = v p + 1 - p = 1 - (1 - v) p for b = 1, v (1 - p) for b = 0.
        let [not_v, not_p] = [complement(tape, v)?, complement(tape, p)?];
        let low = tape.multiply(v, not_p)?;
        let high = tape.multiply(not_v, p)?;
        let high = complement(tape, high)?;
        let place = blend(tape, low, high, bits)?;
        let (place, free) = held(tape, place)?;
        // dv' / dp = -(1 - v) for b = 1, -v for b = 0.
        let up = tape.scale(not_v, -1.0);
        let down = tape.scale(v, -1.0);
        let moves = blend(tape, down, up, bits)?;
        let moves = tape.multiply(moves, free)?;
        let [logit_p, logit_v] = [logit(tape, p)?, logit(tape, place)?];
        let z = tape.add(logit_p, logit_v)?;
        let spread = variance(tape, place)?;
        let through = tape.divide(moves, spread)?;
        let own = variance(tape, p)?;
        let own = tape.reciprocal(own)?;
        let slope = tape.add(own, through)?;

        // E = -ln v; for the choice y = -ln E_k, for the others y = -ln(E / shares + E_k), dy / d ln shares = (E / shares) / (..).
        let logs = tape.log(again.choice)?;
        let waits = tape.scale(logs, -1.0);
        let first = tape.multiply(waits, choice)?;
        let first = tape.sum(first, &[1])?;
        let longer = tape.divide(waits, shares)?;
        let sum = tape.add(longer, first)?;
        let time = blend(tape, sum, waits, choice)?;
        let logs = tape.log(time)?;
        let y = tape.scale(logs, -1.0);
        let ratio = tape.divide(longer, sum)?;
        let others = complement(tape, choice)?;
        let moved = tape.multiply(ratio, others)?;
        Ok(Relaxed { soft: self.relax(tape, z, y)?, slope, moved: Some(moved) })
    }

    fn relax(&self, tape: &mut Tape, z: ValueId, y: ValueId) -> Result<[ValueId; 2]> {
        let tempered = tape.scale(z, 1.0 / self.relaxation);
        Ok([tape.sigmoid(tempered)?, tape.softmax(y, self.relaxation)?])
    }

    /// `Q` `[1, 1]` and its gradients by `p` `[1, 2 S]` and `o` `[1, S]`.
    fn value_and_slopes(&self, tape: &mut Tape, relaxed: &Relaxed, shares: ValueId) -> Result<(ValueId, [ValueId; 2])> {
        let [w1, b1, w2, b2] = self.parameters;
        let [sigmoids, soft] = relaxed.soft;
        let input = tape.concat(&[sigmoids, soft])?;
        let input = tape.affine(input, 2.0, -1.0)?;
        let sums = tape.matmul(input, w1, Transposed::default())?;
        let sums = tape.add(sums, b1)?;
        let hidden = tape.tanh(sums)?;
        let value = tape.matmul(hidden, w2, Transposed { a: false, b: true })?;
        let value = tape.add(value, b2)?;

        let square = tape.square(hidden)?;
        let slope = complement(tape, square)?;
        let back = tape.multiply(slope, w2)?;
        let back = tape.matmul(back, w1, Transposed { a: false, b: true })?;
        let count = tape.shape(shares).channels();
        let parts = tape.split(back, &[2 * count, count])?;

        // u = 2 s - 1, s = sigmoid(z / t): du / dz = 2 s (1 - s) / t.
        let steep = variance(tape, sigmoids)?;
        let d_z = tape.multiply(parts[0], steep)?;
        let d_z = tape.scale(d_z, 2.0 / self.relaxation);
        let d_p = tape.multiply(d_z, relaxed.slope)?;

        // u = 2 s - 1, s = softmax(y / t): du / dy = 2 / t (diag(s) - s s').
        let own = tape.multiply(parts[1], soft)?;
        let mean = tape.sum(own, &[1])?;
        let away = tape.subtract(parts[1], mean)?;
        let d_y = tape.multiply(away, soft)?;
        let mut d_y = tape.scale(d_y, 2.0 / self.relaxation);
        if let Some(moved) = relaxed.moved {
            d_y = tape.multiply(d_y, moved)?;
        }
        // Through log softmax(o).
        let total = tape.sum(d_y, &[1])?;
        let shared = tape.multiply(shares, total)?;
        Ok((value, [d_p, tape.subtract(d_y, shared)?]))
    }
}

/// `v'` is this far from 0 and 1 at least.
const EDGE: f64 = 1e-6;

/// `x` held to `[EDGE, 1 - EDGE]`, and 1 where it was inside, else 0.
fn held(tape: &mut Tape, x: ValueId) -> Result<(ValueId, ValueId)> {
    let rest = complement(tape, x)?;
    let inside = [tape.above(x, EDGE)?, tape.above(rest, EDGE)?];
    let least = tape.at_least(x, EDGE)?;
    // The smaller of it and the bound. Turned by its sign, not as 1 - x, which would round small values.
    let turned = tape.scale(least, -1.0);
    let most = tape.at_least(turned, EDGE - 1.0)?;
    Ok((tape.scale(most, -1.0), tape.multiply(inside[0], inside[1])?))
}

/// Even noise for draws that are made again: `[S, 2]` and `[1, S]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    bits: ValueId,
    choice: ValueId,
}

impl Again {
    /// Draws it.
    pub(super) fn new(tape: &mut Tape, lesson: &Lesson<'_>, sample: &Sample) -> Result<Self> {
        let mut draw = |name: &str, like: ValueId| match lesson.given(name) {
            Some(value) => Ok(value),
            None => tape.random(Distribution::Uniform, tape.shape(like)),
        };
        let bits = draw("policy/again/bits", sample.z)?;
        Ok(Self { bits, choice: draw("policy/again/choice", sample.y)? })
    }
}
