//! One stage of a run: models that learn together, as lanes of one step, from the same batches; recorded and planned once.
//!
//! Pretraining is a stage whose learners are all mentors that need weights. Distillation is a stage per seed whose
//! learners are the student once per method, so that all methods share one forward pass of the frozen mentors.

use super::learner::{Learner, Shared};
use super::material::{ImagesState, Material};
use super::schedule::Moment;
use crate::config::TrainConfig;
use crate::distill::{Lesson, Mentor, Taught};
use crate::error::{Error, Result};
use crate::nn::{Mode, Model};
use crate::ops::batch::{Augmentation, BatchSource};
use crate::ops::evaluate::Counts;
use crate::random::{Philox, Stream};
use crate::tape::{Memory, OpTime, Plan, State, StateId, StateLayout, Tape};
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
    arena: Memory,
    train: Plan,
    validation: Option<Evaluation>,
    test: Evaluation,
    clock: Clock,
    memory: MemoryPlan,
    order: (Option<u32>, Vec<u32>),
}

/// State that says which step it is.
#[derive(Clone, Copy, Debug)]
struct Clock {
    indices: StateId,
    step: StateId,
    valid: StateId,
    rate: StateId,
}

/// A planned evaluation of all learners on one split.
#[derive(Debug, Default)]
struct Evaluation {
    plan: Plan,
    /// Indices of the split's images.
    images: Vec<u32>,
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
}

impl MemoryPlan {
    /// All bytes.
    pub fn bytes(&self) -> usize {
        self.state + self.arena
    }
}

impl Stage {
    /// Records, differentiates, plans and allocates a stage. `mentors` are the frozen models with their roles, the first
    /// `teachers` of them teachers.
    ///
    /// # Errors
    /// If the batch is larger than the training split, or an operation refuses.
    pub fn new(
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
        let clock = Clock {
            indices: layout.declare("clock/indices", DType::U32, [batch]),
            step: layout.declare("clock/step", DType::U32, [1]),
            valid: layout.declare("clock/valid", DType::U32, [1]),
            rate: layout.declare("clock/rate", float, []),
        };
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

        let recorder = Recorder { material, clock, seed };
        let mut tape = Tape::new(float);
        let shared = recorder.batch(&mut tape, &layout, train_images, augmentation)?;
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
            let prefix = prefix(&learner.model.role, learner.method.as_deref());
            learner.record(&mut tape, &mut layout, shared, config, &prefix, teach, lesson)?;
        }
        let train = Plan::new(&tape, &layout);
        let test_indices = (0..material.test.labels.len() as u32).collect();
        let test = recorder.evaluation(&layout, test_images, &learners, test_indices)?;
        let validation = match material.validation.is_empty() {
            true => None,
            false => Some(recorder.evaluation(&layout, train_images, &learners, material.validation.clone())?),
        };
        let arena = train.bytes().max(test.plan.bytes());
        let memory = MemoryPlan { state: layout.bytes(), arena, operations: train.len() };
        let mut state = layout.allocate();
        state.get_mut::<u32>(train_images.labels).copy_from_slice(&material.train.labels);
        state.get_mut::<u32>(test_images.labels).copy_from_slice(&material.test.labels);
        Ok(Self {
            learners,
            mentors,
            state,
            config: config.clone(),
            seed,
            learn: material.learn.clone(),
            arena: Memory::new(arena),
            train,
            validation,
            test,
            clock,
            memory,
            order: (None, Vec::new()),
        })
    }

    /// What the stage needs.
    pub fn memory(&self) -> MemoryPlan {
        self.memory
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
        self.train.run(&mut self.arena, &mut self.state);
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
    pub fn profile(&mut self, epoch: u32, step: usize) -> Vec<OpTime> {
        self.set_clock(epoch, step);
        self.train.profile(&mut self.arena, &mut self.state)
    }

    fn set_clock(&mut self, epoch: u32, step: usize) {
        if self.order.0 != Some(epoch) {
            let places = Philox::new(self.seed, Stream::Shuffle).permutation(u64::from(epoch), self.learn.len());
            self.order = (Some(epoch), places.into_iter().map(|place| self.learn[place as usize]).collect());
        }
        let batch = self.config.batch_size;
        let rate = self.rate(epoch, step);
        let number = epoch as usize * self.steps_per_epoch() + step;
        self.state.get_mut::<u32>(self.clock.indices).copy_from_slice(&self.order.1[step * batch..(step + 1) * batch]);
        self.state.get_mut::<u32>(self.clock.step)[0] = number as u32;
        self.state.get_mut::<u32>(self.clock.valid)[0] = batch as u32;
        self.state.set_f64(self.clock.rate, &[rate]);
    }

    /// Counts every learner's hits on the validation split; `None` without one.
    pub fn validate(&mut self) -> Option<Vec<Counts>> {
        self.validation.take().map(|evaluation| {
            let counts = self.evaluate(&evaluation);
            self.validation = Some(evaluation);
            counts
        })
    }

    /// Counts every learner's hits on the test split.
    pub fn test(&mut self) -> Vec<Counts> {
        let evaluation = std::mem::take(&mut self.test);
        let counts = self.evaluate(&evaluation);
        self.test = evaluation;
        counts
    }

    /// Runs through a split; the last batch is padded with its first image, and the padding is not counted.
    fn evaluate(&mut self, evaluation: &Evaluation) -> Vec<Counts> {
        for learner in &self.learners {
            self.state.get_mut::<f64>(learner.evaluated).fill(0.0);
        }
        for batch in evaluation.images.chunks(self.config.batch_size) {
            let indices = self.state.get_mut::<u32>(self.clock.indices);
            indices.fill(batch[0]);
            indices[..batch.len()].copy_from_slice(batch);
            self.state.get_mut::<u32>(self.clock.valid)[0] = batch.len() as u32;
            evaluation.plan.run(&mut self.arena, &mut self.state);
        }
        self.learners.iter().map(|learner| Counts::from_state(self.state.get::<f64>(learner.evaluated))).collect()
    }
}

/// Where a learner's state stands.
fn prefix(role: &str, method: Option<&str>) -> String {
    match method {
        Some(method) => format!("{role}/{method}"),
        None => role.to_string(),
    }
}

/// What recording the plans of a stage has in common.
struct Recorder<'a> {
    material: &'a Material,
    clock: Clock,
    seed: u64,
}

impl Recorder<'_> {
    fn batch(
        &self,
        tape: &mut Tape,
        layout: &StateLayout,
        images: ImagesState,
        augmentation: Augmentation,
    ) -> Result<Shared> {
        let source = BatchSource {
            images: tape.state(layout, images.pixels),
            labels: tape.state(layout, images.labels),
            indices: tape.state(layout, self.clock.indices),
            step: tape.state(layout, self.clock.step),
        };
        let normalisation = &self.material.normalisation;
        let (images, labels) = tape.batch(&source, &normalisation.mean, &normalisation.std, augmentation, self.seed)?;
        let (valid, rate) = (tape.state(layout, self.clock.valid), tape.state(layout, self.clock.rate));
        Ok(Shared { images, labels, valid, rate })
    }

    fn evaluation(
        &self,
        layout: &StateLayout,
        images: ImagesState,
        learners: &[Learner],
        indices: Vec<u32>,
    ) -> Result<Evaluation> {
        let mut tape = Tape::new(DType::F32);
        let shared = self.batch(&mut tape, layout, images, Augmentation::default())?;
        for (lane, learner) in learners.iter().enumerate() {
            tape.set_lane(lane as u32);
            let logits = learner.model.record(&mut tape, layout, shared.images, Mode::Eval, &[])?.logits;
            let counters = tape.state(layout, learner.evaluated);
            tape.evaluate(logits, shared.labels, shared.valid, counters)?;
        }
        Ok(Evaluation { plan: Plan::new(&tape, layout), images: indices })
    }
}
