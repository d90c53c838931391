//! The learning rate of every step.

use std::f64::consts::PI;

use crate::config::{Schedule, Shape};

/// When a step happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The epoch, from 0.
    pub epoch: u32,
    /// The step within the epoch, from 0.
    pub step: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// Epochs of the training.
    pub epochs: u32,
}

impl Moment {
    /// Steps before this one.
    fn steps_done(self) -> f64 {
        self.epoch as f64 * self.steps_per_epoch as f64 + self.step as f64
    }

    /// Steps of the training.
    fn steps(self) -> f64 {
        f64::from(self.epochs) * self.steps_per_epoch as f64
    }

    /// Time since the start in epochs; exactly whole at the start of an epoch.
    fn time(self) -> f64 {
        f64::from(self.epoch) + self.step as f64 / self.steps_per_epoch as f64
    }
}

impl Schedule {
    /// The learning rate at `moment` of a training whose optimizer has the rate `lr`.
    pub fn rate(&self, lr: f64, moment: Moment) -> f64 {
        let warmup_steps = self.warmup_epochs * moment.steps_per_epoch as f64;
        let rate = match &self.shape {
            Shape::Constant => lr,
            Shape::MultiStep { milestones, gamma } => lr * steps_down(milestones, *gamma, moment),
            Shape::Cosine { final_lr } => {
                // The curve starts where the warm-up ends and reaches its end after the last step, as PyTorch's.
                let length = (moment.steps() - warmup_steps).max(1.0);
                let share = ((moment.steps_done() - warmup_steps) / length).clamp(0.0, 1.0);
                half_cosine(lr, *final_lr, share)
            }
            Shape::LinearRamp { final_lr, ramp_epochs, milestones, gamma } => {
                let share = (f64::from(moment.epoch) / ramp_epochs).min(1.0);
                (lr + (final_lr - lr) * share) * steps_down(milestones, *gamma, moment)
            }
            Shape::OneCycle { pct_start, div_factor, final_div_factor } => {
                let first = lr / div_factor;
                let last_step = moment.steps() - 1.0;
                let peak_step = pct_start * moment.steps() - 1.0;
                let step = moment.steps_done();
                if peak_step > 0.0 && step <= peak_step {
                    half_cosine(first, lr, step / peak_step)
                } else {
                    let peak_step = peak_step.max(0.0);
                    half_cosine(lr, first / final_div_factor, (step - peak_step) / (last_step - peak_step).max(1.0))
                }
            }
        };
        // The first step already learns, the last of the warm-up has the full rate.
        if moment.steps_done() + 1.0 < warmup_steps { rate * (moment.steps_done() + 1.0) / warmup_steps } else { rate }
    }
}

/// `gamma` once for every milestone that lies behind.
fn steps_down(milestones: &[f64], gamma: f64, moment: Moment) -> f64 {
    let passed = milestones.iter().filter(|milestone| moment.time() >= **milestone).count();
    gamma.powi(passed as i32)
}

/// From `start` at share 0 to `end` at share 1.
fn half_cosine(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * share).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    fn schedule(shape: Shape) -> Schedule {
        Schedule { shape, warmup_epochs: 0.0 }
    }

    fn at(epoch: u32, step: usize, steps_per_epoch: usize, epochs: u32) -> Moment {
        Moment { epoch, step, steps_per_epoch, epochs }
    }

    /// methods.md 1.5: lr(e) = 0.05 - 0.04 e / 120, then 0.01, times 0.1 at 150, 180 and 210.
    #[test]
    fn ramp_of_classroomkd() {
        let shape =
            Shape::LinearRamp { final_lr: 0.01, ramp_epochs: 120.0, milestones: vec![150.0, 180.0, 210.0], gamma: 0.1 };
        let ramp = schedule(shape);
        let expected = [
            (0, 0.05),
            (1, 0.05 - 0.04 / 120.0),
            (60, 0.03),
            (119, 0.05 - 0.04 * 119.0 / 120.0),
            (120, 0.01),
            (149, 0.01),
            (150, 1e-3),
            (179, 1e-3),
            (180, 1e-4),
            (210, 1e-5),
            (239, 1e-5),
        ];
        for (epoch, rate) in expected {
            for step in [0, 780] {
                assert_relative_eq!(ramp.rate(0.05, at(epoch, step, 781, 240)), rate, max_relative = 1e-12);
            }
        }
    }

    #[test]
    fn ramp_and_milestones_scale_with_the_epochs() {
        let shape =
            Shape::LinearRamp { final_lr: 0.01, ramp_epochs: 120.0, milestones: vec![150.0, 180.0, 210.0], gamma: 0.1 };
        let mut ramp = schedule(shape);
        ramp.scale(240, 8);
        let rates: Vec<f64> = (0..8).map(|epoch| ramp.rate(0.05, at(epoch, 0, 10, 8))).collect();
        let expected = [0.05, 0.04, 0.03, 0.02, 0.01, 0.001, 1e-4, 1e-5];
        for (rate, expected) in rates.iter().zip(expected) {
            assert_relative_eq!(*rate, expected, max_relative = 1e-12);
        }
    }

    /// A milestone that scaling has put inside an epoch acts inside of it.
    #[test]
    fn multi_step_counts_epochs_from_zero_and_fractions_by_step() {
        let steps = schedule(Shape::MultiStep { milestones: vec![1.0, 2.5], gamma: 0.1 });
        let rate = |epoch, step| steps.rate(0.1, at(epoch, step, 4, 3));
        assert_relative_eq!(rate(0, 3), 0.1);
        assert_relative_eq!(rate(1, 0), 0.01, max_relative = 1e-12);
        assert_relative_eq!(rate(2, 1), 0.01, max_relative = 1e-12);
        assert_relative_eq!(rate(2, 2), 0.001, max_relative = 1e-12);
    }

    /// Literals: `torch.optim.lr_scheduler.OneCycleLR(SGD(lr=0.05), max_lr=0.05, total_steps=20)`, PyTorch 2.
    #[test]
    fn one_cycle_as_pytorch() {
        let cycle = schedule(Shape::OneCycle { pct_start: 0.3, div_factor: 25.0, final_div_factor: 1e4 });
        let rate = |step: u32| cycle.rate(0.05, at(step / 5, step as usize % 5, 5, 4));
        let expected = [
            (0, 0.0020000000000000018),
            (1, 0.006583592135001266),
            (4, 0.04541640786499874),
            (5, 0.05),
            (6, 0.04937320031175437),
            (7, 0.04752423160067369),
            (12, 0.0250001),
            (18, 0.0006269996882456277),
            (19, 2e-07),
        ];
        for (step, expected) in expected {
            assert_relative_eq!(rate(step), expected, max_relative = 1e-9);
        }
    }

    #[test]
    fn cosine_falls_from_end_of_warmup_to_final_rate() {
        let cosine = Schedule { shape: Shape::Cosine { final_lr: 0.01 }, warmup_epochs: 1.0 };
        let rate = |epoch, step| cosine.rate(0.1, at(epoch, step, 4, 3));
        assert_relative_eq!(rate(0, 0), 0.025, max_relative = 1e-12);
        assert_relative_eq!(rate(0, 1), 0.05, max_relative = 1e-12);
        assert_relative_eq!(rate(0, 3), 0.1, max_relative = 1e-12);
        assert_relative_eq!(rate(1, 0), 0.1, max_relative = 1e-12);
        assert_relative_eq!(rate(2, 0), 0.055, max_relative = 1e-12);
        assert_relative_eq!(rate(2, 3), 0.01 + 0.09 * (1.0 + (PI * 7.0 / 8.0).cos()) / 2.0, max_relative = 1e-12);
    }

    #[test]
    fn no_schedule_breaks_on_the_shortest_training() {
        let shapes = [
            Shape::Constant,
            Shape::MultiStep { milestones: vec![0.6], gamma: 0.1 },
            Shape::Cosine { final_lr: 0.0 },
            Shape::LinearRamp { final_lr: 0.01, ramp_epochs: 0.5, milestones: vec![], gamma: 0.1 },
            Shape::OneCycle { pct_start: 0.3, div_factor: 25.0, final_div_factor: 1e4 },
        ];
        for shape in shapes {
            let rate = Schedule { shape: shape.clone(), warmup_epochs: 0.3 }.rate(0.05, at(0, 0, 1, 1));
            assert!(rate > 0.0 && rate <= 0.05, "{shape:?}: {rate}");
        }
    }
}
