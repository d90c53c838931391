//! Two-dimensional convolution, dense, grouped and depthwise.

mod depthwise;
mod dgrad;
mod fprop;
mod geometry;
mod operation;
mod product;
mod taps;
mod tile;
mod wgrad;

#[cfg(test)]
mod tests;

pub use dgrad::DgradPlan;
pub use fprop::FpropPlan;
pub use geometry::Conv2dGeometry;
pub use operation::Conv2dOptions;
pub use wgrad::WgradPlan;

/// Images of one chunk of work. It depends on the shape alone, so that results do not depend on threads.
fn images_per_chunk(geometry: &Conv2dGeometry) -> usize {
    geometry.batch.div_ceil(16)
}
