//! The ladders of `kernels/ladder/`: every rung, and what ships, runs on the simulator with all checks, gives what a
//! direct sum in f64 gives, and counts what `docs/ladder.md` says.
//!
//! Inputs are small multiples of an eighth, so that products and sums are exact in float32 and results are equal to the
//! last bit, whatever their order.

mod bench;
mod convolution;
mod counts;
mod normalisation;
mod optimizer;
mod table;

use std::path::{Path, PathBuf};

/// A path from the repository's root.
fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

#[test]
fn forward_pass() {
    convolution::forward().check();
}

#[test]
fn forward_pass_of_many_pixels() {
    convolution::large_forward().check();
}

#[test]
fn weight_gradient() {
    convolution::weight_gradient().check();
}

#[test]
fn depthwise() {
    convolution::depthwise().check();
}

#[test]
fn batch_norm() {
    normalisation::batch_norm().check();
}

#[test]
fn sgd() {
    optimizer::sgd().check();
}

#[test]
fn every_file_of_the_ladder_has_a_family() {
    let files = std::fs::read_dir(path("kernels/ladder")).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".cu"))
        .collect();
    names.sort();
    assert_eq!(names, ["batch_norm.cu", "conv_depthwise.cu", "conv_fprop.cu", "conv_wgrad.cu", "sgd.cu"]);
}
