//! The operations, each in a directory of its own: its meaning and gradient (`mod.rs`), the CPU's code (`cpu.rs`), its
//! tests. Recording functions are methods of [`crate::tape::Tape`].
//!
//! Activations are `[N, H, W, C]`: a matrix of `N * H * W` rows and `C` channels.

pub mod add;
pub mod batch_norm;
pub mod parallel;
pub mod rows;
#[cfg(test)]
pub(crate) mod testing;
