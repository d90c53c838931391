//! A map read at the points of a grid: `torch.nn.functional.grid_sample`, bilinear, zeros outside, `align_corners = False`
//! (Jaderberg, Simonyan, Zisserman, Kavukcuoglu: "Spatial transformer networks", 2015, equations 5 to 7).
//!
//! A point (x, y) of the grid, where [-1, 1] is the map from edge to edge, is the pixel place `u = ((x + 1) W - 1) / 2`,
//! `v = ((y + 1) H - 1) / 2`. Its value is the mean of the four pixels around it, weighted by nearness in each direction;
//! pixels outside count as zeros. What is at or beyond a pixel's width outside, or not a number, is zero with its gradients.
//!
//! Gradients: a pixel gets from each point that it was read for what its weight was; a point gets the slope of the
//! interpolation, summed over channels, and over images where they share the grid. Where a point meets a pixel exactly the
//! slope is that towards the next pixel, as in PyTorch.

pub(super) mod cases;
mod cpu;
mod cuda;
pub(super) mod workloads;

use super::operands;
use crate::error::{Error, Result};
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;

#[derive(Debug)]
struct GridSample;

/// The gradient of the map.
#[derive(Debug)]
struct GridSampleMap;

/// The gradient of the grid.
#[derive(Debug)]
struct GridSamplePoints;

impl Tape {
    /// `x` `[N, H, W, C]` read at the points of `grid` `[N, h, w, 2]`, or `[1, h, w, 2]` for all images alike:
    /// `[N, h, w, C]`. A point is (x, y) with [-1, 1] from edge to edge.
    ///
    /// # Errors
    /// If types are not the tape's float type, or shapes others than these.
    pub fn grid_sample(&mut self, x: ValueId, grid: ValueId) -> Result<ValueId> {
        operands::floats(self, "grid_sample", &[x, grid])?;
        operands::shaped(self, "grid_sample", x, "x [N, H, W, C]", &[None; 4])?;
        operands::shaped(self, "grid_sample", grid, "a grid [N, h, w, 2]", &[None, None, None, Some(2)])?;
        let (from, points) = (self.shape(x), self.shape(grid));
        if points[0] != 1 && points[0] != from[0] {
            return Err(Error::request(format!("{} images cannot be read by {} grids", from[0], points[0])));
        }
        let shape = Shape::from([from[0], points[1], points[2], from[3]]);
        let dtype = self.float();
        Ok(self.record_one(GridSample, &[x, grid], "sampled", dtype, shape))
    }
}

impl Operation for GridSample {
    fn name(&self) -> &'static str {
        "grid_sample"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        let [x, grid] = [node.inputs[0], node.inputs[1]];
        let (dtype, [of_x, of_grid]) = (tape.float(), [x, grid].map(|id| tape.shape(id)));
        let Some(upstream) = upstream[0] else { return Ok(vec![None, None]) };
        let d_x = wanted[0].then(|| tape.record_one(GridSampleMap, &[grid, upstream], "d_x", dtype, of_x));
        let d_grid =
            wanted[1].then(|| tape.record_one(GridSamplePoints, &[x, grid, upstream], "d_grid", dtype, of_grid));
        Ok(vec![d_x, d_grid])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::forward(frame.input_shape(0), frame.input::<T>(0), frame.input::<T>(1), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::forward(launcher);
        Ok(())
    }
}

impl Operation for GridSampleMap {
    fn name(&self) -> &'static str {
        "grid_sample_map"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            cpu::map_gradient(frame.output_shape(0), frame.input::<T>(0), frame.input::<T>(1), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::map_gradient(launcher);
        Ok(())
    }
}

impl Operation for GridSamplePoints {
    fn name(&self) -> &'static str {
        "grid_sample_points"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let [x, grid, d_y] = [0, 1, 2].map(|index| frame.input::<T>(index));
            cpu::points_gradient(frame.input_shape(0), x, grid, d_y, frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::points_gradient(launcher);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
