//! What the policy learns from while it is searched for, and how: by Adam.
//!
//! - `first_order`: the consistency `1/2 mean (s(f_t) - f_s)^2` of the augmented teacher's map with the student's, which is a
//!   constant here; on the half of the batch that the student is not compared with the teacher on.
//! - `unrolled` (Liu, Simonyan, Yang: "DARTS", 2019, equations 7 and 8, as SoKD's released code has it): the student's own loss
//!   after one virtual step. With `theta' = theta - xi (grad L + decay theta)` and `v` the gradient of the loss at `theta'`
//!   without augmentation, the policy moves along `-(g(theta + R v) - g(theta - R v)) / (2 R)`, `R = 0.01 / |v|`, where `g` is
//!   the policy's gradient of the student's loss.
//!
//! The consistency alone has "no augmentation" as its minimum: the student is trained towards the teacher's feature, from
//! which every operation leads away, so probabilities fall for as long as the search lasts. The released code searches with
//! `unrolled` and `relax`: another objective, and an estimate of its gradients that is far noisier.
//!
//! With Gumbel-Softmax the probabilities and magnitudes of all sub-policies but the drawn one have no gradient in a step.
//! Adam divides gradients by their size: a decay in every step would be all that these see, and would move each by nearly the
//! whole rate towards 0. So there only the sub-policy decays that was drawn, by a term of the loss, `policy_decay / 2` times
//! its squares. With RELAX, which has a gradient for every probability in every step, the decay is Adam's own, as released.

use std::collections::BTreeMap;

use super::augmentation::{self, Draws, Grid};
use super::formulas::differentiate;
use super::loss::{self, Rows};
use super::policy::{Learns, Policy, Position, Sample};
use super::relax::{Again, Control};
use crate::distill::{Hyperparameters, Learning, Lesson, Pupil, Rule, Update, hint};
use crate::error::Result;
use crate::tape::{StateId, Tape, ValueId};

/// Features and what was drawn for them, by name: whoever augments a feature again in one step sees the same noise.
#[derive(Debug)]
pub(super) struct Augmenter {
    drawn: BTreeMap<String, (Grid, Draws)>,
    released_translation: bool,
}

impl Augmenter {
    /// Nothing is drawn yet.
    pub(super) fn new(values: &Hyperparameters) -> Self {
        Self { drawn: BTreeMap::new(), released_translation: values.flag("translate_by_side") }
    }

    /// The feature `x` after both positions of a sub-policy.
    pub(super) fn apply(
        &mut self,
        tape: &mut Tape,
        lesson: &mut Lesson<'_>,
        name: &str,
        x: ValueId,
        (positions, learns): (&[Position; 2], Learns),
    ) -> Result<ValueId> {
        if !self.drawn.contains_key(name) {
            let shape = tape.shape(x);
            let grid = Grid::new(tape, lesson, shape, self.released_translation)?;
            let draws = Draws::new(tape, lesson, name, shape)?;
            self.drawn.insert(name.to_string(), (grid, draws));
        }
        let (grid, draws) = &self.drawn[name];
        let mut y = x;
        for position in positions {
            y = match learns {
                Learns::All => augmentation::each(tape, y, position, grid, draws)?,
                _ => augmentation::drawn(tape, y, position, grid, draws)?,
            };
        }
        Ok(y)
    }
}

/// Who gives probabilities and choice their gradients.
pub(super) struct Search<'a> {
    pub(super) values: &'a Hyperparameters,
    pub(super) policy: &'a Policy,
    pub(super) sample: &'a Sample,
    /// The net of the RELAX estimator and its noise, or none for Gumbel-Softmax.
    pub(super) control: Option<(Control, Again)>,
    /// The images that the student is compared with the teacher on, and those that are held out.
    pub(super) rows: [Rows; 2],
}

impl Search<'_> {
    /// What policy and control net learn in a step of the search, given the student's map in the teacher's space and the
    /// student's loss. Also the search's objective.
    pub(super) fn record(
        &self,
        tape: &mut Tape,
        lesson: &mut Lesson<'_>,
        adapted: ValueId,
        current: ValueId,
        augmenter: &mut Augmenter,
    ) -> Result<(Update, ValueId)> {
        let (objective, mut gradients) = match self.values.choice("objective") {
            "unrolled" => {
                let (objective, gradients) = self.unrolled(tape, lesson, current, augmenter)?;
                (objective, Some(gradients))
            }
            _ => {
                let objective = self.consistency(tape, lesson, adapted, augmenter)?;
                let by_formula = self.control.is_some();
                let gradients = by_formula.then(|| self.gradients(tape, objective)).transpose()?;
                (objective, gradients)
            }
        };
        let of_control = self.control.iter().flat_map(|(control, _)| control.states);
        let (mut loss, mut weight_decay) = (objective, self.values.number("policy_decay"));
        if self.control.is_none() && weight_decay > 0.0 {
            let Policy { probability, choice, magnitude, .. } = *self.policy;
            let squares = self.policy.squares_of_drawn(tape, self.sample)?;
            match &mut gradients {
                Some(gradients) => {
                    let squares = tape.scale(squares, 0.5 * weight_decay);
                    let of_squares = differentiate(tape, squares, &[probability, choice, magnitude])?;
                    for (gradient, more) in gradients.iter_mut().zip(of_squares) {
                        *gradient = tape.add(*gradient, more)?;
                    }
                }
                None => loss = tape.weighted_sum(&[(1.0, objective), (0.5 * weight_decay, squares)])?,
            }
            weight_decay = 0.0;
        }
        let update = Update {
            loss,
            gradients,
            parameters: self.policy.states.into_iter().chain(of_control).collect(),
            rate: tape.fill([], self.values.number("policy_rate")),
            optimizer: Rule::Adam { beta1: 0.5, beta2: 0.999, weight_decay },
        };
        Ok((update, objective))
    }

    /// Who learns from a feature that the policy is differentiated through.
    fn learns(&self) -> Learns {
        if self.control.is_some() { Learns::Magnitudes } else { Learns::All }
    }

    /// `1/2 mean (s(f_t) - f_s)^2` on the images that are held out.
    fn consistency(
        &self,
        tape: &mut Tape,
        lesson: &mut Lesson<'_>,
        adapted: ValueId,
        augmenter: &mut Augmenter,
    ) -> Result<ValueId> {
        let name = self.values.choice("hint");
        let teacher = lesson.teacher()?.clone().feature(tape, name)?;
        let teacher = self.rows[1].of(tape, teacher)?;
        let positions = self.policy.positions(tape, self.sample, self.learns())?;
        // Where nothing is held out, it is the feature that the student is compared with.
        let name = if self.rows[0] == self.rows[1] { name } else { "search" };
        let augmented = augmenter.apply(tape, lesson, name, teacher, (&positions, self.learns()))?;
        let student = self.rows[1].of(tape, adapted)?;
        let student = tape.detach(student);
        let difference = hint::mean_square(tape, augmented, student)?;
        Ok(tape.scale(difference, 0.5))
    }

    /// The gradients of probability, choice and magnitude by `loss`, then those of the control net.
    fn gradients(&self, tape: &mut Tape, loss: ValueId) -> Result<Vec<ValueId>> {
        let Policy { probability, choice, magnitude, .. } = *self.policy;
        let Some((control, again)) = &self.control else {
            return differentiate(tape, loss, &[probability, choice, magnitude]);
        };
        let of_magnitude = differentiate(tape, loss, &[magnitude])?[0];
        let (of_probability, of_choice, of_control) = control.gradients(tape, self.sample, again, loss)?;
        Ok([of_probability, of_choice, of_magnitude].into_iter().chain(of_control).collect())
    }

    /// The student's loss after a virtual step, and what the policy's gradients become by it.
    fn unrolled(
        &self,
        tape: &mut Tape,
        lesson: &mut Lesson<'_>,
        current: ValueId,
        augmenter: &mut Augmenter,
    ) -> Result<(ValueId, Vec<ValueId>)> {
        let learned = learned(lesson);
        let own: Vec<ValueId> = learned.iter().map(|id| tape.state(lesson.layout, *id)).collect();
        let still = self.scratch(tape, lesson);
        let one = tape.fill([], 1.0);
        let slopes = tape.backward(&[(current, one)], &own)?;
        let (rate, decay) = (self.values.number("unrolled_rate"), self.values.number("unrolled_decay"));

        let mut moved = still.clone();
        let mut wanted = Vec::new();
        for ((id, theta), slope) in learned.iter().zip(&own).zip(slopes) {
            let Some(slope) = slope else { continue };
            let kept = tape.affine(*theta, 1.0 - rate * decay, 0.0)?;
            let step = tape.scale(slope, rate);
            let after = tape.subtract(kept, step)?;
            moved.insert(*id, after);
            wanted.push((*id, *theta, after));
        }
        let stranger = match self.values.flag("unrolled_random_policy") {
            true => {
                let (sample, magnitudes) = self.policy.untrained(tape, lesson)?;
                Some(self.policy.positions_with(tape, &sample, magnitudes, Learns::Nothing)?)
            }
            false => None,
        };
        let plain = stranger.as_ref().map(|positions| (positions, Learns::Nothing));
        let objective = self.elsewhere(tape, lesson, moved, self.rows[1], plain, augmenter)?;
        let after: Vec<ValueId> = wanted.iter().map(|(.., after)| *after).collect();
        let direction = differentiate(tape, objective, &after)?;

        let mut squares = Vec::new();
        for slope in &direction {
            let square = tape.square(*slope)?;
            squares.push((1.0, tape.total(square)?));
        }
        let square = tape.weighted_sum(&squares)?;
        // A direction of no length leads nowhere, at any radius.
        let square = tape.at_least(square, 1e-30)?;
        let length = tape.sqrt(square)?;
        let inverse = tape.reciprocal(length)?;
        let radius = tape.scale(inverse, RADIUS);

        let positions = self.policy.positions(tape, self.sample, self.learns())?;
        let augmented = Some((&positions, self.learns()));
        let mut both = Vec::new();
        for sign in [1.0, -1.0] {
            let mut shifted = still.clone();
            let signed = tape.scale(radius, sign);
            for ((id, theta, _), slope) in wanted.iter().zip(&direction) {
                let step = tape.multiply(*slope, signed)?;
                shifted.insert(*id, tape.add(*theta, step)?);
            }
            let loss = self.elsewhere(tape, lesson, shifted, self.rows[0], augmented, augmenter)?;
            both.push(self.gradients(tape, loss)?);
        }
        // -(g+ - g-) / (2 R)
        let factor = tape.scale(length, 0.5 / RADIUS);
        let mut gradients = Vec::new();
        for (plus, minus) in both[0].iter().zip(&both[1]) {
            let difference = tape.subtract(*minus, *plus)?;
            gradients.push(tape.multiply(difference, factor)?);
        }
        Ok((objective, gradients))
    }

    /// The student's loss with other parameters.
    fn elsewhere(
        &self,
        tape: &mut Tape,
        lesson: &mut Lesson<'_>,
        parameters: BTreeMap<StateId, ValueId>,
        rows: Rows,
        augmented: Option<(&[Position; 2], Learns)>,
        augmenter: &mut Augmenter,
    ) -> Result<ValueId> {
        tape.substitute(lesson.layout, parameters)?;
        let student = again(tape, lesson)?;
        let before = std::mem::replace(&mut lesson.student, student);
        let adapted = loss::adapts(self.values).then(|| loss::adapted(tape, lesson, self.values)).transpose()?;
        let prefix = if rows == self.rows[0] { "" } else { "held out/" };
        let mut augment = |tape: &mut Tape, lesson: &mut Lesson<'_>, name: &str, x: ValueId| match augmented {
            Some(how) => augmenter.apply(tape, lesson, &format!("{prefix}{name}"), x, how),
            None => Ok(x),
        };
        let loss = loss::record(tape, lesson, self.values, adapted, rows, &mut augment)?;
        lesson.student = before;
        tape.substitute(lesson.layout, BTreeMap::new())?;
        Ok(loss.loss)
    }

    /// For all running statistics somewhere else to go.
    fn scratch(&self, tape: &mut Tape, lesson: &mut Lesson<'_>) -> BTreeMap<StateId, ValueId> {
        let own = lesson.equipment.models.iter().map(|(model, _)| model);
        let models: Vec<_> = lesson.student.model.iter().chain(own).cloned().collect();
        let mut found = BTreeMap::new();
        for model in models {
            for parameter in model.parameters.iter().filter(|parameter| !parameter.spec.trainable) {
                let shape = lesson.layout.entry(parameter.value).shape;
                let name = format!("scratch/{}/{}", model.role, parameter.spec.name);
                found.insert(parameter.value, lesson.scratch(tape, &name, shape));
            }
        }
        found
    }
}

/// How far from the parameters the policy's gradient is looked at, in their norm.
const RADIUS: f64 = 0.01;

/// Everything that learns with the student, student included; in a parity case what the method owns alone.
fn learned(lesson: &Lesson<'_>) -> Vec<StateId> {
    let own = lesson.equipment.models.iter().filter(|(_, learning)| *learning == Learning::WithStudent);
    let models = lesson.student.model.iter().chain(own.map(|(model, _)| model));
    let parameters = models.flat_map(|model| &model.parameters).filter(|one| one.spec.trainable).map(|one| one.value);
    let pieces = lesson.equipment.pieces.iter().filter(|piece| piece.learning == Learning::WithStudent);
    let still = |id: &StateId| lesson.equipment.copies.iter().all(|(copy, _)| copy != id);
    parameters.chain(pieces.map(|piece| piece.value)).filter(still).collect()
}

/// The student's forward pass once more, with the parameters that stand in for its own.
fn again(tape: &mut Tape, lesson: &Lesson<'_>) -> Result<Pupil> {
    let mut student = lesson.student.clone();
    if student.model.is_some() {
        let images = lesson.batch()?.images;
        let taps: Vec<&str> = lesson.student.features.iter().map(|(name, _)| name.as_str()).collect();
        let forward = lesson.student_again(tape, images, &taps)?;
        student.logits = forward.logits;
        student.features.iter_mut().zip(forward.taps).for_each(|((_, feature), made)| *feature = made);
    }
    Ok(student)
}
