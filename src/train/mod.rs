//! Training: steps, schedules, and what a run leaves behind.

pub mod checkpoint;
pub(crate) mod durable;
pub mod folder;
pub mod learner;
pub mod log;
pub mod material;
pub mod records;
pub mod schedule;
pub mod stage;
pub mod stop;
pub mod weights;
