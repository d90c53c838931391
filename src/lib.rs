//! kd-engine trains a whole classroom of vision models at once: a student learns from a teacher and several peers.
//!
//! One training step of the whole classroom is recorded once on a tape, planned once into one arena, and replayed for
//! every batch. `ARCHITECTURE.md` walks through the rooms; imports run one way:
//! cli → train, report → distill → nn → tape → ops → simd, tensor.

pub mod error;
pub mod ops;
pub mod random;
pub mod simd;
pub mod tensor;

pub use error::{Error, Kind, Result};
