//! One lane of a step: a model, how it learns, and the counters that say how well.

use super::clock::Batch;
use crate::config::TrainConfig;
use crate::distill::{Lesson, MentorUse, Quantity, Taught, Term};
use crate::error::{Error, Result};
use crate::nn::{Mode, Model, Role};
use crate::ops::evaluate::Counts;
use crate::ops::sgd::{SgdOptions, SgdParameter, Watch};
use crate::tape::{State, StateId, StateLayout, Tape, ValueId};
use crate::tensor::DType;

/// A model that learns in a stage, with the state that its learning needs.
#[derive(Debug)]
pub struct Learner {
    /// The model.
    pub model: Model,
    /// The method's label; `None` for a mentor that learns from the labels.
    pub method: Option<String>,
    /// The seed of its weights, and of the order and augmentation of its images.
    pub seed: u64,
    /// Under which its state stands.
    prefix: String,
    /// The terms of the loss.
    pub terms: Vec<Term>,
    /// How the method uses its mentors.
    pub uses: Vec<MentorUse>,
    /// Velocities of the trainable parameters, in their order.
    velocities: Vec<StateId>,
    /// The first step of the stage, counted from 1, in which the loss or a weight was not finite; 0: none yet.
    pub broken: StateId,
    /// Sum of the loss over the epoch's steps.
    pub loss: StateId,
    /// Sums over the epoch's steps of the values that the method's quantities are elements of.
    sums: Vec<(ValueId, StateId)>,
    /// Hits on the training images of the epoch.
    pub trained: StateId,
    /// Hits on the split that is being evaluated.
    pub evaluated: StateId,
    /// `[best validation accuracy, its epoch, test accuracy then]`; epoch 0: none yet.
    pub best: StateId,
}

impl Learner {
    /// Declares the learner's state, all under `prefix`.
    pub fn declare(
        layout: &mut StateLayout,
        prefix: &str,
        model: Model,
        method: Option<String>,
        seed: u64,
        float: DType,
    ) -> Self {
        let trainable = model.parameters.iter().filter(|parameter| parameter.spec.trainable);
        let velocities = trainable
            .map(|parameter| {
                let shape = layout.entry(parameter.value).shape;
                layout.declare(format!("{prefix}/velocity/{}", parameter.spec.name), float, shape)
            })
            .collect();
        let classes = model.network.classes;
        Self {
            method,
            seed,
            prefix: prefix.to_string(),
            terms: Vec::new(),
            uses: Vec::new(),
            velocities,
            broken: layout.declare(format!("{prefix}/broken"), DType::U32, [1]),
            loss: layout.declare(format!("{prefix}/loss"), DType::F64, [1]),
            sums: Vec::new(),
            trained: Counts::declare(layout, &format!("{prefix}/trained"), classes),
            evaluated: Counts::declare(layout, &format!("{prefix}/evaluated"), classes),
            best: layout.declare(format!("{prefix}/best"), DType::F64, [3]),
            model,
        }
    }

    /// Records forward, loss, backward, update and counters of this learner, in its own lane.
    ///
    /// # Errors
    /// If the method or an operation refuses.
    pub fn record(
        &mut self,
        tape: &mut Tape,
        layout: &mut StateLayout,
        batch: Batch,
        config: &TrainConfig,
        teach: impl Fn(&mut Tape, &Lesson) -> Result<Taught>,
        lesson: impl Fn(ValueId) -> Lesson,
    ) -> Result<()> {
        let logits = self.model.record(tape, layout, batch.images, Mode::Train, &[])?.logits;
        let taught = teach(tape, &lesson(logits))?;
        let trained = tape.state(layout, self.trained);
        tape.evaluate(logits, batch.labels, batch.valid, trained)?;

        let one = tape.fill([], 1.0);
        let parameters: Vec<_> = self.model.parameters.iter().filter(|p| p.spec.trainable).collect();
        let weights: Vec<ValueId> = parameters.iter().map(|p| tape.state(layout, p.value)).collect();
        let gradients = tape.backward(&[(taught.loss, one)], &weights)?;
        let mut groups: [Vec<SgdParameter>; 2] = Default::default();
        for (index, (weight, gradient)) in weights.iter().zip(gradients).enumerate() {
            let gradient = gradient.ok_or_else(|| {
                Error::failed(format!("no gradient reaches {} of {}", parameters[index].spec.name, self.model.role))
            })?;
            let velocity = tape.state(layout, self.velocities[index]);
            let decays = config.optimizer.decay_norm_and_bias || parameters[index].spec.role == Role::Weight;
            groups[usize::from(!decays)].push(SgdParameter { weight: *weight, gradient, velocity });
        }
        let watch = Watch { loss: taught.loss, number: batch.number, broken: tape.state(layout, self.broken) };
        let rate = batch.rate.expect("a training's clock has rates");
        for (group, weight_decay) in groups.iter().zip([config.optimizer.weight_decay, 0.0]) {
            if !group.is_empty() {
                let options = SgdOptions {
                    momentum: config.optimizer.momentum,
                    weight_decay,
                    nesterov: config.optimizer.nesterov,
                };
                tape.sgd(group, rate, watch, options)?;
            }
        }
        self.record_totals(tape, layout, &taught)
    }

    /// Sums the loss, its terms and what the method says of its mentors over the steps of an epoch.
    fn record_totals(&mut self, tape: &mut Tape, layout: &mut StateLayout, taught: &Taught) -> Result<()> {
        let loss = tape.state(layout, self.loss);
        tape.accumulate_into(taught.loss, loss)?;
        self.terms = taught.terms.clone();
        self.uses = taught.mentors.clone();
        let of_mentors = taught
            .mentors
            .iter()
            .flat_map(|one| [Some(one.weight), Some(one.active), one.rank, one.temperature].into_iter().flatten());
        let quantities: Vec<Quantity> = taught.terms.iter().map(|term| term.value).chain(of_mentors).collect();
        for quantity in quantities {
            let Quantity::Element(value, _) = quantity else { continue };
            if self.sums.iter().all(|(known, _)| *known != value) {
                let name = format!("{}/sum/{}", self.prefix, self.sums.len());
                let sum = layout.declare(name, DType::F64, [tape.shape(value).count()]);
                let sum_value = tape.state(layout, sum);
                tape.accumulate_into(value, sum_value)?;
                self.sums.push((value, sum));
            }
        }
        Ok(())
    }

    /// The mean of a quantity over the `steps` that were summed.
    pub fn mean(&self, state: &State, quantity: Quantity, steps: f64) -> f64 {
        match quantity {
            Quantity::Constant(value) => value,
            Quantity::Element(value, index) => {
                let sum = self.sums.iter().find(|(known, _)| *known == value).expect("every element is summed").1;
                state.get::<f64>(sum)[index] / steps
            }
        }
    }

    /// Starts the sums of a new epoch.
    pub fn reset(&self, state: &mut State) {
        let sums = self.sums.iter().map(|(_, sum)| *sum);
        sums.chain([self.loss, self.trained]).for_each(|id| state.clear(id));
    }
}
