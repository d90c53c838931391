//! The clock of a step: what changes from one replay to the next is taken out of tables in state, so that the host has to
//! say nothing between two steps.
//!
//! A cursor points to the step. Each replay reads the images of its batch, how many of them count, the step's number and
//! the learning rate, and moves the cursor on. The tables are written by the host when they are used up: once per epoch.

pub(super) mod cases;
mod cuda;

use crate::error::{Error, Result};
use crate::tape::{Frame, Launcher, Operation, Tape, ValueId};
use crate::tensor::{DType, Shape};
use crate::with_float;

/// The tables of a clock; all of it is state.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// u32 `[images]`: which image comes where, batch after batch.
    pub order: ValueId,
    /// `[steps]`: the learning rate of every step; none where nothing learns.
    pub rates: Option<ValueId>,
    /// u32 `[2]`: the step within the tables, and the number of the step in all.
    pub cursor: ValueId,
}

/// What a step takes from the tables.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// u32 `[batch]`: the batch's images. One that reaches behind the last image is filled up with its own first.
    pub indices: ValueId,
    /// u32 `[1]`: how many of them count.
    pub valid: ValueId,
    /// u32 `[1]`: the number of the step in all, from 0.
    pub number: ValueId,
    /// The learning rate, a scalar, where the tables have rates.
    pub rate: Option<ValueId>,
}

#[derive(Debug)]
struct Clock {
    has_rates: bool,
}

impl Tape {
    /// Takes the next step of batches of `batch` images out of `tables`, and moves their cursor on.
    ///
    /// # Errors
    /// If the tables hold no image, the cursor is not two numbers, or there are not as many rates as steps (the last
    /// batch may be a partial one or left out).
    pub fn tick(&mut self, tables: &Tables, batch: usize) -> Result<Tick> {
        let images = self.shape(tables.order).count();
        let steps = [images / batch.max(1), images.div_ceil(batch.max(1))];
        let rates = tables.rates.map(|rates| self.shape(rates).count());
        if images == 0 || self.shape(tables.cursor).count() != 2 || rates.is_some_and(|rates| !steps.contains(&rates)) {
            return Err(Error::failed(format!(
                "a clock of {images} images in batches of {batch} has a cursor of shape {} and {rates:?} rates",
                self.shape(tables.cursor)
            )));
        }
        let mut outputs = vec![tables.cursor];
        let mut declare = |name: &str, dtype, shape| {
            let value = self.declare(name, dtype, shape);
            outputs.push(value);
            value
        };
        let indices = declare("indices", DType::U32, Shape::from([batch]));
        let valid = declare("valid", DType::U32, Shape::from([1]));
        let number = declare("number", DType::U32, Shape::from([1]));
        let float = self.float();
        let rate = tables.rates.map(|_| self.declare("rate", float, Shape::from([])));
        outputs.extend(rate);
        let inputs: Vec<ValueId> = [tables.order].into_iter().chain(tables.rates).collect();
        self.record_into(Clock { has_rates: tables.rates.is_some() }, &inputs, &outputs);
        Ok(Tick { indices, valid, number, rate })
    }
}

impl Operation for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn run(&self, frame: &Frame<'_>) {
        let (cursor, indices) = (frame.output::<u32>(0), frame.output::<u32>(1));
        let (step, number) = (cursor[0] as usize, cursor[1]);
        let rest = &frame.input::<u32>(0)[step * indices.len()..];
        let valid = indices.len().min(rest.len());
        indices[..valid].copy_from_slice(&rest[..valid]);
        indices[valid..].fill(rest[0]);
        frame.output::<u32>(2)[0] = valid as u32;
        frame.output::<u32>(3)[0] = number;
        if self.has_rates {
            with_float!(frame.output_dtype(4), T => frame.output::<T>(4)[0] = frame.input::<T>(1)[step]);
        }
        cursor.copy_from_slice(&[step as u32 + 1, number.wrapping_add(1)]);
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, self.has_rates);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
