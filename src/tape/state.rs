//! What outlives a step: parameters, momenta, running statistics, the data set, counters.

use super::memory::{Memory, aligned};
use crate::tensor::{DType, Plain, Shape};

/// A piece of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId(u32);

/// Name, type, shape and place of a piece of state.
#[derive(Clone, Debug)]
pub struct StateEntry {
    /// What it is; unique.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Shape,
    pub(crate) offset: usize,
}

impl StateEntry {
    /// Its size.
    pub fn bytes(&self) -> usize {
        self.shape.count() * self.dtype.size()
    }
}

/// The list of all state, before and after it is allocated.
#[derive(Clone, Debug, Default)]
pub struct StateLayout {
    entries: Vec<StateEntry>,
    bytes: usize,
}

impl StateLayout {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece of state, zero at the start.
    pub fn declare(&mut self, name: impl Into<String>, dtype: DType, shape: impl Into<Shape>) -> StateId {
        let entry = StateEntry { name: name.into(), dtype, shape: shape.into(), offset: self.bytes };
        self.bytes += aligned(entry.bytes());
        self.entries.push(entry);
        StateId(self.entries.len() as u32 - 1)
    }

    /// A piece's description.
    pub fn entry(&self, id: StateId) -> &StateEntry {
        &self.entries[id.0 as usize]
    }

    /// All pieces, in the order they were declared.
    pub fn entries(&self) -> impl Iterator<Item = (StateId, &StateEntry)> {
        self.entries.iter().enumerate().map(|(index, entry)| (StateId(index as u32), entry))
    }

    /// Bytes of all pieces.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Allocates it.
    pub fn allocate(self) -> State {
        State { memory: Memory::new(self.bytes), layout: self }
    }
}

/// State that is allocated.
#[derive(Debug)]
pub struct State {
    layout: StateLayout,
    memory: Memory,
}

impl State {
    /// Its description.
    pub fn layout(&self) -> &StateLayout {
        &self.layout
    }

    /// A piece's bytes.
    pub fn bytes(&self, id: StateId) -> &[u8] {
        let entry = self.layout.entry(id);
        &self.memory.as_slice()[entry.offset..entry.offset + entry.bytes()]
    }

    /// A piece's bytes, to be changed.
    pub fn bytes_mut(&mut self, id: StateId) -> &mut [u8] {
        let entry = self.layout.entry(id);
        let range = entry.offset..entry.offset + entry.bytes();
        &mut self.memory.as_mut_slice()[range]
    }

    /// A piece's elements.
    ///
    /// # Panics
    /// If it is not of type `T`: a fault of the caller.
    pub fn get<T: Plain>(&self, id: StateId) -> &[T] {
        assert_eq!(self.layout.entry(id).dtype, T::DTYPE, "state {}", self.layout.entry(id).name);
        bytemuck::cast_slice(self.bytes(id))
    }

    /// A piece's elements, to be changed.
    ///
    /// # Panics
    /// If it is not of type `T`: a fault of the caller.
    pub fn get_mut<T: Plain>(&mut self, id: StateId) -> &mut [T] {
        assert_eq!(self.layout.entry(id).dtype, T::DTYPE, "state {}", self.layout.entry(id).name);
        bytemuck::cast_slice_mut(self.bytes_mut(id))
    }

    /// A floating-point piece's elements in f64, whatever it holds.
    ///
    /// # Panics
    /// If it is not floating-point: a fault of the caller.
    pub fn to_f64(&self, id: StateId) -> Vec<f64> {
        match self.layout.entry(id).dtype {
            DType::F32 => self.get::<f32>(id).iter().map(|x| f64::from(*x)).collect(),
            DType::F64 => self.get::<f64>(id).to_vec(),
            other => panic!("state {} is {other}, not floating-point", self.layout.entry(id).name),
        }
    }

    /// Writes f64 elements into a floating-point piece, rounded to what it holds.
    ///
    /// # Panics
    /// If the count differs or it is not floating-point: a fault of the caller.
    pub fn set_f64(&mut self, id: StateId, values: &[f64]) {
        assert_eq!(self.layout.entry(id).shape.count(), values.len(), "state {}", self.layout.entry(id).name);
        match self.layout.entry(id).dtype {
            DType::F32 => {
                self.get_mut::<f32>(id).iter_mut().zip(values).for_each(|(to, from)| *to = *from as f32);
            }
            DType::F64 => self.get_mut::<f64>(id).copy_from_slice(values),
            other => panic!("state {} is {other}, not floating-point", self.layout.entry(id).name),
        }
    }

    pub(super) fn memory_slice(&self) -> &[u8] {
        self.memory.as_slice()
    }

    pub(super) fn start(&mut self) -> *mut u8 {
        self.memory.start()
    }
}
