//! The operations, each in a directory of its own: its meaning and gradient (`mod.rs`), the CPU's code (`cpu.rs`), its
//! tests. Recording functions are methods of [`crate::tape::Tape`].
//!
//! Activations are `[N, H, W, C]`: a matrix of `N * H * W` rows and `C` channels.

pub mod accumulate;
pub mod adam;
pub mod add;
pub mod affine_grid;
pub mod areas;
pub mod avg_pool;
pub mod batch;
pub mod batch_norm;
pub mod broadcast;
pub mod case;
pub mod cast;
pub mod channel_shuffle;
pub mod classroom;
pub mod clock;
mod column_copies;
pub mod columns;
pub mod concat;
pub mod contrast;
pub mod conv2d;
pub mod cross_entropy;
mod distribution;
pub mod dropout;
pub mod evaluate;
pub mod fill;
pub mod gather_channels;
pub mod gather_rows;
pub mod grid_sample;
pub mod kl_divergence;
pub mod linear;
pub mod map;
pub mod matmul;
pub mod max_pool;
pub mod median;
pub mod one_hot;
mod operands;
pub mod option_a_shortcut;
mod packs;
pub mod parallel;
pub mod permute;
mod pooling;
pub mod random;
pub mod reduce;
pub mod relu;
pub mod resize;
mod row_kernels;
pub mod rows;
pub mod scale;
pub mod sgd;
pub mod softmax;
pub mod split;
pub mod strong_view;
#[cfg(test)]
pub(crate) mod testing;
pub mod windows;
pub mod workloads;

/// The cases of all operations' kernels.
pub fn cases() -> Vec<case::Case> {
    let cases = [
        accumulate::cases::cases(),
        adam::cases::cases(),
        add::cases::cases(),
        affine_grid::cases::cases(),
        areas::cases::cases(),
        avg_pool::cases::cases(),
        batch::cases::cases(),
        batch_norm::cases::cases(),
        broadcast::cases::cases(),
        cast::cases::cases(),
        channel_shuffle::cases::cases(),
        classroom::cases::cases(),
        clock::cases::cases(),
        conv2d::cases::cases(),
        conv2d::tensor_cases::cases(),
        conv2d::epilogue_cases::cases(),
        concat::cases::cases(),
        contrast::cases::cases(),
        cross_entropy::cases::cases(),
        dropout::cases::cases(),
        evaluate::cases::cases(),
        fill::cases::cases(),
        gather_rows::cases::cases(),
        gather_channels::cases::cases(),
        grid_sample::cases::cases(),
        kl_divergence::cases::cases(),
        map::cases::cases(),
        matmul::cases::cases(),
        max_pool::cases::cases(),
        median::cases::cases(),
        one_hot::cases::cases(),
        option_a_shortcut::cases::cases(),
        permute::cases::cases(),
        random::cases::cases(),
        reduce::cases::cases(),
        relu::cases::cases(),
        resize::cases::cases(),
        scale::cases::cases(),
        sgd::cases::cases(),
        softmax::cases::cases(),
        split::cases::cases(),
        strong_view::cases::cases(),
    ];
    cases.into_iter().flatten().collect()
}
