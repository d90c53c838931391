//! What contrasts a batch with a memory bank of all images (Tian, Krishnan, Isola: "Contrastive Representation
//! Distillation", ICLR 2020, section 3.2): which rows of the bank, and the products with them. The gathered rows
//! themselves, of 16,384 for every image, are never stored.
//!
//! Images are listed by class: `order[starts[c]..starts[c + 1]]` are those of class `c`. The others, the negatives of an
//! image of class `c`, are then the places `0..n` of that list without that piece, and drawing some of them without
//! repetition is taking the first of a random order of `0..n`. That order is a keyed bijection, so nothing is stored or
//! sorted: four rounds of a Feistel network on the next even number of bits (Luby, Rackoff, 1988), walked on until it
//! falls below `n` (Black, Rogaway, 2002). Where more are wanted than there are, another order follows.

pub(super) mod cases;
mod cpu;
mod cuda;
pub(super) mod workloads;

use super::operands;
use crate::error::{Error, Result};
use crate::random::{Philox, Stream};
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::tensor::{DType, Shape};
use crate::with_float;

/// What stands at the head of a row of indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positive {
    /// The image itself.
    Exact,
    /// Any image of its class.
    Relaxed,
}

/// The training split by class.
#[derive(Clone, Copy, Debug)]
pub struct ByClass {
    /// All images, u32 `[N]`, those of one class side by side.
    pub order: ValueId,
    /// u32 `[C + 1]`: where each class begins in `order`.
    pub starts: ValueId,
}

#[derive(Debug)]
struct ContrastIndices {
    generator: Philox,
    /// Which draw of the tape.
    draw: u32,
    positive: Positive,
}

#[derive(Debug)]
struct BankProducts;

/// Inputs: upstream, bank, indices.
#[derive(Debug)]
struct BankProductsGradient;

/// Products that one task of the gradient adds up before the sums of all tasks are added in order.
const CHUNK: usize = 512;

impl Tape {
    /// For every image of the batch (`indices`, `labels`: u32 `[B]`) its positive and then `negatives` images of other
    /// classes: u32 `[B, 1 + negatives]`; others in every step.
    ///
    /// # Errors
    /// If shapes or types are others, or the tape has no source of random numbers. At least two classes have images: the
    /// caller looks.
    pub fn contrast_indices(
        &mut self,
        indices: ValueId,
        labels: ValueId,
        images: ByClass,
        negatives: usize,
        positive: Positive,
    ) -> Result<ValueId> {
        let what = "contrast_indices";
        for id in [indices, labels, images.order, images.starts] {
            operands::of_type(self, what, id, DType::U32)?;
            operands::shaped(self, what, id, "lists of indices", &[None])?;
        }
        let batch = self.shape(indices).count();
        operands::shaped(self, what, labels, "as many labels as images", &[Some(batch)])?;
        if negatives == 0 || self.shape(images.starts).count() < 3 {
            return Err(Error::request(
                "contrast_indices takes at least one negative, and images of at least two classes",
            ));
        }
        let (randomness, draw) = self.next_draw()?;
        let generator = Philox::new(randomness.seed, Stream::Step);
        let inputs = [indices, labels, images.order, images.starts, randomness.number];
        let shape = Shape::from([batch, 1 + negatives]);
        let op = ContrastIndices { generator, draw, positive };
        Ok(self.record_one(op, &inputs, "contrast indices", DType::U32, shape))
    }

    /// `p[b, k] = <x[b], bank[indices[b, k]]>` for `x` `[B, D]`, a `bank` `[N, D]` and `indices` u32 `[B, K]`: `[B, K]`. The
    /// bank is a constant: it has no gradient.
    ///
    /// # Errors
    /// If shapes or types are others.
    pub fn bank_products(&mut self, x: ValueId, bank: ValueId, indices: ValueId) -> Result<ValueId> {
        let what = "bank_products";
        operands::floats(self, what, &[x, bank])?;
        operands::of_type(self, what, indices, DType::U32)?;
        operands::shaped(self, what, x, "x [B, D]", &[None, None])?;
        let shape = self.shape(x);
        operands::shaped(self, what, bank, "a bank [N, D]", &[None, Some(shape[1])])?;
        operands::shaped(self, what, indices, "indices [B, K]", &[Some(shape[0]), None])?;
        let (dtype, products) = (self.float(), self.shape(indices));
        Ok(self.record_one(BankProducts, &[x, bank, indices], "products", dtype, products))
    }
}

impl Operation for ContrastIndices {
    fn name(&self) -> &'static str {
        "contrast_indices"
    }

    fn run(&self, frame: &Frame<'_>) {
        cpu::indices(self, frame);
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::indices(launcher, self);
        Ok(())
    }
}

impl Operation for BankProducts {
    fn name(&self) -> &'static str {
        "bank_products"
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        if wanted[1] {
            return Err(Error::failed("a memory bank has no gradient: detach it"));
        }
        let Some(upstream) = upstream[0] else { return Ok(vec![None; 3]) };
        let (dtype, shape) = (tape.dtype(node.inputs[0]), tape.shape(node.inputs[0]));
        let inputs = [upstream, node.inputs[1], node.inputs[2]];
        Ok(vec![Some(tape.record_one(BankProductsGradient, &inputs, "d_x", dtype, shape)), None, None])
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => cpu::products::<T>(frame));
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::products(launcher);
        Ok(())
    }
}

impl BankProductsGradient {
    /// Tasks of a row, and bytes for their sums.
    fn tasks(signature: &Signature) -> (usize, usize) {
        let (dtype, shape) = signature.outputs[0];
        let tasks = signature.inputs[2].1[1].div_ceil(CHUNK);
        (tasks, tasks * shape.count() * dtype.size())
    }
}

impl Operation for BankProductsGradient {
    fn name(&self) -> &'static str {
        "bank_products gradient"
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => cpu::gradient::<T>(frame));
    }

    fn gpu_workspace(&self, signature: &Signature) -> usize {
        Self::tasks(signature).1
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::gradient(launcher);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
