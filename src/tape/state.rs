//! What outlives a step: parameters, momenta, running statistics, the data set, counters.

use std::sync::Arc;

use super::frame::Region;
use super::memory::{Memory, aligned};
use super::mirror::Mirror;
use crate::error::Result;
use crate::gpu::Processor;
use crate::tensor::{DType, Plain, Shape};

/// A piece of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId(u32);

impl StateId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Name, type, shape and place of a piece of state.
#[derive(Clone, Debug)]
pub struct StateEntry {
    /// What it is; unique.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Shape,
    pub(super) place: (Region, usize),
}

impl StateEntry {
    /// Its size.
    pub fn bytes(&self) -> usize {
        self.shape.count() * self.dtype.size()
    }

    /// Whether it is shared and only read: no part of what a checkpoint holds.
    pub fn is_external(&self) -> bool {
        matches!(self.place.0, Region::External(_))
    }

    /// First byte within the state.
    pub(super) fn offset(&self) -> usize {
        self.place.1
    }
}

/// The list of all state, before and after it is allocated.
#[derive(Clone, Debug, Default)]
pub struct StateLayout {
    entries: Vec<StateEntry>,
    external: Vec<External>,
    bytes: usize,
}

/// Bytes that are shared and only read.
#[derive(Clone, Debug)]
pub(super) struct External(Arc<Vec<u8>>);

impl External {
    /// Its first byte; never to be written to.
    pub(super) fn start(&self) -> *mut u8 {
        self.0.as_ptr().cast_mut()
    }

    /// All of them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl StateLayout {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece of state, zero at the start.
    pub fn declare(&mut self, name: impl Into<String>, dtype: DType, shape: impl Into<Shape>) -> StateId {
        let place = (Region::State, self.bytes);
        let entry = StateEntry { name: name.into(), dtype, shape: shape.into(), place };
        // A byte of nobody's at least: who reads past a piece does not read the next one, and the simulator sees it.
        self.bytes += aligned(entry.bytes() + 1);
        self.entries.push(entry);
        StateId(self.entries.len() as u32 - 1)
    }

    /// Adds bytes that exist already and are only read: the images of a data set, which many states share.
    ///
    /// # Panics
    /// If the shape does not have as many elements as there are bytes: a fault of the caller.
    pub fn adopt(&mut self, name: impl Into<String>, shape: impl Into<Shape>, bytes: Arc<Vec<u8>>) -> StateId {
        let place = (Region::External(self.external.len()), 0);
        let entry = StateEntry { name: name.into(), dtype: DType::U8, shape: shape.into(), place };
        assert_eq!(entry.shape.count(), bytes.len(), "state {}", entry.name);
        self.external.push(External(bytes));
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

    /// Bytes of all pieces but the adopted ones.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Allocates it on the host.
    pub fn allocate(self) -> State {
        State { memory: Memory::new(self.bytes), layout: self, mirror: None }
    }

    /// Allocates it where `processor` computes; on a GPU a copy stays on the host.
    ///
    /// # Errors
    /// If the GPU has not so much memory.
    pub fn allocate_on(self, processor: &Processor) -> Result<State> {
        let mirror = processor.gpu().map(|device| Mirror::new(device, &self)).transpose()?;
        Ok(State { mirror, ..self.allocate() })
    }

    pub(super) fn external(&self) -> &[External] {
        &self.external
    }
}

/// State that is allocated. What a plan wrote on a GPU is brought to the host by [`State::fetch`] before it is read.
#[derive(Debug)]
pub struct State {
    layout: StateLayout,
    memory: Memory,
    mirror: Option<Mirror>,
}

impl State {
    /// Its description.
    pub fn layout(&self) -> &StateLayout {
        &self.layout
    }

    /// Brings pieces that a plan wrote on a GPU to the host. On the CPU they are there.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn fetch(&mut self, ids: &[StateId]) -> Result<()> {
        match &mut self.mirror {
            Some(mirror) => mirror.fetch(&self.layout, &mut self.memory, ids),
            None => Ok(()),
        }
    }

    /// Brings all pieces to the host.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn fetch_all(&mut self) -> Result<()> {
        let ids: Vec<StateId> = self.layout.entries().map(|(id, _)| id).collect();
        self.fetch(&ids)
    }

    /// A piece's bytes.
    ///
    /// # Panics
    /// If a plan wrote them on a GPU and nobody fetched them since: a fault of the caller.
    pub fn bytes(&self, id: StateId) -> &[u8] {
        let entry = self.layout.entry(id);
        let stale = self.mirror.as_ref().is_some_and(|mirror| mirror.is_host_stale(id));
        assert!(!stale, "state {} is read before it was fetched from the GPU", entry.name);
        let (region, offset) = entry.place;
        match region {
            Region::External(index) => &self.layout.external[index].0,
            _ => &self.memory.as_slice()[offset..offset + entry.bytes()],
        }
    }

    /// Sets all bytes of a piece to zero, whatever they were.
    pub fn clear(&mut self, id: StateId) {
        if let Some(mirror) = &mut self.mirror {
            mirror.written_by_host(id);
        }
        self.bytes_mut(id).fill(0);
    }

    /// A piece's bytes, to be changed.
    ///
    /// # Panics
    /// If it is adopted, and so only read, or a plan wrote it on a GPU and nobody fetched it since: a fault of the
    /// caller.
    pub fn bytes_mut(&mut self, id: StateId) -> &mut [u8] {
        let entry = self.layout.entry(id);
        assert!(!entry.is_external(), "{} is only read", entry.name);
        if let Some(mirror) = &mut self.mirror {
            assert!(!mirror.is_host_stale(id), "state {} is changed before it was fetched from the GPU", entry.name);
            mirror.written_by_host(id);
        }
        let range = entry.place.1..entry.place.1 + entry.bytes();
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

    /// Writes one element of a floating-point piece, rounded to what it holds.
    ///
    /// # Panics
    /// If there is no such element or it is not floating-point: a fault of the caller.
    pub fn set_f64_at(&mut self, id: StateId, index: usize, value: f64) {
        match self.layout.entry(id).dtype {
            DType::F32 => self.get_mut::<f32>(id)[index] = value as f32,
            DType::F64 => self.get_mut::<f64>(id)[index] = value,
            other => panic!("state {} is {other}, not floating-point", self.layout.entry(id).name),
        }
    }

    pub(super) fn memory_slice(&self) -> &[u8] {
        self.memory.as_slice()
    }

    /// The GPU's side, with what the host changed uploaded.
    ///
    /// # Panics
    /// If it is the host's alone: a fault of the caller.
    pub(super) fn pushed(&mut self) -> Result<&mut Mirror> {
        let mirror = self.mirror.as_mut().expect("a plan for a GPU was given state on the host");
        mirror.push(&self.layout, &self.memory)?;
        Ok(mirror)
    }

    /// The GPU's side.
    pub(super) fn mirror(&self) -> Option<&Mirror> {
        self.mirror.as_ref()
    }

    pub(super) fn external(&self) -> &[External] {
        &self.layout.external
    }

    pub(super) fn start(&mut self) -> *mut u8 {
        self.memory.start()
    }
}
