//! What a method owns: models and parameters that it trains beside the student, buffers that outlive a step, and numbers
//! that follow the epochs. All of it is declared while the loss is recorded, under names; a method that is recorded again
//! (another phase, an evaluation) finds what it declared before.

use std::collections::BTreeMap;

use super::lesson::Lesson;
use super::ramp::Ramp;
use crate::error::{Error, Result};
use crate::nn::{Distribution, Mode, Model, Network};
use crate::random::{Philox, Stream};
use crate::tape::{State, StateId, StateLayout, Tape, ValueId};
use crate::tensor::{DType, Shape};

/// Who updates a method's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learning {
    /// The student's optimizer, from the student's loss.
    WithStudent,
    /// An [`super::Update`] of the method, or in this phase nobody.
    Apart,
    /// Nobody.
    Frozen,
}

/// A piece of state of a method.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Unique within the method.
    pub name: String,
    /// Where it is.
    pub value: StateId,
    /// Its extents.
    pub shape: Shape,
    /// How it starts.
    pub init: Distribution,
    /// Who updates it; buffers are frozen in the eyes of optimizers.
    pub learning: Learning,
    /// Whether it is a buffer: no parameter that users would save.
    pub buffer: bool,
}

/// A constant that follows from a mentor's parameters, computed when those are known.
#[derive(Clone, Debug)]
pub struct Derived {
    /// Where it is.
    to: StateId,
    /// The parameters it follows from.
    from: Vec<StateId>,
    /// How.
    how: fn(&[Vec<f64>]) -> Vec<f64>,
}

/// What a method owns.
#[derive(Clone, Debug)]
pub struct Equipment {
    pub(super) prefix: String,
    pub(super) float: DType,
    /// Its models.
    pub models: Vec<(Model, Learning)>,
    /// Its parameters and buffers.
    pub pieces: Vec<Piece>,
    /// Numbers that follow the epochs.
    pub ramps: Vec<(StateId, Ramp)>,
    /// Tables that never change, and state that nobody reads: [`Lesson::constant`], [`Lesson::table`], [`Lesson::scratch`].
    pub tables: Vec<(StateId, Vec<f64>)>,
    /// What follows from a mentor's parameters.
    pub derived: Vec<Derived>,
    /// Parameters of the student that stay as they start: copies of a mentor's.
    pub copies: Vec<(StateId, StateId)>,
    /// Values that a parity case gives in place of what would be recorded, by name.
    pub given: BTreeMap<String, ValueId>,
}

/// Under which stands what the host sets at the beginning of an epoch: no part of a checkpoint.
pub(super) const SET_BY_HOST: &str = "clock/";

/// Tells what methods own from the models of a classroom, where weights are drawn.
const PLACE: u32 = 1 << 20;

impl Equipment {
    /// Nothing yet; everything will be declared under `prefix`, parameters in `float`.
    pub fn new(prefix: impl Into<String>, float: DType) -> Self {
        Self {
            prefix: prefix.into(),
            float,
            models: Vec::new(),
            pieces: Vec::new(),
            ramps: Vec::new(),
            tables: Vec::new(),
            derived: Vec::new(),
            copies: Vec::new(),
            given: BTreeMap::new(),
        }
    }

    /// Whether anything of it is worth saving: models or parameters.
    pub fn is_learned(&self) -> bool {
        !self.models.is_empty() || self.pieces.iter().any(|piece| !piece.buffer)
    }

    /// Draws all that the method owns.
    pub fn initialise(&self, state: &mut State, seed: u64) {
        let generator = Philox::new(seed, Stream::Weights);
        for (index, (model, _)) in self.models.iter().enumerate() {
            model.initialise(state, seed, PLACE + index as u32);
        }
        for (index, piece) in self.pieces.iter().enumerate() {
            let count = state.layout().entry(piece.value).shape.count();
            let drawn = piece.init.sample((2 * PLACE as usize) << 32 | index, count, &generator);
            write(state, piece.value, &drawn.into_iter().map(f64::from).collect::<Vec<_>>());
        }
    }

    /// Sets the numbers that follow the epochs, and the tables that never change.
    pub fn enter(&self, state: &mut State, epoch: f64) {
        self.ramps.iter().for_each(|(id, ramp)| state.set_f64(*id, &[ramp.value(epoch)]));
        self.tables.iter().for_each(|(id, values)| write(state, *id, values));
    }

    /// The table called `name`, declared where it is not known yet.
    fn table(&mut self, layout: &mut StateLayout, name: &str, dtype: DType, shape: Shape, values: Vec<f64>) -> StateId {
        let full = format!("{SET_BY_HOST}{}/{name}", self.prefix);
        if let Some((known, _)) = self.tables.iter().find(|(id, _)| layout.entry(*id).name == full) {
            return *known;
        }
        let id = layout.declare(full, dtype, shape);
        self.tables.push((id, values));
        id
    }

    /// Sets what follows from the mentors' parameters, which are set.
    pub fn derive(&self, state: &mut State) {
        for (to, from) in &self.copies {
            let values = state.to_f64(*from);
            state.set_f64(*to, &values);
        }
        for Derived { to, from, how } in &self.derived {
            let values: Vec<Vec<f64>> = from.iter().map(|id| state.to_f64(*id)).collect();
            state.set_f64(*to, &how(&values));
        }
    }

    /// Names and shapes of what [`Equipment::tensors`] tells.
    pub fn expected(&self) -> Vec<(String, Vec<usize>)> {
        let of_models = self.models.iter().flat_map(|(model, _)| {
            model.expected().into_iter().map(|(name, shape)| (format!("{}.{name}", model.role), shape.to_vec()))
        });
        let pieces = self.pieces.iter().filter(|piece| !piece.buffer);
        of_models.chain(pieces.map(|piece| (piece.name.clone(), piece.shape.extents().to_vec()))).collect()
    }

    /// Every parameter and running statistic that users would save, under its name, in PyTorch's order where it belongs
    /// to a layer: `(name, shape, elements)`.
    pub fn tensors(&self, state: &State) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let of_models = self.models.iter().flat_map(|(model, _)| {
            let mut values = model.tensors(state);
            model
                .parameters
                .iter()
                .map(move |one| values.remove(&one.spec.name).expect("one for each"))
                .collect::<Vec<_>>()
        });
        let pieces = self.pieces.iter().filter(|piece| !piece.buffer);
        let narrow = |piece: &Piece| state.to_f64(piece.value).into_iter().map(|x| x as f32).collect();
        let values = of_models.chain(pieces.map(narrow));
        self.expected().into_iter().zip(values).map(|((name, shape), values)| (name, shape, values)).collect()
    }

    /// Sets what [`Equipment::tensors`] has told.
    ///
    /// # Errors
    /// If something is missing or of another count.
    pub fn set(&self, state: &mut State, tensors: &BTreeMap<String, Vec<f32>>) -> Result<()> {
        for (model, _) in &self.models {
            let prefix = format!("{}.", model.role);
            let own = tensors
                .iter()
                .filter_map(|(name, values)| name.strip_prefix(&prefix).map(|name| (name.to_string(), values.clone())));
            model.set(state, &own.collect())?;
        }
        for piece in self.pieces.iter().filter(|piece| !piece.buffer) {
            let count = state.layout().entry(piece.value).shape.count();
            let values = tensors
                .get(&piece.name)
                .filter(|values| values.len() == count)
                .ok_or_else(|| Error::request(format!("the method's weights: {} does not fit", piece.name)))?;
            state.set_f64(piece.value, &values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// The piece called `name`, declared where it is not known yet; `learning` is none for a buffer.
    fn piece(
        &mut self,
        layout: &mut StateLayout,
        name: &str,
        (dtype, shape): (DType, Shape),
        init: Distribution,
        learning: Option<Learning>,
    ) -> StateId {
        if let Some(known) = self.pieces.iter().find(|known| known.name == name) {
            return known.value;
        }
        let value = layout.declare(format!("{}/{name}", self.prefix), dtype, shape);
        let buffer = learning.is_none();
        let learning = learning.unwrap_or(Learning::Frozen);
        self.pieces.push(Piece { name: name.into(), value, shape, init, learning, buffer });
        value
    }
}

/// Writes numbers into a piece of a floating-point type or of u32, which they are whole for.
fn write(state: &mut State, id: StateId, values: &[f64]) {
    match state.layout().entry(id).dtype {
        DType::U32 => state.get_mut::<u32>(id).iter_mut().zip(values).for_each(|(to, from)| *to = *from as u32),
        _ => state.set_f64(id, values),
    }
}

impl Lesson<'_> {
    /// A parameter of the method's own, of any shape, in the tape's float type.
    pub fn parameter(
        &mut self,
        tape: &mut Tape,
        name: &str,
        shape: impl Into<Shape>,
        init: Distribution,
        learning: Learning,
    ) -> ValueId {
        let id = self.parameter_state(name, shape.into(), init, learning);
        tape.state(self.layout, id)
    }

    /// As [`Lesson::parameter`]: where it is, for an [`super::Update`].
    pub fn parameter_state(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        init: Distribution,
        learning: Learning,
    ) -> StateId {
        let float = self.equipment.float;
        self.equipment.piece(self.layout, name, (float, shape.into()), init, Some(learning))
    }

    /// State that outlives the step and that no optimizer touches; saved in checkpoints. `dtype` is the tape's float type
    /// or u32.
    pub fn buffer(
        &mut self,
        tape: &mut Tape,
        name: &str,
        dtype: DType,
        shape: impl Into<Shape>,
        init: Distribution,
    ) -> ValueId {
        let id = self.equipment.piece(self.layout, name, (dtype, shape.into()), init, None);
        tape.state(self.layout, id)
    }

    /// The logits of a net that learns with the student, called `name`: `network` says which net it is and what it reads. A
    /// parity case gives the logits as `given/<name>/logits`.
    ///
    /// # Errors
    /// As `network` and the layers.
    pub fn module(
        &mut self,
        tape: &mut Tape,
        name: &str,
        network: impl FnOnce(&Self) -> Result<(Network, ValueId)>,
    ) -> Result<ValueId> {
        if let Some(logits) = self.given(&format!("{name}/logits")) {
            return Ok(logits);
        }
        let (network, input) = network(self)?;
        let model = self.equip(name, &network, Learning::WithStudent);
        Ok(model.record(tape, self.layout, input, Mode::Train, &[])?.logits)
    }

    /// The model of the method's own called `name`, declared where it is not known yet.
    pub(super) fn equip(&mut self, name: &str, network: &Network, learning: Learning) -> Model {
        if let Some((known, _)) = self.equipment.models.iter().find(|(model, _)| model.role == name) {
            return known.clone();
        }
        let Equipment { prefix, float, models, .. } = &mut *self.equipment;
        let model = Model::declare(self.layout, &format!("{prefix}/{name}"), name, network.clone(), *float);
        models.push((model.clone(), learning));
        model
    }

    /// A table of numbers that never change, in the tape's float type or u32; `name` is unique within the method.
    ///
    /// # Errors
    /// If there are more or fewer values than the shape has.
    pub fn constant(
        &mut self,
        tape: &mut Tape,
        name: &str,
        dtype: DType,
        shape: impl Into<Shape>,
        values: Vec<f64>,
    ) -> Result<ValueId> {
        let shape = shape.into();
        if values.len() != shape.count() {
            return Err(Error::failed(format!("the table {name} of shape {shape} comes with {} values", values.len())));
        }
        let id = self.equipment.table(self.layout, name, dtype, shape, values);
        Ok(tape.state(self.layout, id))
    }

    /// State of the tape's float type that is written and never read: where running statistics go that are not to move.
    pub fn scratch(&mut self, tape: &mut Tape, name: &str, shape: Shape) -> ValueId {
        let float = self.equipment.float;
        let id = self.equipment.table(self.layout, name, float, shape, vec![0.0; shape.count()]);
        tape.state(self.layout, id)
    }

    /// A list u32 `[list.len()]` of the method's own making, the same in every recording; no part of a checkpoint.
    pub fn table(&mut self, tape: &mut Tape, name: &str, list: Vec<u32>) -> ValueId {
        let shape = Shape::from([list.len()]);
        let values = list.into_iter().map(f64::from).collect();
        let id = self.equipment.table(self.layout, name, DType::U32, shape, values);
        tape.state(self.layout, id)
    }

    /// A constant of this shape that `how` computes from a mentor's parameters `from`; no part of a checkpoint.
    pub fn derived(
        &mut self,
        tape: &mut Tape,
        name: &str,
        shape: impl Into<Shape>,
        from: Vec<StateId>,
        how: fn(&[Vec<f64>]) -> Vec<f64>,
    ) -> ValueId {
        let Equipment { prefix, float, derived, .. } = &mut *self.equipment;
        let full = format!("{SET_BY_HOST}{prefix}/{name}");
        let known = derived.iter().map(|one| one.to).find(|id| self.layout.entry(*id).name == full);
        let id = known.unwrap_or_else(|| {
            let to = self.layout.declare(full, *float, shape);
            derived.push(Derived { to, from, how });
            to
        });
        tape.state(self.layout, id)
    }

    /// Lets a parameter of the student stay what a mentor's is.
    pub fn keep_copy(&mut self, of_student: StateId, of_mentor: StateId) {
        if !self.equipment.copies.contains(&(of_student, of_mentor)) {
            self.equipment.copies.push((of_student, of_mentor));
        }
    }
}
