//! Trains models: steps, optimizers, schedules, checkpoints, metrics.

pub mod schedule;
