//! A stage before it takes any memory: who learns is declared, and one training step and the evaluations are recorded,
//! differentiated and planned.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::clock::Clock;
use super::enrolment::{Enrolment, Faculty};
use super::evaluation::{Evaluation, Split, empty_tape};
use super::learner::{Class, Learner};
use super::material::{ImagesState, Material};
use crate::config::TrainConfig;
use crate::distill::{Equipment, LessonBatch, Pupil};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::{Mode, Model};
use crate::ops::batch::Augmentation;
use crate::tape::{Lanes, Plan, StateLayout, Tape, ValueId};
use crate::tensor::DType;

/// A stage that is recorded and planned, before it takes any memory.
#[derive(Debug)]
pub struct Design {
    pub(super) processor: Processor,
    pub(super) learners: Vec<Learner>,
    pub(super) mentors: Vec<Model>,
    pub(super) layout: StateLayout,
    pub(super) config: TrainConfig,
    pub(super) seeds: Vec<u64>,
    pub(super) train: Vec<(u32, Plan)>,
    pub(super) validation: Option<Evaluation>,
    pub(super) test: Evaluation,
    pub(super) clocks: Vec<Clock>,
    pub(super) images: [ImagesState; 2],
}

/// Bytes that a stage needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Parameters, velocities, running statistics, counters and labels.
    pub state: usize,
    /// Activations, gradients and workspace of the largest plan.
    pub arena: usize,
    /// Operations of one training step.
    pub operations: usize,
    /// How a GPU runs the models of a training step: side by side where there is memory for it. None on the CPU.
    pub lanes: Option<Lanes>,
}

impl MemoryPlan {
    /// All bytes.
    pub fn bytes(&self) -> usize {
        self.state + self.arena
    }
}

impl Design {
    /// Records, differentiates and plans a stage for `processor`. Each of `seeds` has every one of `enrolments` learn, from
    /// batches of its own. `faculty` are the frozen models.
    ///
    /// # Errors
    /// If the batch is larger than the training split, or an operation refuses.
    #[allow(clippy::too_many_arguments)] // All that a stage is.
    pub fn new(
        processor: &Processor,
        material: &Material,
        config: &TrainConfig,
        augmentation: Augmentation,
        seeds: &[u64],
        enrolments: Vec<Enrolment<'_>>,
        faculty: Faculty,
    ) -> Result<Self> {
        let float = DType::F32;
        let batch = config.batch_size;
        if batch > material.learn.len() {
            return Err(Error::request(format!(
                "batch_size is {batch}, but there are only {} images to learn from",
                material.learn.len()
            ))
            .help("choose a smaller batch_size, or hold out fewer images for validation"));
        }
        let mut layout = StateLayout::new();
        let train_images = material.train.declare(&mut layout, "train", material.shape);
        let test_images = material.test.declare(&mut layout, "test", material.shape);
        let steps = material.learn.len() / batch;
        let learned = Arc::new(material.learn.clone());
        let several = seeds.len() > 1;
        let clock = |seed: &u64| {
            let name = if several { format!("train/seed-{seed}") } else { "train".to_string() };
            Clock::training(&mut layout, &name, batch, steps, float)
        };
        let clocks: Vec<Clock> = seeds.iter().map(clock).collect();
        let test_clock = Clock::evaluation(&mut layout, "test", batch, material.test.labels.len());
        let held_out = Split { images: train_images, indices: material.validation.clone() };
        let validation_clock = match held_out.indices.len() {
            0 => None,
            images => Some(Clock::evaluation(&mut layout, "validation", batch, images)),
        };
        let Faculty { mentors, teachers, assistants } = faculty;
        let mentors: Vec<Model> = mentors
            .into_iter()
            .map(|(role, network)| Model::declare(&mut layout, &format!("mentor/{role}"), &role, network, float))
            .collect();
        let mut learners = Vec::new();
        for seed in seeds {
            for enrolment in &enrolments {
                let prefix = prefix(&enrolment.role, enrolment.method.as_deref(), several.then_some(*seed));
                let (role, network) = (&enrolment.role, enrolment.network.clone());
                let model = Model::declare(&mut layout, &prefix, role, network, float);
                let (method, taps) = (enrolment.method.clone(), enrolment.taps.clone());
                learners.push(Learner::declare(&mut layout, &prefix, model, method, taps, *seed, float));
            }
        }

        let asked: Vec<Vec<String>> = (0..mentors.len()).map(|mentor| asked_of(mentor, &enrolments)).collect();
        let mut train = Vec::new();
        for first_epoch in segments(&enrolments, config.epochs) {
            let mut tape = empty_tape(config.precision);
            let classes = seeds.iter().zip(&clocks).zip(learners.chunks_mut(enrolments.len().max(1)));
            for (index, ((seed, clock), learners)) in classes.enumerate() {
                let first_lane = index * (mentors.len() + enrolments.len());
                let lane = |model: usize| (first_lane + model) as u32;
                tape.set_lane(lane(0));
                let batch = clock.batch(&mut tape, &layout, train_images, material, augmentation, *seed)?;
                let frozen = record_mentors(&mut tape, &layout, &mentors, &asked, batch.images, lane(0))?;
                let images = LessonBatch {
                    images: batch.images,
                    source: batch.source,
                    normalisation: (material.normalisation.mean.clone(), material.normalisation.std.clone()),
                    augmentation,
                    seed: *seed,
                    all_labels: material.train.labels.clone(),
                    learned: learned.clone(),
                };
                for (index, (learner, enrolment)) in learners.iter_mut().zip(&enrolments).enumerate() {
                    tape.set_lane(lane(mentors.len() + index));
                    let phase = enrolment.phases.iter().filter(|start| **start <= first_epoch).count();
                    let (images, mentors) = (&images, frozen.as_slice());
                    let class = Class { batch, images, mentors, teachers, assistants, phase };
                    learner.record(&mut tape, &mut layout, &class, config, &enrolment.teach)?;
                }
            }
            train.push((first_epoch, Plan::on(processor, &tape, &layout)?));
        }
        let evaluation = |split: Split, clock: Clock| {
            let counted = learners.iter().map(|learner| (&learner.model, learner.evaluated));
            Evaluation::new(processor, config.precision, &layout, clock, material, split, counted)
        };
        let test = evaluation(Split::whole(test_images, &material.test), test_clock)?;
        let validation = validation_clock.map(|clock| evaluation(held_out, clock)).transpose()?;
        let images = [train_images, test_images];
        let config = config.clone();
        let processor = processor.clone();
        let seeds = seeds.to_vec();
        Ok(Self { processor, learners, mentors, layout, config, seeds, train, validation, test, clocks, images })
    }

    /// What the stage needs.
    pub fn memory(&self) -> MemoryPlan {
        let most = self.train.iter().map(|(_, plan)| plan.bytes()).max().unwrap_or(0);
        let first = self.plan();
        let lanes = self.processor.gpu().map(|_| first.lanes());
        MemoryPlan { state: self.layout.bytes(), arena: most.max(self.test.bytes()), operations: first.len(), lanes }
    }

    /// The label of each learner's method, and what that owns.
    pub fn equipments(&self) -> impl Iterator<Item = (Option<&str>, &Equipment)> {
        self.learners.iter().map(|learner| (learner.method.as_deref(), &learner.equipment))
    }

    /// The plan of a training step, of the first segment.
    pub fn plan(&self) -> &Plan {
        &self.train[0].1
    }
}

/// Where a learner's state stands; `seed` where several are trained side by side.
fn prefix(role: &str, method: Option<&str>, seed: Option<u64>) -> String {
    let seed = seed.map(|seed| format!("seed-{seed}/")).unwrap_or_default();
    match method {
        Some(method) => format!("{seed}{role}/{method}"),
        None => format!("{seed}{role}"),
    }
}

/// The features that anybody asks of a mentor.
fn asked_of(mentor: usize, enrolments: &[Enrolment<'_>]) -> Vec<String> {
    let asked = enrolments.iter().filter_map(|enrolment| enrolment.taps.mentors.get(mentor)).flatten().cloned();
    asked.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The epochs in which a phase of any method begins, and the first one.
fn segments(enrolments: &[Enrolment<'_>], epochs: u32) -> BTreeSet<u32> {
    let later = enrolments.iter().flat_map(|enrolment| enrolment.phases.iter().copied());
    std::iter::once(0).chain(later.filter(|epoch| *epoch < epochs)).collect()
}

/// Records the frozen mentors' forward passes on `images` with the features that are asked of each, in lanes from `first`.
fn record_mentors(
    tape: &mut Tape,
    layout: &StateLayout,
    mentors: &[Model],
    asked: &[Vec<String>],
    images: ValueId,
    first: u32,
) -> Result<Vec<Pupil>> {
    let mut pupils = Vec::new();
    for (lane, (mentor, asked)) in (first..).zip(mentors.iter().zip(asked)) {
        tape.set_lane(lane);
        let taps: Vec<&str> = asked.iter().map(String::as_str).collect();
        let forward = mentor.record(tape, layout, images, Mode::Eval, &taps)?;
        let features = asked.iter().cloned().zip(forward.taps).collect();
        let (role, model) = (mentor.role.clone(), Some(mentor.clone()));
        pupils.push(Pupil { role, logits: forward.logits, features, model });
    }
    Ok(pupils)
}
