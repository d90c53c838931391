//! One stage of a run: models that learn together, as lanes of one step, from the same batches; recorded and planned once.
//!
//! Pretraining is a stage whose learners are all mentors that need weights. Distillation is a stage whose learners are the
//! student once per method, so that all methods share one forward pass of the frozen mentors; for one seed, or for several
//! side by side, each with batches and learners of its own.
//!
//! A step is one replay of a plan. What changes from step to step lies in tables that the host writes once per epoch
//! ([`super::clock`]), and that all numbers are finite is watched by the optimizer: between two looks the host neither
//! sends nor asks anything.

use super::clock::Clock;
use super::design::{Design, MemoryPlan};
use super::evaluation::Evaluation;
use super::learner::Learner;
use super::material::Material;
use super::schedule::Moment;
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::Model;
use crate::ops::evaluate::Counts;
use crate::random::{Philox, Stream};
use crate::tape::{Arena, OpTime, Plan, State};

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

impl Design {
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
