//! Two-dimensional convolution, dense, grouped and depthwise.

#![allow(clippy::needless_range_loop, reason = "indices of register tiles run through several arrays at once")]

mod algorithm;
pub(super) mod cases;
mod cuda;
mod cut;
mod depthwise;
mod dgrad;
pub(super) mod epilogue_cases;
mod fprop;
mod geometry;
mod normalised;
mod operation;
mod product;
mod taps;
pub(super) mod tensor_cases;
mod tile;
mod transpose;
mod wgrad;
mod winograd;

#[cfg(test)]
mod tests;

pub use dgrad::DgradPlan;
pub use fprop::FpropPlan;
pub use geometry::Conv2dGeometry;
pub use operation::Conv2dOptions;
pub use wgrad::WgradPlan;
