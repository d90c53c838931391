//! Which algorithm a pass uses; the shape alone decides.

use super::geometry::Conv2dGeometry;
use super::product::ProductPlan;
use super::taps::Correlation;
use super::winograd::WinogradPlan;
use crate::simd::{Element, Level};

/// How a forward convolution or an input gradient is made.
#[derive(Debug)]
pub(super) enum Algorithm {
    /// Direct sums over taps.
    Direct(ProductPlan),
    /// Minimal filtering of small tiles.
    Winograd(WinogradPlan),
}

impl Algorithm {
    /// For the forward pass of `geometry`.
    pub fn forward<T: Element>(geometry: &Conv2dGeometry, level: Level) -> Self {
        match WinogradPlan::forward::<T>(geometry, level).filter(WinogradPlan::pays) {
            Some(plan) => Self::Winograd(plan),
            None => Self::Direct(ProductPlan::new::<T>(geometry, Correlation::forward, level)),
        }
    }

    /// For the input gradient of `geometry`.
    pub fn backward<T: Element>(geometry: &Conv2dGeometry, level: Level) -> Self {
        match WinogradPlan::backward::<T>(geometry, level).filter(WinogradPlan::pays) {
            Some(plan) => Self::Winograd(plan),
            None => Self::Direct(ProductPlan::new::<T>(geometry, Correlation::backward, level)),
        }
    }

    /// Elements of workspace that a pass over `geometry` needs.
    pub fn workspace_len(&self, geometry: &Conv2dGeometry) -> usize {
        match self {
            Self::Direct(_) if geometry.is_depthwise() => 0,
            Self::Direct(product) => product.packed_len(),
            Self::Winograd(plan) => plan.workspace_len(),
        }
    }
}
