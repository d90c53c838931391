//! One stage of a run: models that learn together, as lanes of one step, from the same batches; recorded and planned once.
//!
//! Pretraining is a stage whose learners are all mentors that need weights. Distillation is a stage whose learners are the
//! student once per method, so that all methods share one forward pass of the frozen mentors; for one seed, or for several
//! side by side, each with batches and learners of its own.
//!
//! A step is one replay of a plan. What changes from step to step lies in tables that the host writes once per epoch
//! ([`super::clock`]), and that all numbers are finite is watched by the optimizer: between two looks the host neither
//! sends nor asks anything.

use std::collections::BTreeSet;

use super::clock::Clock;
use super::evaluation::{Evaluation, Split, empty_tape};
use super::learner::{Class, Learner};
use super::material::{ImagesState, Material};
use super::schedule::Moment;
use crate::config::TrainConfig;
use crate::distill::{Equipment, Lesson, LessonBatch, Pupil, Taps, Taught};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::{Mode, Model};
use crate::ops::batch::Augmentation;
use crate::ops::evaluate::Counts;
use crate::random::{Philox, Stream};
use crate::tape::{Arena, Lanes, OpTime, Plan, State, StateLayout, Tape};
use crate::tensor::DType;

/// How a learner's loss is recorded.
pub type Teach<'a> = Box<dyn Fn(&mut Tape, &mut Lesson<'_>) -> Result<Taught> + 'a>;

/// A model that is to learn.
pub struct Enrolment<'a> {
    /// Its role and layers.
    pub role: String,
    /// Its layers.
    pub network: crate::nn::Network,
    /// The method's label; `None` for a mentor.
    pub method: Option<String>,
    /// The epochs in which its method's later phases begin.
    pub phases: Vec<u32>,
    /// The features that its method reads.
    pub taps: Taps,
    /// How its loss is recorded.
    pub teach: Teach<'a>,
}

/// The frozen models of a stage.
#[derive(Clone, Debug, Default)]
pub struct Faculty {
    /// Roles and layers: teachers, then assistants, then peers.
    pub mentors: Vec<(String, crate::nn::Network)>,
    /// How many of them are teachers.
    pub teachers: usize,
    /// How many, after the teachers, are assistants.
    pub assistants: usize,
}

/// A stage that is ready to be trained.
#[derive(Debug)]
pub struct Stage {
    /// What learns.
    pub learners: Vec<Learner>,
    /// The frozen mentors.
    pub mentors: Vec<Model>,
    /// Everything that outlives a step.
    pub state: State,
    processor: Processor,
    config: TrainConfig,
    seeds: Vec<u64>,
    learn: Vec<u32>,
    arena: Arena,
    /// The first epoch of each segment of the training, and its plan.
    train: Vec<(u32, Plan)>,
    validation: Option<Evaluation>,
    test: Evaluation,
    /// One per seed.
    clocks: Vec<Clock>,
    memory: MemoryPlan,
    /// Epoch and step that the clocks point to.
    next: Option<(u32, usize)>,
    /// Room to draw an epoch's order in: of every image its key and its place among those that are learned from.
    places: Vec<(u64, u32)>,
}

/// A stage that is recorded and planned, before it takes any memory.
#[derive(Debug)]
pub struct Design {
    processor: Processor,
    learners: Vec<Learner>,
    mentors: Vec<Model>,
    layout: StateLayout,
    config: TrainConfig,
    seeds: Vec<u64>,
    train: Vec<(u32, Plan)>,
    validation: Option<Evaluation>,
    test: Evaluation,
    clocks: Vec<Clock>,
    images: [ImagesState; 2],
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
                let mut frozen = Vec::new();
                for (index, (mentor, asked)) in mentors.iter().zip(&asked).enumerate() {
                    tape.set_lane(lane(index));
                    let taps: Vec<&str> = asked.iter().map(String::as_str).collect();
                    let forward = mentor.record(&mut tape, &layout, batch.images, Mode::Eval, &taps)?;
                    let features = asked.iter().cloned().zip(forward.taps).collect();
                    let (role, model) = (mentor.role.clone(), Some(mentor.clone()));
                    frozen.push(Pupil { role, logits: forward.logits, features, model });
                }
                let images = LessonBatch {
                    images: batch.images,
                    source: batch.source,
                    normalisation: (material.normalisation.mean.clone(), material.normalisation.std.clone()),
                    augmentation,
                    seed: *seed,
                    all_labels: material.train.labels.clone(),
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

    /// Allocates the stage. `material` is what it was designed for.
    ///
    /// # Errors
    /// If a GPU has not so much memory.
    pub fn allocate(self, material: &Material) -> Result<Stage> {
        let memory = self.memory();
        let mut state = self.layout.allocate_on(&self.processor)?;
        for (declared, images) in self.images.iter().zip([&material.train, &material.test]) {
            state.get_mut::<u32>(declared.labels).copy_from_slice(&images.labels);
        }
        self.test.prepare(&mut state);
        self.validation.iter().for_each(|evaluation| evaluation.prepare(&mut state));
        Ok(Stage {
            arena: Arena::on(&self.processor, memory.arena)?,
            processor: self.processor,
            learners: self.learners,
            mentors: self.mentors,
            state,
            config: self.config,
            seeds: self.seeds,
            learn: material.learn.clone(),
            train: self.train,
            validation: self.validation,
            test: self.test,
            clocks: self.clocks,
            memory,
            next: None,
            places: vec![(0, 0); material.learn.len()],
        })
    }
}

impl Stage {
    /// What the stage needs.
    pub fn memory(&self) -> MemoryPlan {
        self.memory
    }

    /// The plan of a training step, of the first segment.
    pub fn plan(&self) -> &Plan {
        &self.train[0].1
    }

    /// Steps of an epoch; the last partial batch is left out.
    pub fn steps_per_epoch(&self) -> usize {
        self.learn.len() / self.config.batch_size
    }

    /// How the stage is trained.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The seeds that are trained side by side, each with an order of images and learners of its own.
    pub fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// Whether steps go on while the host does something else, until it looks.
    pub fn runs_ahead(&self) -> bool {
        self.processor.gpu().is_some()
    }

    /// The segment of the training that an epoch belongs to: methods record other steps in other phases.
    pub fn segment(&self, epoch: u32) -> usize {
        self.train.iter().rposition(|(first, _)| *first <= epoch).expect("the first segment begins with epoch 0")
    }

    /// Sets what follows from the mentors' parameters; they have their weights.
    pub fn derive_from_mentors(&mut self) {
        let Self { learners, state, .. } = self;
        learners.iter().for_each(|learner| learner.equipment.derive(state));
    }

    /// The learning rate of a step.
    pub fn rate(&self, epoch: u32, step: usize) -> f64 {
        let steps_per_epoch = self.steps_per_epoch();
        let moment = Moment { epoch, step, steps_per_epoch, epochs: self.config.epochs };
        self.config.schedule.rate(self.config.optimizer.lr, moment)
    }

    /// Replays one training step. Whether all numbers are still finite is seen by [`Stage::look`].
    ///
    /// # Errors
    /// If a GPU fails.
    pub fn step(&mut self, epoch: u32, step: usize) -> Result<()> {
        self.set_clock(epoch, step);
        self.next = Some((epoch, step + 1));
        let segment = self.segment(epoch);
        self.train[segment].1.run(&mut self.arena, &mut self.state)
    }

    /// Waits for all steps so far. A loss or weight that has not been finite is an error that names model, epoch and step.
    ///
    /// # Errors
    /// As said.
    pub fn look(&mut self) -> Result<()> {
        self.learners.iter().try_for_each(|learner| self.state.fetch(&[learner.broken]))?;
        let broken = |learner: &Learner| self.state.get::<u32>(learner.broken)[0];
        let Some(learner) = self.learners.iter().filter(|one| broken(one) > 0).min_by_key(|one| broken(one)) else {
            return Ok(());
        };
        let (number, steps) = (broken(learner) as usize - 1, self.steps_per_epoch());
        let by = learner.method.as_ref().map(|method| format!(" by {method}")).unwrap_or_default();
        let seed = if self.seeds.len() > 1 { format!(" with seed {}", learner.seed) } else { String::new() };
        Err(Error::failed(format!(
            "{} ({}){by}{seed}: the loss or a weight is no longer a finite number, in epoch {}, step {}",
            learner.model.role,
            learner.model.network.name,
            number / steps + 1,
            number % steps + 1
        ))
        .help("a smaller learning rate, or a warm-up, usually helps; the last checkpoint is intact"))
    }

    /// As [`Stage::step`], with the time of every operation.
    ///
    /// # Errors
    /// If a GPU fails.
    pub fn profile(&mut self, epoch: u32, step: usize) -> Result<Vec<OpTime>> {
        self.set_clock(epoch, step);
        self.next = Some((epoch, step + 1));
        let segment = self.segment(epoch);
        self.train[segment].1.profile(&mut self.arena, &mut self.state)
    }

    /// Lets the clocks point to a step, where the one before has not left them there.
    fn set_clock(&mut self, epoch: u32, step: usize) {
        let steps = self.steps_per_epoch();
        assert!(step < steps, "step {step} of an epoch of {steps}");
        if self.next.is_none_or(|(known, _)| known != epoch) {
            self.write_tables(epoch);
        }
        if self.next != Some((epoch, step)) {
            let Self { clocks, state, .. } = self;
            clocks.iter().for_each(|clock| clock.point(state, step, epoch as usize * steps + step));
        }
    }

    /// Writes an epoch's order of images, of every seed, and its learning rates.
    fn write_tables(&mut self, epoch: u32) {
        let Self { learners, state, .. } = self;
        learners.iter().for_each(|learner| learner.equipment.enter(state, f64::from(epoch)));
        for index in 0..self.clocks.len() {
            let clock = self.clocks[index];
            Philox::new(self.seeds[index], Stream::Shuffle).permute(u64::from(epoch), &mut self.places);
            let order = self.state.get_mut::<u32>(clock.order);
            // The last partial batch is left out.
            order.iter_mut().zip(&self.places).for_each(|(image, (_, place))| *image = self.learn[*place as usize]);
            let rates = clock.rates.expect("a training's clock has rates");
            for step in 0..self.steps_per_epoch() {
                self.state.set_f64_at(rates, step, self.rate(epoch, step));
            }
        }
    }

    /// Counts every learner's hits on the validation split; `None` without one.
    ///
    /// # Errors
    /// If a GPU fails.
    pub fn validate(&mut self) -> Result<Option<Vec<Counts>>> {
        let Self { validation, arena, state, .. } = self;
        validation.as_ref().map(|evaluation| evaluation.run(arena, state)).transpose()
    }

    /// Counts every learner's hits on the test split.
    ///
    /// # Errors
    /// If a GPU fails.
    pub fn test(&mut self) -> Result<Vec<Counts>> {
        self.test.run(&mut self.arena, &mut self.state)
    }

    /// Batches that one pass over the validation and one over the test split take.
    pub fn evaluation_batches(&self) -> usize {
        self.test.batches() + self.validation.as_ref().map_or(0, Evaluation::batches)
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
