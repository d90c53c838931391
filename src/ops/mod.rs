//! The operations, each in a directory of its own: its meaning and gradient (`mod.rs`), the CPU's code (`cpu.rs`), its
//! tests. Recording functions are methods of [`crate::tape::Tape`].

pub mod accumulate;
pub mod add;
pub mod batch;
pub mod classroom;
pub mod cross_entropy;
pub mod evaluate;
pub mod fill;
pub mod kl_divergence;
mod rows;
pub mod scale;
pub mod sgd;
pub mod softmax;
