//! What bounds a kernel, what is asked of its counts for that, and which kernels are excepted.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::counts::{Conflicts, Counts};

/// How many times the least sectors a kernel that is bound by memory may move: its blocks, each sector once per block, over
/// those that the launch has to move; and its requests over what its blocks have to move.
pub const MOST_MOVED: f64 = 1.15;

/// Kernels that are bound by memory and do not keep to [`MOST_MOVED`] in one respect, and why.
const EXCEPTIONS: &[(&[&str], Moved, &str)] = &[
    (&["batch_f32", "batch_bf16"], Moved::Requests, "bytes are read one by one, from rows that begin anywhere"),
    (
        &["avg_pool_f32", "avg_pool_bf16", "avg_pool_gradient_f32", "avg_pool_gradient_bf16"],
        Moved::Requests,
        "windows overlap: what neighbours share comes from the first cache",
    ),
    (
        &["max_pool_gradient_f32", "max_pool_gradient_bf16"],
        Moved::Requests,
        "the pixels of a window all read the window and the pixels before them",
    ),
    (
        &["max_gradient_f32"],
        Moved::Requests,
        "all elements of an axis ask where its largest is: what they share comes from the first cache",
    ),
    (
        &["channel_shuffle_f32", "channel_shuffle_bf16"],
        Moved::Requests,
        "single elements are gathered; their neighbours go with the next request",
    ),
    (
        &["resize_nearest_f32", "resize_bilinear_f32", "resize_bilinear_gradient_f32"],
        Moved::Requests,
        "pixels are read by all that lie around them: what neighbours share comes from the first cache",
    ),
    (&["resize_bilinear_f32"], Moved::Blocks, "a block makes two rows of pixels and reads three"),
    (
        &["gather_channels_f32", "gather_channels_backward_f32"],
        Moved::Requests,
        "single elements are gathered; their neighbours go with the next request",
    ),
    (
        &["grid_sample_f32", "grid_sample_map_f32", "grid_sample_points_f32", "peak_heights_f32"],
        Moved::Requests,
        "windows overlap: what neighbours share comes from the first cache",
    ),
    (
        &["grid_sample_f32", "grid_sample_map_f32", "grid_sample_points_f32", "peak_heights_f32"],
        Moved::Blocks,
        "windows overlap: what blocks share comes from the second cache",
    ),
    (
        &["bank_products_f32", "bank_products_gradient_f32"],
        Moved::Blocks,
        "rows of a bank are gathered: several blocks pick the same, which the second cache holds",
    ),
    (
        &["bank_products_f32", "bank_products_gradient_f32"],
        Moved::Requests,
        "every product reads its image's embedding again, from the first cache",
    ),
    (
        &["strong_view_f32", "strong_view_bf16"],
        Moved::Requests,
        "a block passes over its image once for each operation, pixels gathered byte by byte from the first cache",
    ),
];

/// What is compared with what it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    /// Blocks' sectors with the launch's.
    Blocks,
    /// Requests' sectors with the blocks'.
    Requests,
}

/// What bounds a kernel, and so what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Reads and writes whole tensors and computes little: memory bounds it. It may move [`MOST_MOVED`] times the least.
    Memory,
    /// Multiplies on tensor cores. Its main loop may have no bank conflicts, and its global loads use whole sectors
    /// (where channels come in packs).
    Tensor,
    /// A convolution, linear layer or product of matrices on float32 units: arithmetic bounds it, and neighbours share what they read.
    Arithmetic,
    /// Works on a few numbers per image, channel or class: its launch bounds it.
    Small,
}

impl Class {
    /// The class of a kernel.
    pub fn of(kernel: &str) -> Self {
        // A second pass over partial gradients moves memory only.
        const SMALL: &[&str] = &[
            "adam_step",
            "affine_grid_",
            "batch_norm_combine",
            "batch_norm_gradient_combine",
            "box_mask_",
            "classroom_",
            "clock_",
            "contrast_indices_",
            "cross_entropy_",
            "gather_channels_sort_",
            "kl_divergence_",
            "loss_",
            "peak_areas_",
            "random_permutation_",
            "softmax_",
            "log_softmax_",
            "evaluate_",
            "median_",
            "one_hot_",
            "scatter_rows_",
        ];
        if kernel.starts_with("conv_tensor_") {
            Self::Tensor
        } else if kernel.starts_with("conv_") && !kernel.starts_with("conv_sum_") || kernel == "matmul_f32" {
            Self::Arithmetic
        } else if SMALL.iter().any(|small| kernel.starts_with(small)) || kernel == "accumulate_f32" {
            Self::Small
        } else {
            Self::Memory
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tensor => "tensor",
            Self::Arithmetic => "arithmetic",
            Self::Small => "small",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Counts {
    /// What is asked of the kernel's class and does not hold, in words.
    pub fn faults(&self, kernel: &str) -> Vec<String> {
        let mut faults = Vec::new();
        match self.class {
            Class::Memory => {
                for (moved, what) in [
                    (Moved::Blocks, "its blocks move, over what has to move"),
                    (Moved::Requests, "its requests touch, over what its blocks have to move"),
                ] {
                    let found = self.times_the_least(moved);
                    let excepted = EXCEPTIONS.iter().find(|(names, of, _)| names.contains(&kernel) && *of == moved);
                    match (found <= MOST_MOVED, excepted) {
                        (false, None) => {
                            faults.push(format!("{kernel}: {what}: {found:.3} times; {MOST_MOVED} is allowed"));
                        }
                        (true, Some((.., reason))) => {
                            faults.push(format!("{kernel}: {what}: {found:.3} times; an exception says: {reason}"));
                        }
                        _ => {}
                    }
                }
            }
            Class::Tensor => {
                let Conflicts { ldmatrix, cp_async, load, .. } = self.conflicts;
                // Channels that are no packs are filled in by pairs and single elements.
                let packs = !kernel.contains("_any_");
                // The main loop reads by ldmatrix; TF32 also by ld.shared, where ldmatrix would have to turn it. In bf16
                // ld.shared comes behind the main loop, where results are written.
                let load = if kernel.contains("tf32") { load } else { 0 };
                if ldmatrix + load > 0 || packs && cp_async > 0 {
                    faults.push(format!(
                        "{kernel} has bank conflicts in its main loop: {ldmatrix} of ldmatrix, {cp_async} of cp.async, \
                         {load} of ld.shared"
                    ));
                }
                if packs && self.loads.touched > self.loads.full {
                    faults.push(format!(
                        "{kernel} loads {} sectors where {} would hold what it asks for",
                        self.loads.touched, self.loads.full
                    ));
                }
            }
            _ => {}
        }
        faults
    }

    fn times_the_least(&self, moved: Moved) -> f64 {
        match moved {
            Moved::Blocks => self.blocks_over_least(),
            Moved::Requests => self.touched_over_blocks(),
        }
    }
}
