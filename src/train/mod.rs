//! Training: steps, schedules, and what a run leaves behind.

pub mod checkpoint;
pub(crate) mod durable;
pub mod folder;
pub mod log;
pub mod records;
pub mod schedule;
pub mod weights;
