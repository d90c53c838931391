//! Whole runs through the real program: what a run leaves, coming back to it, the memory it takes, and bad input.

mod bad_input;
mod leaves;
mod memory;
mod resume;
mod school;
mod seeds;
mod sim;
mod sokd;
mod together;
mod tuning;

/// A device with made-up times, which names these as its own crate's.
#[path = "../../src/gpu/tuning/fake.rs"]
mod fake;
use kd_engine::{error, gpu};
