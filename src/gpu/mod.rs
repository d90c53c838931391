//! GPUs.

pub mod kernels;
pub mod nvrtc;
