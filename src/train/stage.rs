//! One stage of a run: models that learn together, as lanes of one step, from the same batches; recorded and planned once.
//!
//! Pretraining is a stage whose learners are all mentors that need weights. Distillation is a stage per seed whose
//! learners are the student once per method, so that all methods share one forward pass of the frozen mentors.

use super::evaluation::{Clock, Evaluation, Split, empty_tape};
use super::learner::{Learner, Shared};
use super::material::{ImagesState, Material};
use super::schedule::Moment;
use crate::config::TrainConfig;
use crate::distill::{Lesson, Mentor, Taught};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::{Mode, Model};
use crate::ops::batch::Augmentation;
use crate::ops::evaluate::Counts;
use crate::random::{Philox, Stream};
use crate::tape::{Arena, Lanes, OpTime, Plan, State, StateLayout, Tape};
use crate::tensor::DType;

/// How a learner's loss is recorded.
pub type Teach<'a> = Box<dyn Fn(&mut Tape, &Lesson) -> Result<Taught> + 'a>;

/// A model that is to learn.
pub struct Enrolment<'a> {
    /// Its role and layers.
    pub role: String,
    /// Its layers.
    pub network: crate::nn::Network,
    /// The method's label; `None` for a mentor.
    pub method: Option<String>,
    /// How its loss is recorded.
    pub teach: Teach<'a>,
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
    config: TrainConfig,
    seed: u64,
    learn: Vec<u32>,
    arena: Arena,
    train: Plan,
    validation: Option<Evaluation>,
    test: Evaluation,
    clock: Clock,
    memory: MemoryPlan,
    order: Order,
}

/// The order of the images in an epoch.
#[derive(Debug)]
struct Order {
    epoch: Option<u32>,
    /// Of every image its key and its place among those that are learned from.
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
    seed: u64,
    train: Plan,
    validation: Option<Evaluation>,
    test: Evaluation,
    clock: Clock,
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
    /// Records, differentiates and plans a stage for `processor`. `mentors` are the frozen models with their roles, the
    /// first `teachers` of them teachers.
    ///
    /// # Errors
    /// If the batch is larger than the training split, or an operation refuses.
    #[allow(clippy::too_many_arguments)] // All that a stage is.
    pub fn new(
        processor: &Processor,
        material: &Material,
        config: &TrainConfig,
        augmentation: Augmentation,
        seed: u64,
        enrolments: Vec<Enrolment<'_>>,
        mentors: Vec<(String, crate::nn::Network)>,
        teachers: usize,
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
        let clock = Clock::declare(&mut layout, batch, float);
        let mentors: Vec<Model> = mentors
            .into_iter()
            .map(|(role, network)| Model::declare(&mut layout, &format!("mentor/{role}"), &role, network, float))
            .collect();
        let mut teaching = Vec::new();
        let mut learners = Vec::new();
        for enrolment in enrolments {
            let prefix = prefix(&enrolment.role, enrolment.method.as_deref());
            let model = Model::declare(&mut layout, &prefix, &enrolment.role, enrolment.network, float);
            learners.push(Learner::declare(&mut layout, &prefix, model, enrolment.method, float));
            teaching.push(enrolment.teach);
        }

        let mut tape = empty_tape(config.precision);
        let (images, labels) = clock.batch(&mut tape, &layout, train_images, material, augmentation, seed)?;
        let (valid, rate) = (tape.state(&layout, clock.valid), tape.state(&layout, clock.rate));
        let shared = Shared { images, labels, valid, rate };
        let mut frozen = Vec::new();
        for (lane, mentor) in mentors.iter().enumerate() {
            tape.set_lane(lane as u32);
            let logits = mentor.record(&mut tape, &layout, shared.images, Mode::Eval, &[])?.logits;
            frozen.push(Mentor { role: mentor.role.clone(), logits });
        }
        for (lane, (learner, teach)) in learners.iter_mut().zip(&teaching).enumerate() {
            tape.set_lane((mentors.len() + lane) as u32);
            let lesson = |student| Lesson {
                student,
                labels: shared.labels,
                mentors: frozen.clone(),
                teachers,
                label_smoothing: config.label_smoothing,
            };
            learner.record(&mut tape, &mut layout, shared, config, teach, lesson)?;
        }
        let train = Plan::on(processor, &tape, &layout)?;
        let evaluation = |split: Split| {
            let counted = learners.iter().map(|learner| (&learner.model, learner.evaluated));
            Evaluation::new(processor, config.precision, &layout, &clock, material, split, counted)
        };
        let test = evaluation(Split::whole(test_images, &material.test))?;
        let held_out = Split { images: train_images, indices: material.validation.clone() };
        let validation = if held_out.indices.is_empty() { None } else { Some(evaluation(held_out)?) };
        let images = [train_images, test_images];
        let config = config.clone();
        let processor = processor.clone();
        Ok(Self { processor, learners, mentors, layout, config, seed, train, validation, test, clock, images })
    }

    /// What the stage needs.
    pub fn memory(&self) -> MemoryPlan {
        let arena = self.train.bytes().max(self.test.bytes());
        let lanes = self.processor.gpu().map(|_| self.train.lanes());
        MemoryPlan { state: self.layout.bytes(), arena, operations: self.train.len(), lanes }
    }

    /// The plan of a training step.
    pub fn plan(&self) -> &Plan {
        &self.train
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
        Ok(Stage {
            learners: self.learners,
            mentors: self.mentors,
            state,
            config: self.config,
            seed: self.seed,
            learn: material.learn.clone(),
            arena: Arena::on(&self.processor, memory.arena)?,
            train: self.train,
            validation: self.validation,
            test: self.test,
            clock: self.clock,
            memory,
            order: Order { epoch: None, places: vec![(0, 0); material.learn.len()] },
        })
    }
}

impl Stage {
    /// What the stage needs.
    pub fn memory(&self) -> MemoryPlan {
        self.memory
    }

    /// The plan of a training step.
    pub fn plan(&self) -> &Plan {
        &self.train
    }

    /// Steps of an epoch; the last partial batch is left out.
    pub fn steps_per_epoch(&self) -> usize {
        self.learn.len() / self.config.batch_size
    }

    /// How the stage is trained.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The seed of the order of images and of the learners' weights.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The learning rate of a step.
    pub fn rate(&self, epoch: u32, step: usize) -> f64 {
        let steps_per_epoch = self.steps_per_epoch();
        let moment = Moment { epoch, step, steps_per_epoch, epochs: self.config.epochs };
        self.config.schedule.rate(self.config.optimizer.lr, moment)
    }

    /// Replays one training step. A loss or weight that is not finite is an error that names model, epoch and step.
    ///
    /// # Errors
    /// As said.
    pub fn step(&mut self, epoch: u32, step: usize) -> Result<()> {
        self.set_clock(epoch, step);
        self.train.run(&mut self.arena, &mut self.state)?;
        self.learners.iter().try_for_each(|learner| self.state.fetch(&[learner.loss, learner.broken]))?;
        let broken = self.learners.iter().find(|learner| {
            let loss = self.state.get::<f64>(learner.loss)[0];
            self.state.get::<u32>(learner.broken)[0] != 0 || !loss.is_finite()
        });
        match broken {
            None => Ok(()),
            Some(learner) => {
                let by = learner.method.as_ref().map(|method| format!(" by {method}")).unwrap_or_default();
                Err(Error::failed(format!(
                    "{} ({}){by}: the loss or a weight is no longer a finite number, in epoch {}, step {}",
                    learner.model.role,
                    learner.model.network.name,
                    epoch + 1,
                    step + 1
                ))
                .help("a smaller learning rate, or a warm-up, usually helps; the last checkpoint is intact"))
            }
        }
    }

    /// As [`Stage::step`], with the time of every operation.
    ///
    /// # Errors
    /// If a GPU fails.
    pub fn profile(&mut self, epoch: u32, step: usize) -> Result<Vec<OpTime>> {
        self.set_clock(epoch, step);
        self.train.profile(&mut self.arena, &mut self.state)
    }

    fn set_clock(&mut self, epoch: u32, step: usize) {
        if self.order.epoch != Some(epoch) {
            Philox::new(self.seed, Stream::Shuffle).permute(u64::from(epoch), &mut self.order.places);
            self.order.epoch = Some(epoch);
        }
        let batch = self.config.batch_size;
        let rate = self.rate(epoch, step);
        let number = epoch as usize * self.steps_per_epoch() + step;
        let indices = self.state.get_mut::<u32>(self.clock.indices);
        for (index, (_, place)) in indices.iter_mut().zip(&self.order.places[step * batch..(step + 1) * batch]) {
            *index = self.learn[*place as usize];
        }
        self.state.get_mut::<u32>(self.clock.step)[0] = number as u32;
        self.state.get_mut::<u32>(self.clock.valid)[0] = batch as u32;
        self.state.set_f64(self.clock.rate, &[rate]);
    }

    /// Counts every learner's hits on the validation split; `None` without one.
    ///
    /// # Errors
    /// If a GPU fails.
    pub fn validate(&mut self) -> Result<Option<Vec<Counts>>> {
        let Self { validation, clock, arena, state, .. } = self;
        validation.as_ref().map(|evaluation| evaluation.run(clock, arena, state)).transpose()
    }

    /// Counts every learner's hits on the test split.
    ///
    /// # Errors
    /// If a GPU fails.
    pub fn test(&mut self) -> Result<Vec<Counts>> {
        self.test.run(&self.clock, &mut self.arena, &mut self.state)
    }

    /// Batches that one pass over the validation and one over the test split take.
    pub fn evaluation_batches(&self) -> usize {
        let batch = self.config.batch_size;
        self.test.batches(batch) + self.validation.as_ref().map_or(0, |evaluation| evaluation.batches(batch))
    }
}

/// Where a learner's state stands.
fn prefix(role: &str, method: Option<&str>) -> String {
    match method {
        Some(method) => format!("{role}/{method}"),
        None => role.to_string(),
    }
}
