//! Numbers that follow the epochs: rates, and weights of losses that grow. The host sets them at the beginning of an epoch.

use super::equipment::{Equipment, SET_BY_HOST};
use super::lesson::Lesson;
use super::taught::Quantity;
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// A number that follows the epochs, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ramp {
    /// `min((epoch + 1) / epochs, 1)`; 1 with 0 epochs.
    Linear {
        /// Until it is 1.
        epochs: f64,
    },
    /// `exp(-5 (1 - min(epoch, epochs) / epochs)^2)` (Laine, Aila, 2017).
    Sigmoid {
        /// Until it is 1.
        epochs: f64,
    },
    /// `base`, times `factor` at each of the milestones.
    MultiStep {
        /// Before the first milestone.
        base: f64,
        /// At every milestone.
        factor: f64,
        /// In epochs, ascending; infinity where there are fewer.
        milestones: [f64; 4],
    },
}

impl Ramp {
    /// Its value in `epoch`.
    pub fn value(&self, epoch: f64) -> f64 {
        match *self {
            Self::Linear { epochs } => {
                if epochs > 0.0 {
                    ((epoch + 1.0) / epochs).min(1.0)
                } else {
                    1.0
                }
            }
            Self::Sigmoid { epochs } => {
                let left = if epochs > 0.0 { 1.0 - epoch.min(epochs) / epochs } else { 0.0 };
                (-5.0 * left * left).exp()
            }
            Self::MultiStep { base, factor, milestones } => {
                base * factor.powi(milestones.iter().filter(|milestone| epoch >= **milestone).count() as i32)
            }
        }
    }
}

impl Lesson<'_> {
    /// A scalar that follows the epochs.
    pub fn scheduled(&mut self, tape: &mut Tape, name: &str, ramp: Ramp) -> ValueId {
        let Equipment { prefix, float, ramps, .. } = &mut *self.equipment;
        let full = format!("{SET_BY_HOST}{prefix}/{name}");
        let known = ramps.iter().find(|(id, _)| self.layout.entry(*id).name == full).map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| {
            let id = self.layout.declare(full, *float, []);
            ramps.push((id, ramp));
            id
        });
        tape.state(self.layout, id)
    }

    /// `min((epoch + 1) / epochs, 1) value`, with epochs counted from 0: how a loss is warmed up, once per method.
    ///
    /// # Errors
    /// If `value` is not of the tape's float type.
    pub fn warmed_up(&mut self, tape: &mut Tape, epochs: f64, value: ValueId) -> Result<ValueId> {
        if epochs == 0.0 {
            return Ok(value);
        }
        let ramp = self.scheduled(tape, "warmup", Ramp::Linear { epochs });
        tape.multiply(value, ramp)
    }

    /// What a mentor's `weight` comes to where its part of the loss is [`Lesson::warmed_up`].
    ///
    /// # Errors
    /// If an operation refuses.
    pub fn warmed_up_weight(&mut self, tape: &mut Tape, epochs: f64, weight: f64) -> Result<Quantity> {
        if epochs == 0.0 {
            return Ok(Quantity::Constant(weight));
        }
        let ramp = self.scheduled(tape, "warmup", Ramp::Linear { epochs });
        Ok(Quantity::Element(tape.scale(ramp, weight), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramps_begin_and_end_where_they_say() {
        let linear = Ramp::Linear { epochs: 4.0 };
        assert_eq!([0.0, 1.0, 3.0, 9.0].map(|epoch| linear.value(epoch)), [0.25, 0.5, 1.0, 1.0]);
        assert_eq!(Ramp::Linear { epochs: 0.0 }.value(0.0), 1.0);
        let sigmoid = Ramp::Sigmoid { epochs: 80.0 };
        assert_eq!([0.0, 40.0, 80.0].map(|epoch| sigmoid.value(epoch)), [(-5.0f64).exp(), (-1.25f64).exp(), 1.0]);
        assert_eq!(Ramp::Sigmoid { epochs: 0.0 }.value(0.0), 1.0);
        let milestones = [40.0, 70.0, f64::INFINITY, f64::INFINITY];
        let steps = Ramp::MultiStep { base: 0.5, factor: 0.5, milestones };
        assert_eq!([39.0, 40.0, 69.0, 70.0].map(|epoch| steps.value(epoch)), [0.5, 0.25, 0.25, 0.125]);
    }
}
