//! Rows of a table by their numbers: `y[i] = table[indices[i]]`, and writing rows back: `table[indices[i]] = rows[i]`, how a
//! memory bank is read and updated.
//!
//! A table is a constant: it has no gradient. An index that is no row reads zeros and writes nowhere.

pub(super) mod cases;
mod cpu;
mod cuda;
pub(super) mod workloads;

use crate::error::{Error, Result};
use crate::ops::operands;
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::{DType, Shape};
use crate::with_float;

#[derive(Debug)]
struct GatherRows;

#[derive(Debug)]
struct ScatterRows;

impl Tape {
    /// The rows of `table` (`[N, D]`) that `indices` (u32, up to three axes) names: `[.., D]`, without a gradient.
    ///
    /// # Errors
    /// If shapes or types are others.
    pub fn gather_rows(&mut self, table: ValueId, indices: ValueId) -> Result<ValueId> {
        let (from, which) = (self.shape(table), self.shape(indices));
        self.check_rows("gather_rows", table, indices)?;
        let extents: Vec<usize> = which.extents().iter().copied().chain([from[1]]).collect();
        let dtype = self.dtype(table);
        Ok(self.record_one(GatherRows, &[table, indices], "rows", dtype, Shape::new(&extents)))
    }

    /// Writes `rows` (`[B, D]`) into `table` (state, `[N, D]`) at `indices` (u32 `[B]`). Where an index occurs more than once the
    /// last of its rows stays.
    ///
    /// # Errors
    /// If shapes or types are others, or `table` is no state.
    pub fn scatter_rows(&mut self, indices: ValueId, rows: ValueId, table: ValueId) -> Result<()> {
        self.check_rows("scatter_rows", table, indices)?;
        let (shape, count) = (self.shape(rows), self.shape(indices));
        if count.rank() != 1 || shape != Shape::from([count[0], self.shape(table)[1]]) {
            let table = self.shape(table);
            return Err(Error::request(format!("scatter_rows cannot write rows {shape} to {count} places of {table}")));
        }
        if self.dtype(rows) != self.dtype(table) || !self.is_state(table) {
            let (rows, table) = (self.dtype(rows), self.value(table));
            let message = format!("scatter_rows writes to state of the rows' type {rows}, not to {}", table.name);
            return Err(Error::failed(message));
        }
        self.record_into(ScatterRows, &[indices, rows], &[table]);
        Ok(())
    }

    fn check_rows(&self, op: &str, table: ValueId, indices: ValueId) -> Result<()> {
        operands::floats(self, op, &[table])?;
        operands::shaped(self, op, table, "a table [N, D]", &[None; 2])?;
        operands::of_type(self, op, indices, DType::U32)?;
        operands::shaped(
            self,
            op,
            indices,
            "indices of at most three axes",
            &vec![None; self.shape(indices).rank().min(3)],
        )
    }
}

impl Operation for GatherRows {
    fn name(&self) -> &'static str {
        "gather_rows"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let width = frame.output_shape(0).channels();
            cpu::gather(width, frame.input::<T>(0), frame.input::<u32>(1), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::gather(launcher);
        Ok(())
    }
}

impl Operation for ScatterRows {
    fn name(&self) -> &'static str {
        "scatter_rows"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let width = frame.output_shape(0).channels();
            cpu::scatter(width, frame.input::<u32>(0), frame.input::<T>(1), frame.output::<T>(0));
        });
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::scatter(launcher);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
