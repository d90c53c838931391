//! How the learning rate runs over a training: its shapes and their keys. [`crate::train::schedule`] computes it.

use super::reader::{Item, Reader};
use crate::error::Result;

/// How the learning rate runs over a training, starting from the optimizer's `lr`. Times are in epochs and may be
/// fractions, so that they scale exactly with `--epochs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The curve.
    pub shape: Shape,
    /// The rate rises linearly over these first epochs, step by step, from nearly 0 to the curve. 0 for none.
    pub warmup_epochs: f64,
}

/// The curve of a [`Schedule`].
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// `lr` throughout.
    Constant,
    /// `lr`, times `gamma` from each of the milestones on.
    MultiStep {
        /// In epochs, ascending.
        milestones: Vec<f64>,
        /// The factor at each.
        gamma: f64,
    },
    /// Half a cosine from `lr` to `final_lr`, step by step.
    Cosine {
        /// Where it ends.
        final_lr: f64,
    },
    /// Epoch by epoch linearly from `lr` to `final_lr`, which is reached after `ramp_epochs`; then as multi-step.
    /// ClassroomKD's release: 0.05 to 0.01 in 120 epochs, then times 0.1 at 150, 180, 210.
    LinearRamp {
        /// Where the ramp ends.
        final_lr: f64,
        /// When.
        ramp_epochs: f64,
        /// In epochs, ascending.
        milestones: Vec<f64>,
        /// The factor at each.
        gamma: f64,
    },
    /// Step by step up from `lr / div_factor` to `lr` and down to `lr / div_factor / final_div_factor`, both half
    /// cosines, as PyTorch's `OneCycleLR`.
    OneCycle {
        /// The share of the steps that goes up.
        pct_start: f64,
        /// `lr` over the first rate.
        div_factor: f64,
        /// The first rate over the last.
        final_div_factor: f64,
    },
}

const NAMES: &[&str] = &["constant", "multi_step", "cosine", "linear_ramp", "one_cycle"];

/// Upper end of every duration in epochs.
pub(super) const MAX_EPOCHS: i64 = 1_000_000;

impl Shape {
    /// Its name in a config.
    pub fn name(&self) -> &'static str {
        match self {
            Shape::Constant => "constant",
            Shape::MultiStep { .. } => "multi_step",
            Shape::Cosine { .. } => "cosine",
            Shape::LinearRamp { .. } => "linear_ramp",
            Shape::OneCycle { .. } => "one_cycle",
        }
    }
}

impl Schedule {
    /// What is used when no schedule is written: the proportions of the common CIFAR-100 protocol (times 0.1 at 150,
    /// 180 and 210 of 240 epochs) in any number of epochs.
    pub fn standard(epochs: u32) -> Self {
        let milestones = [150, 180, 210].map(|milestone| f64::from(milestone) * f64::from(epochs) / 240.0);
        Self { shape: Shape::MultiStep { milestones: milestones.to_vec(), gamma: 0.1 }, warmup_epochs: 0.0 }
    }

    /// Stretches every time in epochs by `to / from`.
    pub fn scale(&mut self, from: u32, to: u32) {
        let scale = |time: &mut f64| *time = *time * f64::from(to) / f64::from(from);
        scale(&mut self.warmup_epochs);
        match &mut self.shape {
            Shape::MultiStep { milestones, .. } => milestones.iter_mut().for_each(scale),
            Shape::LinearRamp { ramp_epochs, milestones, .. } => {
                scale(ramp_epochs);
                milestones.iter_mut().for_each(scale);
            }
            Shape::Constant | Shape::Cosine { .. } | Shape::OneCycle { .. } => {}
        }
    }

    /// Reads `schedule = { name = ..., ... }`, or a name alone, for a training of `epochs` at the rate `lr`.
    pub(super) fn read(item: Item<'_>, epochs: u32, lr: f64) -> Result<Self> {
        if item.is_text() {
            let whole = || item.error("this schedule needs more than its name: write { name = \"...\", ... }");
            let shape = match name(&item)? {
                "constant" => Shape::Constant,
                "cosine" => Shape::Cosine { final_lr: 0.0 },
                "one_cycle" => Shape::OneCycle { pct_start: 0.3, div_factor: 25.0, final_div_factor: 1e4 },
                _ => return Err(whole()),
            };
            return Ok(Self { shape, warmup_epochs: 0.0 });
        }
        let mut table = item.table()?;
        let name = name(&table.required("name")?)?;
        let shape = match name {
            "multi_step" => {
                let milestones = milestones(&table.required("milestones")?, epochs)?;
                Shape::MultiStep { milestones, gamma: gamma(&mut table)? }
            }
            "cosine" => Shape::Cosine { final_lr: final_lr(table.take("final_lr"), lr)? },
            "linear_ramp" => {
                let end = table.required("final_lr")?;
                let ramp = table.required("ramp_epochs")?;
                let limit = f64::from(epochs);
                let positive = (std::ops::Bound::Excluded(0.0), std::ops::Bound::Included(limit));
                Shape::LinearRamp {
                    final_lr: end.number(0.0..)?,
                    ramp_epochs: ramp.number(positive)?,
                    milestones: table.or("milestones", Vec::new(), |item| milestones(&item, epochs))?,
                    gamma: gamma(&mut table)?,
                }
            }
            "one_cycle" => Shape::OneCycle {
                pct_start: table.or("pct_start", 0.3, |item| item.number(0.0..=1.0))?,
                div_factor: table.or("div_factor", 25.0, |item| item.number(1.0..))?,
                final_div_factor: table.or("final_div_factor", 1e4, |item| item.number(1.0..))?,
            },
            _ => Shape::Constant,
        };
        // One cycle is a warm-up by itself, so it has no such key.
        let warmup_epochs = match shape {
            Shape::OneCycle { .. } => 0.0,
            _ => table.or("warmup_epochs", 0.0, |item| item.number(0.0..=f64::from(epochs)))?,
        };
        table.finish_as(&format!("schedule `{name}` has no such key"))?;
        Ok(Self { shape, warmup_epochs })
    }
}

fn name(item: &Item<'_>) -> Result<&'static str> {
    let names: Vec<_> = NAMES.iter().map(|name| (*name, *name)).collect();
    item.one_of("schedule", &names)
}

fn gamma(table: &mut Reader<'_>) -> Result<f64> {
    let range = (std::ops::Bound::Excluded(0.0), std::ops::Bound::Included(1.0));
    table.or("gamma", 0.1, |item| item.number(range))
}

fn final_lr(item: Option<Item<'_>>, lr: f64) -> Result<f64> {
    item.map_or(Ok(0.0), |item| item.number(0.0..=lr))
}

fn milestones(item: &Item<'_>, epochs: u32) -> Result<Vec<f64>> {
    let items = item.list()?;
    let mut milestones: Vec<f64> = Vec::with_capacity(items.len());
    for entry in &items {
        let range = (std::ops::Bound::Excluded(0.0), std::ops::Bound::Unbounded);
        let milestone = entry.number(range)?;
        if let Some(last) = milestones.last().filter(|last| milestone <= **last) {
            return Err(entry.error(format!("milestones ascend, but {milestone} comes after {last}")));
        }
        if milestone > f64::from(epochs) {
            let error = entry.error(format!("milestone {milestone} would never be reached in {epochs} epochs"));
            return Err(error.help("--epochs scales milestones with it; setting `epochs` alone does not"));
        }
        milestones.push(milestone);
    }
    Ok(milestones)
}
