//! The points that an affine map sends the pixels of a new map to: `torch.nn.functional.affine_grid` with
//! `align_corners = False` (Jaderberg, Simonyan, Zisserman, Kavukcuoglu: "Spatial transformer networks", 2015, section
//! 3.2).
//!
//! `grid[n, i, j] = theta[n] (x_j, y_i, 1)` with pixel centres `x_j = (2 j + 1 - w) / w`, `y_i = (2 i + 1 - h) / h`: the
//! map covers [-1, 1] from edge to edge, x comes first. The gradient of `theta` is the sum over pixels, row after row.

pub(super) mod cases;
mod cuda;
pub(super) mod workloads;

use super::operands;
use crate::error::{Error, Result};
use crate::simd::Element;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

#[derive(Debug)]
struct AffineGrid;

#[derive(Debug)]
struct AffineGridBackward;

impl Tape {
    /// The grid `[N, height, width, 2]` of points (x, y) for [`Tape::grid_sample`], from maps `theta` `[N, 2, 3]`; N is 1
    /// where all images share a map.
    ///
    /// # Errors
    /// If `theta` is not `[N, 2, 3]` of the tape's float type, or the grid has no points.
    pub fn affine_grid(&mut self, theta: ValueId, height: usize, width: usize) -> Result<ValueId> {
        operands::floats(self, "affine_grid", &[theta])?;
        operands::shaped(self, "affine_grid", theta, "theta [N, 2, 3]", &[None, Some(2), Some(3)])?;
        if height == 0 || width == 0 {
            return Err(Error::request(format!("a grid of {height}x{width} has no points")));
        }
        let (dtype, shape) = (self.float(), Shape::from([self.shape(theta)[0], height, width, 2]));
        Ok(self.record_one(AffineGrid, &[theta], "grid", dtype, shape))
    }
}

/// The centre of pixel `index` of `extent` pixels that cover [-1, 1].
fn centre<T: Element>(index: usize, extent: usize) -> T {
    T::from_f64(2.0 * index as f64 + 1.0 - extent as f64) / T::from_f64(extent as f64)
}

/// Calls `work` with every pixel's place in memory and (x, y, 1).
fn each_pixel<T: Element>(shape: Shape, mut work: impl FnMut(usize, [T; 3])) {
    let (height, width) = (shape[1], shape[2]);
    for row in 0..height {
        for column in 0..width {
            work(row * width + column, [centre(column, width), centre(row, height), T::ONE]);
        }
    }
}

impl Operation for AffineGrid {
    fn name(&self) -> &'static str {
        "affine_grid"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], _: &[bool]) -> Result<Vec<Gradient>> {
        let (dtype, shape) = (tape.dtype(node.inputs[0]), tape.shape(node.inputs[0]));
        let back = |upstream| tape.record_one(AffineGridBackward, &[upstream], "d_theta", dtype, shape);
        Ok(vec![upstream[0].map(back)])
    }

    fn run(&self, frame: &Frame<'_>) {
        let shape = frame.output_shape(0);
        with_float!(frame.output_dtype(0), T => {
            let maps = frame.input::<T>(0).chunks_exact(6);
            for (theta, grid) in maps.zip(frame.output::<T>(0).chunks_exact_mut(2 * shape[1] * shape[2])) {
                each_pixel(shape, |pixel, point: [T; 3]| {
                    for (axis, theta) in theta.chunks_exact(3).enumerate() {
                        grid[2 * pixel + axis] = theta[0] * point[0] + theta[1] * point[1] + theta[2];
                    }
                });
            }
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::forward(launcher);
        Ok(())
    }
}

impl Operation for AffineGridBackward {
    fn name(&self) -> &'static str {
        "affine_grid_backward"
    }

    fn run(&self, frame: &Frame<'_>) {
        let shape = frame.input_shape(0);
        with_float!(frame.output_dtype(0), T => {
            let maps = frame.output::<T>(0).chunks_exact_mut(6);
            for (d_theta, d_grid) in maps.zip(frame.input::<T>(0).chunks_exact(2 * shape[1] * shape[2])) {
                d_theta.fill(T::ZERO);
                each_pixel(shape, |pixel, point: [T; 3]| {
                    for (axis, d_theta) in d_theta.chunks_exact_mut(3).enumerate() {
                        d_theta.iter_mut().zip(point).for_each(|(sum, by)| *sum += d_grid[2 * pixel + axis] * by);
                    }
                });
            }
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::backward(launcher);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
