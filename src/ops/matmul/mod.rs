//! Products of matrices and of batches of them: `y = a b`, either factor transposed, one of them shared by the whole batch.
//!
//! The gradient of a factor is a product of the upstream gradient and the other factor; for a shared one the products of
//! the batch are added up, in order.

pub(super) mod cases;
mod cpu;
mod cuda;
mod product;
pub(super) mod workloads;

use crate::error::Result;
use crate::ops::operands;
use crate::simd::Level;
use crate::tape::{Frame, Gradient, Launcher, Node, Operation, Signature, Tape, ValueId};
use crate::tensor::Shape;
use crate::with_float;
use product::Product;

/// Which factors of a [`Tape::matmul`] are read transposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transposed {
    /// `a` is `[K, M]` or `[G, K, M]`.
    pub a: bool,
    /// `b` is `[N, K]` or `[G, N, K]`.
    pub b: bool,
}

#[derive(Clone, Copy, Debug)]
struct Matmul {
    transposed: Transposed,
    product: Product,
}

impl Tape {
    /// `a` `[M, K]` times `b` `[K, N]`: `[M, N]`; or `[G, M, K]` times `[G, K, N]`: `[G, M, N]`, where one of the two may be
    /// a single matrix that every product of the batch shares. `transposed` says which factors' last two axes are swapped.
    ///
    /// # Errors
    /// If the shapes do not fit, or the factors are not of the tape's floating-point type.
    pub fn matmul(&mut self, a: ValueId, b: ValueId, transposed: Transposed) -> Result<ValueId> {
        self.product(a, b, transposed, false)
    }

    /// As [`Tape::matmul`]; with `summed` the products of the batch are added up to one `[M, N]`.
    fn product(&mut self, a: ValueId, b: ValueId, transposed: Transposed, summed: bool) -> Result<ValueId> {
        let ((dtype, left), (_, right)) = (operands::float(self, "matmul", a)?, operands::float(self, "matmul", b)?);
        let product = Product::new(left, right, transposed, summed)?;
        let (rows, columns) = (product.rows, product.columns);
        // Where a batch lies in memory as one matrix it is one: its rows follow one another, or its summands.
        if !summed && left.rank() == 3 && right.rank() == 2 && !transposed.a {
            let stacked = self.view(a, [left[0] * left[1], left[2]])?;
            let y = self.product(stacked, b, transposed, false)?;
            return self.view(y, [left[0], rows, columns]);
        }
        if summed && left.rank() == 3 && right.rank() == 3 && transposed.a && !transposed.b {
            let a = self.view(a, [left[0] * left[1], left[2]])?;
            let b = self.view(b, [right[0] * right[1], right[2]])?;
            return self.product(a, b, transposed, false);
        }
        let is_batch = !summed && left.rank().max(right.rank()) == 3;
        let shape = if is_batch { Shape::from([product.groups, rows, columns]) } else { Shape::from([rows, columns]) };
        Ok(self.record_one(Matmul { transposed, product }, &[a, b], "matmul", dtype, shape))
    }
}

impl Operation for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn flops(&self, _signature: &Signature) -> u64 {
        let Product { added, depth, .. } = self.product;
        2 * (self.product.count() * added * depth) as u64
    }

    fn workspace(&self, signature: &Signature) -> usize {
        cpu::workspace_len(&self.product) * signature.outputs[0].0.size()
    }

    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        let Some(dy) = upstream[0] else { return Ok(vec![None; 2]) };
        let (a, b) = (node.inputs[0], node.inputs[1]);
        let Transposed { a: turned_a, b: turned_b } = self.transposed;
        // With A and B as they are multiplied: dA = dY Bᵀ, dB = Aᵀ dY; and the transposes of these for transposed factors.
        let of = |a: bool, b: bool| Transposed { a, b };
        let is_batch = [a, b].iter().any(|factor| tape.shape(*factor).rank() == 3);
        let shared = |tape: &Tape, factor: ValueId| is_batch && tape.shape(factor).rank() == 2;
        let mut gradients = vec![None; 2];
        if wanted[0] {
            let summed = shared(tape, a);
            gradients[0] = Some(match turned_a {
                false => tape.product(dy, b, of(false, !turned_b), summed)?,
                true => tape.product(b, dy, of(turned_b, true), summed)?,
            });
        }
        if wanted[1] {
            let summed = shared(tape, b);
            gradients[1] = Some(match turned_b {
                false => tape.product(a, dy, of(!turned_a, false), summed)?,
                true => tape.product(dy, a, of(true, turned_a), summed)?,
            });
        }
        Ok(gradients)
    }

    fn run(&self, frame: &Frame<'_>) {
        with_float!(frame.output_dtype(0), T => {
            let (a, b, y) = (frame.input::<T>(0), frame.input::<T>(1), frame.output::<T>(0));
            let partials = &mut frame.workspace::<T>()[..cpu::workspace_len(&self.product)];
            cpu::multiply(Level::current(), &self.product, a, b, y, partials);
        });
    }

    fn gpu_workspace(&self, _signature: &Signature) -> usize {
        cuda::workspace(&self.product)
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        cuda::launch(launcher, &self.product);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
