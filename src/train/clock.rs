//! Which images a batch holds, which step it is and what the learning rate is: tables in state, written by the host once
//! per epoch, out of which every replay takes its own step ([`crate::ops::clock`]).

use super::material::{ImagesState, Material};
use crate::error::Result;
use crate::ops::batch::{Augmentation, BatchSource};
use crate::ops::clock::Tables;
use crate::tape::{State, StateId, StateLayout, Tape, ValueId};
use crate::tensor::DType;

/// Under which the state of all clocks stands: no part of a checkpoint, since the position says it all.
pub const PREFIX: &str = "clock/";

/// The tables of a training or of an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Which image comes where, u32 `[images]`.
    pub order: StateId,
    /// The learning rate of every step, `[steps]`; none in an evaluation.
    pub rates: Option<StateId>,
    /// The step within the tables and the number of the step in all, u32 `[2]`; every replay moves them on.
    cursor: StateId,
    /// Images of a step.
    batch: usize,
}

/// A step's batch, and what else its clock says.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// `[B, H, W, C]`
    pub images: ValueId,
    /// u32 `[B]`
    pub labels: ValueId,
    /// How many of the batch's images count, u32 `[1]`.
    pub valid: ValueId,
    /// The number of the step, u32 `[1]`, from 0.
    pub number: ValueId,
    /// The learning rate, a scalar; none in an evaluation.
    pub rate: Option<ValueId>,
    /// What the images were made from.
    pub source: BatchSource,
}

impl Clock {
    /// Declares the tables of an epoch of `steps` batches of `batch` images.
    pub fn training(layout: &mut StateLayout, name: &str, batch: usize, steps: usize, float: DType) -> Self {
        let rates = layout.declare(format!("{PREFIX}{name}/rates"), float, [steps]);
        Self { rates: Some(rates), ..Self::evaluation(layout, name, batch, batch * steps) }
    }

    /// Declares the tables of a walk through `images` images in batches of `batch`.
    pub fn evaluation(layout: &mut StateLayout, name: &str, batch: usize, images: usize) -> Self {
        Self {
            order: layout.declare(format!("{PREFIX}{name}/order"), DType::U32, [images]),
            rates: None,
            cursor: layout.declare(format!("{PREFIX}{name}/cursor"), DType::U32, [2]),
            batch,
        }
    }

    /// Records the step that the clock points to: its batch out of `images`, augmented by `seed`.
    ///
    /// # Errors
    /// If the normalisation does not fit the images.
    pub fn batch(
        &self,
        tape: &mut Tape,
        layout: &StateLayout,
        images: ImagesState,
        material: &Material,
        augmentation: Augmentation,
        seed: u64,
    ) -> Result<Batch> {
        let tables = Tables {
            order: tape.state(layout, self.order),
            rates: self.rates.map(|rates| tape.state(layout, rates)),
            cursor: tape.state(layout, self.cursor),
        };
        let tick = tape.tick(&tables, self.batch)?;
        let source = BatchSource {
            images: tape.state(layout, images.pixels),
            labels: tape.state(layout, images.labels),
            indices: tick.indices,
            step: tick.number,
        };
        let normalisation = &material.normalisation;
        let (images, labels) = tape.batch(&source, &normalisation.mean, &normalisation.std, augmentation, seed)?;
        Ok(Batch { images, labels, valid: tick.valid, number: tick.number, rate: tick.rate, source })
    }

    /// Images of a step.
    pub fn batch_size(&self) -> usize {
        self.batch
    }

    /// Points to `step` of the tables, which is step `number` in all.
    pub fn point(&self, state: &mut State, step: usize, number: usize) {
        // Wherever the replays have left it.
        state.clear(self.cursor);
        state.get_mut::<u32>(self.cursor).copy_from_slice(&[step as u32, number as u32]);
    }
}
