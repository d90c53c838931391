//! kd-engine trains a whole classroom of vision models at once: a student learns from a teacher and several peers.
//!
//! One training step of the whole classroom is recorded once on a tape, planned once into one arena, and replayed for
//! every batch. `ARCHITECTURE.md` walks through the rooms; imports run one way:
//! cli → bench, export → train, report → distill → nn → tape → ops → simd, tensor.

pub mod bench;
pub mod cli;
pub mod config;
pub mod data;
pub mod distill;
pub mod doctor;
pub mod error;
pub mod export;
pub mod gpu;
pub mod host;
pub mod nn;
pub mod ops;
pub mod parity;
mod pickle;
pub mod pytorch;
pub mod random;
pub mod report;
pub mod simd;
mod stream;
pub mod tape;
pub mod tensor;
pub mod train;
mod words;

pub use error::{Error, Kind, Result};
