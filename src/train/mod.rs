//! Training: steps, schedules, and what a run leaves behind.

pub mod checkpoint;
mod durable;
pub mod folder;
pub mod log;
pub mod records;
pub mod schedule;
pub mod weights;
