//! One lane of a step: a model, how it learns, and the counters that say how well.

use std::collections::BTreeMap;

use super::clock::Batch;
use crate::config::TrainConfig;
use crate::distill::{
    Equipment, Learning, Lesson, LessonBatch, MentorUse, Pupil, Quantity, Rule, Taps, Taught, Term, Update,
};
use crate::error::{Error, Result};
use crate::nn::{Mode, Model, Role};
use crate::ops::adam::{AdamOptions, AdamParameter};
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
    /// What its method owns.
    pub equipment: Equipment,
    /// Under which its state stands.
    prefix: String,
    /// The features that its method reads.
    taps: Taps,
    /// What was recorded for each segment of the stage.
    segments: Vec<Segment>,
    /// Of each parameter that is learned its velocity, or its moments.
    moments: BTreeMap<StateId, Vec<StateId>>,
    /// Of each group that Adam updates how many updates there were, by its first parameter.
    adam_steps: BTreeMap<StateId, StateId>,
    /// The first step of the stage, counted from 1, in which the loss or a weight was not finite; 0: none yet.
    pub broken: StateId,
    /// Sum of the loss over the epoch's steps.
    pub loss: StateId,
    /// Hits on the training images of the epoch.
    pub trained: StateId,
    /// Hits on the split that is being evaluated.
    pub evaluated: StateId,
    /// `[best validation accuracy, its epoch, test accuracy then]`; epoch 0: none yet.
    pub best: StateId,
}

/// What a learner's method left on the tape of one segment.
#[derive(Debug)]
struct Segment {
    terms: Vec<Term>,
    uses: Vec<MentorUse>,
    /// Sums over the epoch's steps of the values that the method's quantities are elements of.
    sums: Vec<(ValueId, StateId)>,
}

/// What a learner is taught with in one segment of a stage.
pub struct Class<'a> {
    /// The batch.
    pub batch: Batch,
    /// The images behind it.
    pub images: &'a LessonBatch,
    /// The frozen mentors, with all features that anybody asked for.
    pub mentors: &'a [Pupil],
    /// How many of them are teachers.
    pub teachers: usize,
    /// How many, after the teachers, are assistants.
    pub assistants: usize,
    /// The phase of the learner's method.
    pub phase: usize,
}

impl Learner {
    /// Declares the learner's state, all under `prefix`. `taps` are the features that its method reads.
    pub fn declare(
        layout: &mut StateLayout,
        prefix: &str,
        model: Model,
        method: Option<String>,
        taps: Taps,
        seed: u64,
        float: DType,
    ) -> Self {
        let classes = model.network.classes;
        Self {
            method,
            seed,
            equipment: Equipment::new(format!("{prefix}/method"), float),
            prefix: prefix.to_string(),
            taps,
            segments: Vec::new(),
            moments: BTreeMap::new(),
            adam_steps: BTreeMap::new(),
            broken: layout.declare(format!("{prefix}/broken"), DType::U32, [1]),
            loss: layout.declare(format!("{prefix}/loss"), DType::F64, [1]),
            trained: Counts::declare(layout, &format!("{prefix}/trained"), classes),
            evaluated: Counts::declare(layout, &format!("{prefix}/evaluated"), classes),
            best: layout.declare(format!("{prefix}/best"), DType::F64, [3]),
            model,
        }
    }

    /// Records forward, loss, backward, update and counters of this learner, in its own lane, for the stage's next segment.
    ///
    /// # Errors
    /// If the method or an operation refuses.
    pub fn record(
        &mut self,
        tape: &mut Tape,
        layout: &mut StateLayout,
        class: &Class<'_>,
        config: &TrainConfig,
        teach: impl Fn(&mut Tape, &mut Lesson<'_>) -> Result<Taught>,
    ) -> Result<()> {
        let batch = class.batch;
        tape.set_randomness(self.seed, batch.number);
        let taps: Vec<&str> = self.taps.student.iter().map(String::as_str).collect();
        let forward = self.model.record(tape, layout, batch.images, Mode::Train, &taps)?;
        let student = Pupil {
            role: self.model.role.clone(),
            logits: forward.logits,
            features: self.taps.student.iter().cloned().zip(forward.taps).collect(),
            model: Some(self.model.clone()),
        };
        let taught = {
            let mut lesson = Lesson {
                student,
                labels: batch.labels,
                mentors: class.mentors.to_vec(),
                teachers: class.teachers,
                assistants: class.assistants,
                label_smoothing: config.label_smoothing,
                phase: class.phase,
                batch: Some(class.images.clone()),
                layout: &mut *layout,
                equipment: &mut self.equipment,
            };
            teach(tape, &mut lesson)?
        };
        let trained = tape.state(layout, self.trained);
        tape.evaluate(forward.logits, batch.labels, batch.valid, trained)?;
        self.record_updates(tape, layout, batch, config, &taught)?;
        self.record_totals(tape, layout, &taught)
    }

    /// The backward pass, and the update of everything that learns.
    fn record_updates(
        &mut self,
        tape: &mut Tape,
        layout: &mut StateLayout,
        batch: Batch,
        config: &TrainConfig,
        taught: &Taught,
    ) -> Result<()> {
        let (with_student, required) = self.with_student();
        let with_loss = |update: &&Update| update.loss == taught.loss && update.gradients.is_none();
        // What minimises the student's loss by another rule shares its backward pass.
        let joined = taught.updates.iter().filter(with_loss).flat_map(|update| update.parameters.iter().copied());
        let wanted: Vec<StateId> = with_student.iter().map(|(id, ..)| *id).chain(joined).collect();
        let gradients = differentiate(tape, layout, taught.loss, &wanted)?;
        // All gradients before the first update: their nodes read parameters.
        let mut place = with_student.len();
        let mut of_updates = Vec::new();
        for update in &taught.updates {
            of_updates.push(match &update.gradients {
                Some(gradients) => gradients.iter().copied().map(Some).collect(),
                None if update.loss == taught.loss => {
                    place += update.parameters.len();
                    gradients[place - update.parameters.len()..place].to_vec()
                }
                None => differentiate(tape, layout, update.loss, &update.parameters)?,
            });
        }

        let watch = Watch { loss: taught.loss, number: batch.number, broken: tape.state(layout, self.broken) };
        let rate = batch.rate.expect("a training's clock has rates");
        let mut groups: [Vec<SgdParameter>; 2] = Default::default();
        for (index, (id, name, role)) in with_student.iter().enumerate() {
            let Some(gradient) = gradients[index] else {
                match index < required {
                    true => {
                        return Err(Error::failed(format!("no gradient reaches {name} of {}", self.model.role)));
                    }
                    false => continue, // Nothing of this phase reads it.
                }
            };
            let velocity = self.moment(tape, layout, *id, name, 0);
            let decays = config.optimizer.decay_norm_and_bias || *role == Role::Weight;
            groups[usize::from(!decays)].push(SgdParameter { weight: tape.state(layout, *id), gradient, velocity });
        }
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
        for (update, gradients) in taught.updates.iter().zip(&of_updates) {
            self.record_update(tape, layout, update, gradients, watch)?;
        }
        taught.writes.iter().try_for_each(|write| tape.scatter_rows(write.indices, write.rows, write.table))
    }

    /// The update of what a method trains otherwise than with the student.
    fn record_update(
        &mut self,
        tape: &mut Tape,
        layout: &mut StateLayout,
        update: &Update,
        gradients: &[Option<ValueId>],
        watch: Watch,
    ) -> Result<()> {
        let watch = Watch { loss: update.loss, ..watch };
        let named = |layout: &StateLayout, id: StateId| {
            let name = layout.entry(id).name.clone();
            name.strip_prefix(&format!("{}/", self.prefix)).map(str::to_string).unwrap_or(name)
        };
        let mut parameters = Vec::new();
        for (id, gradient) in update.parameters.iter().zip(gradients) {
            let name = named(layout, *id);
            let gradient =
                gradient.ok_or_else(|| Error::failed(format!("no gradient reaches {name} of the method")))?;
            parameters.push((*id, name, gradient));
        }
        match update.optimizer {
            Rule::Sgd(options) => {
                let mut group = Vec::new();
                for (id, name, gradient) in parameters {
                    let velocity = self.moment(tape, layout, id, &name, 0);
                    group.push(SgdParameter { weight: tape.state(layout, id), gradient, velocity });
                }
                tape.sgd(&group, update.rate, watch, options)
            }
            Rule::Adam { beta1, beta2, weight_decay } => {
                let Some(first) = update.parameters.first() else { return Ok(()) };
                let prefix = &self.prefix;
                let name = format!("{prefix}/adam_steps/{}", parameters[0].1);
                let steps = *self.adam_steps.entry(*first).or_insert_with(|| layout.declare(name, DType::U32, [1]));
                let mut group = Vec::new();
                for (id, name, gradient) in parameters {
                    let [first, second] = [0, 1].map(|which| self.moment(tape, layout, id, &name, which));
                    group.push(AdamParameter { weight: tape.state(layout, id), gradient, first, second });
                }
                let steps = tape.state(layout, steps);
                let options = AdamOptions { betas: [beta1, beta2], weight_decay, ..AdamOptions::default() };
                tape.adam(&group, update.rate, steps, watch, options)
            }
        }
    }

    /// What learns with the student: the student's own parameters, of which a gradient has to reach each, as many as the
    /// number says; and those of its method. Where each is, its name, and what it is to its layer.
    fn with_student(&self) -> (Vec<(StateId, String, Role)>, usize) {
        let trainable = |model: &Model, prefix: &str| -> Vec<(StateId, String, Role)> {
            let learned = model.parameters.iter().filter(|parameter| parameter.spec.trainable);
            learned.map(|one| (one.value, format!("{prefix}{}", one.spec.name), one.spec.role)).collect()
        };
        let mut all = trainable(&self.model, "");
        all.retain(|(id, ..)| self.equipment.copies.iter().all(|(copy, _)| copy != id));
        let required = all.len();
        for (model, learning) in &self.equipment.models {
            if *learning == Learning::WithStudent {
                all.extend(trainable(model, &format!("method/{}/", model.role)));
            }
        }
        let pieces = self.equipment.pieces.iter().filter(|piece| piece.learning == Learning::WithStudent);
        all.extend(pieces.map(|piece| (piece.value, format!("method/{}", piece.name), Role::Weight)));
        (all, required)
    }

    /// The `which`-th moment of a parameter: its velocity, with SGD.
    fn moment(
        &mut self,
        tape: &mut Tape,
        layout: &mut StateLayout,
        parameter: StateId,
        name: &str,
        which: usize,
    ) -> ValueId {
        let moments = self.moments.entry(parameter).or_default();
        while moments.len() <= which {
            let what = ["velocity", "second_moment"][moments.len()];
            let entry = layout.entry(parameter).clone();
            moments.push(layout.declare(format!("{}/{what}/{name}", self.prefix), entry.dtype, entry.shape));
        }
        tape.state(layout, moments[which])
    }

    /// Sums the loss, its terms and what the method says of its mentors over the steps of an epoch.
    fn record_totals(&mut self, tape: &mut Tape, layout: &mut StateLayout, taught: &Taught) -> Result<()> {
        let loss = tape.state(layout, self.loss);
        tape.accumulate_into(taught.loss, loss)?;
        let (terms, uses) = (taught.terms.clone(), taught.mentors.clone());
        let of_mentors = uses
            .iter()
            .flat_map(|one| [Some(one.weight), Some(one.active), one.rank, one.temperature].into_iter().flatten());
        let quantities: Vec<Quantity> = terms.iter().map(|term| term.value).chain(of_mentors).collect();
        let mut sums: Vec<(ValueId, StateId)> = Vec::new();
        for quantity in quantities {
            let Quantity::Element(value, _) = quantity else { continue };
            if sums.iter().all(|(known, _)| *known != value) {
                let name = format!("{}/sum/{}/{}", self.prefix, self.segments.len(), sums.len());
                let sum = layout.declare(name, DType::F64, [tape.shape(value).count()]);
                let sum_value = tape.state(layout, sum);
                tape.accumulate_into(value, sum_value)?;
                sums.push((value, sum));
            }
        }
        self.segments.push(Segment { terms, uses, sums });
        Ok(())
    }

    /// The terms of the loss in a segment of the stage.
    pub fn terms(&self, segment: usize) -> &[Term] {
        &self.segments[segment].terms
    }

    /// How the method uses its mentors in a segment of the stage.
    pub fn uses(&self, segment: usize) -> &[MentorUse] {
        &self.segments[segment].uses
    }

    /// The mean of a segment's quantity over the `steps` that were summed.
    pub fn mean(&self, state: &State, segment: usize, quantity: Quantity, steps: f64) -> f64 {
        match quantity {
            Quantity::Constant(value) => value,
            Quantity::Element(value, index) => {
                let sums = &self.segments[segment].sums;
                let sum = sums.iter().find(|(known, _)| *known == value).expect("every element is summed").1;
                state.get::<f64>(sum)[index] / steps
            }
        }
    }

    /// Starts the sums of a new epoch.
    pub fn reset(&self, state: &mut State) {
        let sums = self.segments.iter().flat_map(|segment| &segment.sums).map(|(_, sum)| *sum);
        sums.chain([self.loss, self.trained]).for_each(|id| state.clear(id));
    }
}

/// The gradients of `loss` with respect to pieces of state.
fn differentiate(
    tape: &mut Tape,
    layout: &StateLayout,
    loss: ValueId,
    wanted: &[StateId],
) -> Result<Vec<Option<ValueId>>> {
    let one = tape.fill([], 1.0);
    let values: Vec<ValueId> = wanted.iter().map(|id| tape.state(layout, *id)).collect();
    tape.backward(&[(loss, one)], &values)
}
