//! What an operation is to the tape.

use std::fmt::Debug;
use std::sync::Arc;

use super::{Frame, Launcher, Node, Tape, ValueId};
use crate::error::{Error, Result};
use crate::tensor::{DType, Shape};

/// The gradient of a value, of its shape; `None`: nothing flows there.
pub type Gradient = Option<ValueId>;

/// Types and shapes of a node's inputs and outputs.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Of each input.
    pub inputs: Vec<(DType, Shape)>,
    /// Of each output.
    pub outputs: Vec<(DType, Shape)>,
    /// Which of [`Operation::variants`] a GPU takes; 0 where there are none.
    pub variant: usize,
}

/// The ways in which a GPU can do a node's work. They differ in speed, and their results in rounding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variants {
    /// What the work is, for tables and people: pass, kernels, element type, shapes. Nodes with equal keys have equal names.
    pub key: String,
    /// A name for each, no two equal. The first is what a rule of thumb takes.
    pub names: Vec<String>,
}

/// One kind of work on a tape. Everything about it stands in one directory, `ops/<op>/`.
pub trait Operation: Debug + Send + Sync {
    /// Its name in plans and profiles.
    fn name(&self) -> &'static str;

    /// Bytes of scratch memory that one run needs; their content is undefined at the start.
    fn workspace(&self, signature: &Signature) -> usize {
        let _ = signature;
        0
    }

    /// Floating-point operations of one run, for benchmarks: two for each product that a convolution adds up, padding
    /// counted as papers do. 0: the time goes into moving memory.
    fn flops(&self, signature: &Signature) -> u64 {
        let _ = signature;
        0
    }

    /// An (output, input) pair that may be one buffer if the input is not needed afterwards. The operation then sees
    /// [`Frame::is_in_place`] and must not ask for that input as a slice.
    fn in_place(&self) -> Option<(usize, usize)> {
        None
    }

    /// This operation with one input more, at the end, that is added to output 0: how gradients of a value with
    /// several users are summed without a pass of their own. `None`: it cannot.
    fn with_addend(&self) -> Option<Arc<dyn Operation>> {
        None
    }

    /// The shape of what its GPU kernels can leave beside their only output, of type `dtype`, as a second one: the partial
    /// statistics that a BatchNorm of it needs (`kernels/statistics.cuh`). They are asked for by a second output; on the
    /// CPU that is nothing. `None`: they cannot.
    fn statistics(&self, dtype: DType) -> Option<Shape> {
        let _ = dtype;
        None
    }

    /// Records the gradients of the inputs on `tape`, given those of the outputs.
    /// `wanted` says for which inputs; the answer has one entry per input.
    ///
    /// # Errors
    /// If the operation cannot be differentiated.
    fn gradient(&self, tape: &mut Tape, node: &Node, upstream: &[Gradient], wanted: &[bool]) -> Result<Vec<Gradient>> {
        let _ = (tape, node, upstream, wanted);
        Err(Error::failed(format!("{} has no gradient", self.name())))
    }

    /// Does the work on the CPU.
    fn run(&self, frame: &Frame<'_>);

    /// The ways in which a GPU can do it, of which the plan takes one; it is then found in [`Signature::variant`] and
    /// [`Launcher::variant`]. `None`: there is one way.
    fn variants(&self, signature: &Signature) -> Option<Variants> {
        let _ = signature;
        None
    }

    /// Bytes of scratch memory that one run on a GPU needs; their content is undefined at the start.
    fn gpu_workspace(&self, signature: &Signature) -> usize {
        let _ = signature;
        0
    }

    /// Lists the kernels that do the work on a GPU, in the order in which they run.
    ///
    /// # Errors
    /// If there is no kernel for these types or shapes.
    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        let _ = launcher;
        Err(Error::failed(format!("{} has no kernel for GPUs", self.name())))
    }
}
