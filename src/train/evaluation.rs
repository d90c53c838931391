//! Running models over a split and counting their hits.

use std::collections::BTreeMap;

use super::clock::Clock;
use super::material::{Images, ImagesState, Material};
use crate::config::Precision;
use crate::error::Result;
use crate::gpu::Processor;
use crate::nn::{Mode, Model, Network};
use crate::ops::batch::Augmentation;
use crate::ops::evaluate::Counts;
use crate::tape::{Arena, Plan, State, StateId, StateLayout, Tape};
use crate::tensor::DType;

/// Some of the images that lie in a piece of state.
#[derive(Clone, Debug)]
pub struct Split {
    /// Where they lie.
    pub images: ImagesState,
    /// Which of them.
    pub indices: Vec<u32>,
}

impl Split {
    /// All of `images`, which were declared as `declared`.
    pub fn whole(declared: ImagesState, images: &Images) -> Self {
        Self { images: declared, indices: (0..images.labels.len() as u32).collect() }
    }
}

/// A tape that computes in `precision`; parameters, statistics and losses are f32 in each.
pub(super) fn empty_tape(precision: Precision) -> Tape {
    let storage = if precision == Precision::Bf16 { DType::BF16 } else { DType::F32 };
    let mut tape = Tape::with_storage(DType::F32, storage);
    tape.set_tf32(precision == Precision::Tf32);
    tape
}

/// A planned evaluation of some models on one split.
#[derive(Debug)]
pub struct Evaluation {
    plan: Plan,
    clock: Clock,
    /// Indices of the split's images.
    images: Vec<u32>,
    counters: Vec<StateId>,
}

impl Evaluation {
    /// Records and plans the evaluation of `models`, each with its counters ([`Counts::declare`]). `clock` has room for the
    /// split.
    ///
    /// # Errors
    /// If an operation refuses.
    pub fn new<'a>(
        processor: &Processor,
        precision: Precision,
        layout: &StateLayout,
        clock: Clock,
        material: &Material,
        split: Split,
        models: impl Iterator<Item = (&'a Model, StateId)>,
    ) -> Result<Self> {
        let mut tape = empty_tape(precision);
        let batch = clock.batch(&mut tape, layout, split.images, material, Augmentation::default(), 0)?;
        let mut counters = Vec::new();
        for (lane, (model, counter)) in models.enumerate() {
            tape.set_lane(lane as u32);
            let logits = model.record(&mut tape, layout, batch.images, Mode::Eval, &[])?.logits;
            let value = tape.state(layout, counter);
            tape.evaluate(logits, batch.labels, batch.valid, value)?;
            counters.push(counter);
        }
        Ok(Self { plan: Plan::on(processor, &tape, layout)?, clock, images: split.indices, counters })
    }

    /// Bytes of arena that a batch needs.
    pub fn bytes(&self) -> usize {
        self.plan.bytes()
    }

    /// Batches of the whole split.
    pub fn batches(&self) -> usize {
        self.images.len().div_ceil(self.clock.batch_size())
    }

    /// Writes the split's images into the clock, once for all evaluations.
    pub fn prepare(&self, state: &mut State) {
        state.get_mut::<u32>(self.clock.order).copy_from_slice(&self.images);
    }

    /// Runs through the split. The last batch is padded with its first image, and the padding is not counted.
    ///
    /// # Errors
    /// If a GPU fails.
    pub fn run(&self, arena: &mut Arena, state: &mut State) -> Result<Vec<Counts>> {
        self.counters.iter().for_each(|counter| state.clear(*counter));
        self.clock.point(state, 0, 0);
        for _ in 0..self.batches() {
            self.plan.run(arena, state)?;
        }
        state.fetch(&self.counters)?;
        Ok(self.counters.iter().map(|counter| Counts::from_state(state.get::<f64>(*counter))).collect())
    }
}

/// The name, the layers and the weights of a model that is there already.
pub type Ready = (String, Network, BTreeMap<String, Vec<f32>>);

/// Counts the hits of trained models on the test split, on `processor`.
///
/// # Errors
/// If weights do not fit their network, or a GPU fails.
pub fn evaluate(processor: &Processor, material: &Material, models: Vec<Ready>, batch: usize) -> Result<Vec<Counts>> {
    if models.is_empty() {
        return Ok(Vec::new());
    }
    let batch = batch.min(material.test.labels.len());
    let mut layout = StateLayout::new();
    let images: &Images = &material.test;
    let declared = images.declare(&mut layout, "test", material.shape);
    let clock = Clock::evaluation(&mut layout, "test", batch, images.labels.len());
    let mut ready = Vec::new();
    for (index, (role, network, tensors)) in models.into_iter().enumerate() {
        let counters = Counts::declare(&mut layout, &format!("counts/{index}"), network.classes);
        ready.push((Model::declare(&mut layout, &format!("{index}"), &role, network, DType::F32), counters, tensors));
    }
    let split = Split::whole(declared, images);
    let models = ready.iter().map(|(model, counters, _)| (model, *counters));
    let evaluation = Evaluation::new(processor, Precision::F32, &layout, clock, material, split, models)?;
    let mut arena = Arena::on(processor, evaluation.bytes())?;
    let mut state = layout.allocate_on(processor)?;
    state.get_mut::<u32>(declared.labels).copy_from_slice(&images.labels);
    for (model, _, tensors) in &mut ready {
        model.set(&mut state, &std::mem::take(tensors))?;
    }
    evaluation.prepare(&mut state);
    evaluation.run(&mut arena, &mut state)
}
