//! The operations, each in a directory of its own: its meaning and gradient (`mod.rs`), the CPU's code (`cpu.rs`), its
//! tests. Recording functions are methods of [`crate::tape::Tape`].
//!
//! Activations are `[N, H, W, C]`: a matrix of `N * H * W` rows and `C` channels.

pub mod accumulate;
pub mod add;
pub mod avg_pool;
pub mod batch;
pub mod batch_norm;
pub mod case;
pub mod channel_shuffle;
pub mod classroom;
pub mod columns;
pub mod concat;
pub mod conv2d;
pub mod cross_entropy;
mod distribution;
pub mod evaluate;
pub mod fill;
pub mod kl_divergence;
pub mod linear;
pub mod max_pool;
pub mod option_a_shortcut;
pub mod parallel;
pub mod relu;
pub mod rows;
pub mod scale;
pub mod sgd;
pub mod softmax;
pub mod split;
#[cfg(test)]
pub(crate) mod testing;
pub mod windows;

/// The cases of all operations' kernels.
pub fn cases() -> Vec<case::Case> {
    [add::cases::cases(), conv2d::cases::cases()].into_iter().flatten().collect()
}
