//! How models are trained: the tables `[train]` and `[pretrain]`.

use std::ops::Bound;

use super::reader::{Item, Reader};
use super::schedule::{MAX_EPOCHS, Schedule};
use crate::error::Result;

/// Largest batch a config may ask for: beyond it a typing error is likelier than a use.
const MAX_BATCH: i64 = 65_536;

/// How `seeds_together` is written where the choice is open.
pub(super) const AUTO: &str = "auto";

/// How models are trained. `[pretrain]` has the same keys (but for `seeds_together`) and the same defaults as `[train]`,
/// and takes nothing over from it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Passes over the training split.
    pub epochs: u32,
    /// Images of one step.
    pub batch_size: usize,
    /// Each makes its own initial weights, batches, crops and flips. In `[pretrain]` there is exactly one.
    pub seeds: Vec<u64>,
    /// Whether all seeds learn side by side, in one stage, instead of one after the other; what comes out is the same.
    /// `None` (`"auto"`): on a GPU where it fits into memory, else not. Only in `[train]`.
    pub seeds_together: Option<bool>,
    /// The optimizer with its options.
    pub optimizer: Optimizer,
    /// How the learning rate runs.
    pub schedule: Schedule,
    /// Share of the target probability that is spread over all classes, from 0 to below 1, in every cross-entropy
    /// that is learned from.
    pub label_smoothing: f64,
    /// What numbers are computed in.
    pub precision: Precision,
}

/// Stochastic gradient descent with momentum, as PyTorch's `SGD`.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    /// The learning rate that the schedule starts from.
    pub lr: f64,
    /// Momentum, from 0 to below 1.
    pub momentum: f64,
    /// Times the weight, added to its gradient.
    pub weight_decay: f64,
    /// Whether momentum looks ahead.
    pub nesterov: bool,
    /// Whether weight decay also acts on the parameters of normalisation layers and on biases.
    pub decay_norm_and_bias: bool,
}

/// What numbers are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point throughout.
    F32,
    /// 32-bit storage, multiplications in TF32.
    Tf32,
    /// bfloat16 storage with 32-bit accumulation.
    Bf16,
}

impl Precision {
    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// Whose training a table describes: decides the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trained {
    /// `[pretrain]`: trained once, so it has one seed.
    Mentors,
    /// `[train]`: trained once per method and seed.
    Student,
}

impl TrainConfig {
    /// What holds when nothing is written.
    pub(super) fn standard(trained: Trained) -> Self {
        let epochs = 8;
        Self {
            epochs,
            batch_size: 64,
            seeds: vec![if trained == Trained::Mentors { 0 } else { 1 }],
            seeds_together: None,
            optimizer: Optimizer::standard(),
            schedule: Schedule::standard(epochs),
            label_smoothing: 0.0,
            precision: Precision::F32,
        }
    }

    /// Trains for `epochs` instead; ramps, milestones and warm-up scale with it.
    pub fn scale_to(&mut self, epochs: u32) {
        self.schedule.scale(self.epochs, epochs);
        self.epochs = epochs;
    }

    pub(super) fn read(mut table: Reader<'_>, trained: Trained) -> Result<Self> {
        let standard = Self::standard(trained);
        let epochs = table.or("epochs", standard.epochs, |item| Ok(item.integer(1..=MAX_EPOCHS)? as u32))?;
        let batch_size =
            table.or("batch_size", standard.batch_size, |item| Ok(item.integer(1..=MAX_BATCH)? as usize))?;
        let seeds = table.or("seeds", standard.seeds, |item| read_seeds(&item, trained))?;
        let seeds_together = table.or("seeds_together", standard.seeds_together, |item| match trained {
            Trained::Student => item.flag_or(AUTO),
            Trained::Mentors => Err(item
                .error("mentors have one seed, so there is nothing to train together")
                .help("for the seeds of the student it is train.seeds_together")),
        })?;
        let optimizer = table.or("optimizer", standard.optimizer, Optimizer::read)?;
        let schedule =
            table.or("schedule", Schedule::standard(epochs), |item| Schedule::read(item, epochs, optimizer.lr))?;
        let label_smoothing = table.or("label_smoothing", standard.label_smoothing, |item| item.number(0.0..1.0))?;
        let precision = table.or("precision", standard.precision, |item| {
            let names = [Precision::F32, Precision::Tf32, Precision::Bf16].map(|one| (one.name(), one));
            item.one_of("precision", &names)
        })?;
        table.finish()?;
        Ok(Self { epochs, batch_size, seeds, seeds_together, optimizer, schedule, label_smoothing, precision })
    }
}

fn read_seeds(item: &Item<'_>, trained: Trained) -> Result<Vec<u64>> {
    let items = item.list()?;
    if items.is_empty() {
        return Err(item.error("expected at least one seed, found an empty list"));
    }
    if trained == Trained::Mentors && items.len() > 1 {
        let error = item.error(format!("mentors are trained once, so they have one seed, not {}", items.len()));
        return Err(error.help("the seeds of the student are train.seeds"));
    }
    let mut seeds = Vec::with_capacity(items.len());
    for entry in items {
        let seed = entry.integer(0..)? as u64;
        if seeds.contains(&seed) {
            return Err(entry.error(format!("seed {seed} is there twice")));
        }
        seeds.push(seed);
    }
    Ok(seeds)
}

impl Optimizer {
    fn standard() -> Self {
        Self { lr: 0.05, momentum: 0.9, weight_decay: 5e-4, nesterov: false, decay_norm_and_bias: true }
    }

    fn read(item: Item<'_>) -> Result<Self> {
        let standard = Self::standard();
        let mut table = item.table()?;
        table.or("name", "sgd", |item| item.one_of("optimizer", &[("sgd", "sgd")]))?;
        let positive = (Bound::Excluded(0.0), Bound::Unbounded);
        let lr = table.or("lr", standard.lr, |item| item.number(positive))?;
        let momentum = table.or("momentum", standard.momentum, |item| item.number(0.0..1.0))?;
        let weight_decay = table.or("weight_decay", standard.weight_decay, |item| item.number(0.0..))?;
        let nesterov = table.or("nesterov", standard.nesterov, |item| match item.flag()? {
            true if momentum == 0.0 => Err(item.error("Nesterov's momentum needs a momentum above 0")),
            flag => Ok(flag),
        })?;
        let decay_norm_and_bias = table.or("decay_norm_and_bias", standard.decay_norm_and_bias, |item| item.flag())?;
        table.finish()?;
        Ok(Self { lr, momentum, weight_decay, nesterov, decay_norm_and_bias })
    }
}
