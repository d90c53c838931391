//! Training: steps, schedules, and what a run leaves behind.

pub mod checkpoint;
pub mod clock;
mod course;
pub mod design;
pub(crate) mod durable;
pub mod enrolment;
pub mod evaluation;
pub mod event;
pub mod folder;
pub mod forecast;
mod graduation;
pub mod learner;
pub mod lineup;
pub mod log;
pub mod material;
pub mod records;
pub mod results;
mod room;
pub mod run;
pub mod schedule;
pub mod session;
pub mod stage;
pub mod stop;
mod tensor_file;
mod trainer;
pub mod weights;
