//! The tape: one step of work, recorded once, differentiated, planned into one arena, and replayed for every batch.
//!
//! ```text
//! record (Tape, ops) → differentiate (backward) → plan (Plan: who lives where) → replay (Plan::run)
//! ```
//!
//! Values are immutable once written, except those that live in [`State`]: parameters, running statistics, counters.
//! Everything that is decided per shape (tables, chunks, workspace) is decided while recording; a replay allocates
//! nothing and checks no shapes.

mod arena;
mod backward;
mod frame;
mod launcher;
mod memory;
mod mirror;
mod needed;
mod operation;
mod order;
mod place;
mod plan;
mod program;
mod state;
mod tune;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use arena::Arena;
pub use frame::Frame;
pub use launcher::{Argument, Launch, Launcher, Place};
pub use operation::{Gradient, Operation, Signature, Variants};
pub use order::Lanes;
pub use plan::{OpTime, Plan, Shown, launches};
pub use state::{State, StateId, StateLayout};

use crate::error::{Error, Result};
use crate::tensor::{DType, Shape};

/// A value on a tape: the output of a node, a piece of state, or a view of another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(u32);

impl ValueId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a value's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In the arena, at an offset the plan decides.
    Arena,
    /// In the state: it outlives the step.
    State(StateId),
    /// The bytes of another value, seen with another shape.
    View(ValueId),
    /// In the arena of a GPU. On the CPU, where nobody writes or reads it, it has no bytes.
    Gpu,
}

/// What the tape knows of a value.
#[derive(Clone, Debug)]
pub struct Value {
    /// What it is, for people.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Shape,
    pub(crate) home: Home,
    /// Whether gradients stop here: [`Tape::detach`].
    detached: bool,
}

/// From what a tape's random numbers are drawn: they are functions of these, of the place among the tape's draws, and of
/// the element.
#[derive(Clone, Copy, Debug)]
pub struct Randomness {
    /// The run's seed.
    pub seed: u64,
    /// The number of the step, u32 `[1]`.
    pub number: ValueId,
    /// How many draws were recorded before.
    draws: u32,
}

/// One operation applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is done.
    pub op: Arc<dyn Operation>,
    /// What it reads.
    pub inputs: Vec<ValueId>,
    /// What it writes; state among them is read as well, updated in place.
    pub outputs: Vec<ValueId>,
    /// Whose work this is: a model of the classroom. Lanes run one after the other, or on a GPU at once ([`Lanes`]).
    pub lane: u32,
}

/// A recorded step.
#[derive(Debug)]
pub struct Tape {
    float: DType,
    storage: DType,
    tf32: bool,
    fusion: bool,
    values: Vec<Value>,
    nodes: Vec<Node>,
    kept: Vec<ValueId>,
    lane: u32,
    randomness: Option<Randomness>,
    /// Values that stand in for pieces of state: [`Tape::substitute`].
    substitutes: BTreeMap<StateId, ValueId>,
    /// What was detached so far, and what takes its place: [`check::Constant`].
    #[cfg(test)]
    pub(crate) detached: (Vec<ValueId>, std::collections::VecDeque<Vec<f64>>),
}

impl Tape {
    /// An empty tape whose floating-point values are `float` (f32 or f64).
    pub fn new(float: DType) -> Self {
        Self::with_storage(float, float)
    }

    /// An empty tape whose activations are stored as `storage`; parameters, statistics and losses are `float`.
    pub fn with_storage(float: DType, storage: DType) -> Self {
        let (values, nodes, kept) = (Vec::new(), Vec::new(), Vec::new());
        let (tf32, fusion, lane, randomness) = (false, true, 0, None);
        Self {
            float,
            storage,
            tf32,
            fusion,
            values,
            nodes,
            kept,
            lane,
            randomness,
            substitutes: BTreeMap::new(),
            #[cfg(test)]
            detached: Default::default(),
        }
    }

    /// The floating-point type of this tape's parameters, statistics and losses.
    pub fn float(&self) -> DType {
        self.float
    }

    /// The type in which activations are stored.
    pub fn storage(&self) -> DType {
        self.storage
    }

    /// Whether a GPU may round the factors of convolutions over float32 to TF32 (10 bits of mantissa), so that its
    /// tensor cores multiply them; sums stay float32. Not unless [`Tape::set_tf32`] says so.
    pub fn tf32(&self) -> bool {
        self.tf32
    }

    /// Says whether convolutions that are recorded from here on may use TF32.
    pub fn set_tf32(&mut self, tf32: bool) {
        self.tf32 = tf32;
    }

    /// Whether work is joined where one pass over memory does for two; so it is unless [`Tape::set_fusion`] says otherwise.
    pub fn fusion(&self) -> bool {
        self.fusion
    }

    /// Says whether what is recorded from here on is joined: BatchNorm's statistics with the convolution before it, ReLU and
    /// residual addition with the BatchNorm, additions of gradients with what makes the last of them, and the update of
    /// all parameters in one pass. Without it the tape means the same up to rounding, with an operation for each: what
    /// fusion is measured by.
    pub fn set_fusion(&mut self, fusion: bool) {
        self.fusion = fusion;
    }

    /// What is recorded from here on belongs to `lane`.
    pub fn set_lane(&mut self, lane: u32) {
        self.lane = lane;
    }

    /// From here on random numbers are drawn from `seed` and the step `number` (u32 `[1]`), beginning with the first draw:
    /// a learner's numbers do not depend on who else is on the tape.
    pub fn set_randomness(&mut self, seed: u64, number: ValueId) {
        self.randomness = Some(Randomness { seed, number, draws: 0 });
    }

    /// From what the next random numbers are to be drawn, and which draw of the tape it is.
    ///
    /// # Errors
    /// If [`Tape::set_randomness`] was not called.
    pub(crate) fn next_draw(&mut self) -> Result<(Randomness, u32)> {
        let known =
            self.randomness.as_mut().ok_or_else(|| Error::failed("this tape has no source of random numbers"))?;
        known.draws += 1;
        Ok((*known, known.draws - 1))
    }

    /// A value's description.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// A value's shape.
    pub fn shape(&self, id: ValueId) -> Shape {
        self.value(id).shape
    }

    /// A value's element type.
    pub fn dtype(&self, id: ValueId) -> DType {
        self.value(id).dtype
    }

    /// Whether two values are the same bytes.
    pub fn is_same(&self, one: ValueId, other: ValueId) -> bool {
        self.root(one) == self.root(other)
    }

    /// The nodes in order of execution.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Lets values stand in for pieces of state in all that is recorded until the next call: layers that are recorded then
    /// compute with other parameters than their own, and move other running statistics (which are state, too). With an
    /// empty map everything is itself again.
    ///
    /// # Errors
    /// If a value is of another type or shape than the state that it stands in for.
    pub fn substitute(&mut self, layout: &StateLayout, substitutes: BTreeMap<StateId, ValueId>) -> Result<()> {
        for (id, value) in &substitutes {
            let (entry, value) = (layout.entry(*id), self.value(*value));
            if (entry.dtype, entry.shape) != (value.dtype, value.shape) {
                return Err(Error::failed(format!(
                    "{} of shape {} ({}) cannot stand in for {} of shape {} ({})",
                    value.name, value.shape, value.dtype, entry.name, entry.shape, entry.dtype
                )));
            }
        }
        self.substitutes = substitutes;
        Ok(())
    }

    /// Brings a piece of state onto the tape, or what stands in for it ([`Tape::substitute`]).
    pub fn state(&mut self, layout: &StateLayout, id: StateId) -> ValueId {
        if let Some(value) = self.substitutes.get(&id) {
            return *value;
        }
        if let Some(index) = self.values.iter().position(|value| value.home == Home::State(id)) {
            return ValueId(index as u32);
        }
        let entry = layout.entry(id);
        self.push_value(entry.name.clone(), entry.dtype, entry.shape, Home::State(id))
    }

    /// The same bytes with another shape of equal count: no work at all.
    ///
    /// # Errors
    /// If the counts differ.
    pub fn view(&mut self, id: ValueId, shape: impl Into<Shape>) -> Result<ValueId> {
        let shape = shape.into();
        let from = self.value(id).clone();
        if from.shape.count() != shape.count() {
            return Err(Error::request(format!(
                "cannot view {} of shape {} as {shape}: {} elements are not {}",
                from.name,
                from.shape,
                from.shape.count(),
                shape.count()
            )));
        }
        let detached = from.detached;
        let view = self.push_value(from.name, from.dtype, shape, Home::View(self.root(id)));
        self.values[view.index()].detached = detached;
        Ok(view)
    }

    /// The same bytes as a constant: no gradient flows back through it.
    pub fn detach(&mut self, id: ValueId) -> ValueId {
        let from = self.value(id).clone();
        #[cfg(test)]
        {
            self.detached.0.push(id);
            if let Some(values) = self.detached.1.pop_front() {
                return self.record_one(check::Constant(values), &[], "constant", from.dtype, from.shape);
            }
        }
        let constant = self.push_value(from.name, from.dtype, from.shape, Home::View(self.root(id)));
        self.values[constant.index()].detached = true;
        constant
    }

    /// Records `op` on `inputs`; its outputs get the given names, types and shapes.
    pub fn record(
        &mut self,
        op: impl Operation + 'static,
        inputs: &[ValueId],
        outputs: &[(&str, DType, Shape)],
    ) -> Vec<ValueId> {
        let outputs: Vec<ValueId> = outputs
            .iter()
            .map(|(name, dtype, shape)| self.push_value(name.to_string(), *dtype, *shape, Home::Arena))
            .collect();
        self.record_into(op, inputs, &outputs);
        outputs
    }

    /// Records `op` on `inputs` with one output.
    pub fn record_one(
        &mut self,
        op: impl Operation + 'static,
        inputs: &[ValueId],
        name: &str,
        dtype: DType,
        shape: Shape,
    ) -> ValueId {
        self.record(op, inputs, &[(name, dtype, shape)])[0]
    }

    /// Records `op` with outputs that exist already: state that it updates, or values from [`Tape::declare`].
    pub fn record_into(&mut self, op: impl Operation + 'static, inputs: &[ValueId], outputs: &[ValueId]) {
        let node = Node { op: Arc::new(op), inputs: inputs.to_vec(), outputs: outputs.to_vec(), lane: self.lane };
        self.nodes.push(node);
    }

    /// A value in the arena that a later [`Tape::record_into`] writes, together with state for instance.
    pub fn declare(&mut self, name: &str, dtype: DType, shape: Shape) -> ValueId {
        self.push_value(name.to_string(), dtype, shape, Home::Arena)
    }

    /// BatchNorm's partial statistics of `id` as a further output of the operation that makes it, if that can leave them
    /// ([`Operation::statistics`]).
    pub(crate) fn statistics_of(&mut self, id: ValueId) -> Option<ValueId> {
        let node = self.nodes.iter().rposition(|node| node.outputs.first() == Some(&id)).filter(|_| self.fusion)?;
        let shape = self.nodes[node].op.statistics(self.dtype(id))?;
        if let Some(made) = self.nodes[node].outputs.get(1) {
            return Some(*made); // Somebody has asked before.
        }
        let value = self.push_value("statistics".to_string(), self.dtype(id).accumulator(), shape, Home::Gpu);
        self.nodes[node].outputs.push(value);
        Some(value)
    }

    /// Keeps a value readable after the step: [`Plan::read`].
    pub fn keep(&mut self, id: ValueId) {
        self.kept.push(id);
    }

    fn push_value(&mut self, name: String, dtype: DType, shape: Shape, home: Home) -> ValueId {
        self.values.push(Value { name, dtype, shape, home, detached: false });
        ValueId(self.values.len() as u32 - 1)
    }

    /// The value whose bytes `id` stands for.
    fn root(&self, id: ValueId) -> ValueId {
        match self.value(id).home {
            Home::View(of) => of,
            _ => id,
        }
    }

    /// Whether a value outlives the step.
    pub(crate) fn is_state(&self, id: ValueId) -> bool {
        matches!(self.value(self.root(id)).home, Home::State(_))
    }
}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            let list = |ids: &[ValueId]| {
                let named = ids.iter().map(|id| format!("%{}:{}{}", id.0, self.value(*id).name, self.shape(*id)));
                named.collect::<Vec<_>>().join(", ")
            };
            writeln!(f, "{index:4} {} ({}) -> {}", node.op.name(), list(&node.inputs), list(&node.outputs))?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod check;
#[cfg(test)]
mod tests;
