//! What an operation sees while it runs: its inputs, outputs and workspace as slices.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use super::state::External;
use crate::tensor::{DType, Plain, Shape};

/// Which block of memory a value is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    Arena,
    State,
    /// A block of its own, read only: the data set.
    External(usize),
}

/// Where a value of a planned node is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub region: Region,
    pub offset: usize,
    pub dtype: DType,
    pub shape: Shape,
}

// SAFETY: the pointers are addresses of memory that outlives the frame, and what they point to is handed out by the rules
// of the methods: inputs shared, each output once.
unsafe impl Sync for Frame<'_> {}

/// One node's view of memory during a replay.
#[derive(Debug)]
pub struct Frame<'a> {
    pub(super) inputs: &'a [Slot],
    pub(super) outputs: &'a [Slot],
    pub(super) workspace: Slot,
    pub(super) in_place: Option<(usize, usize)>,
    pub(super) arena: *mut u8,
    pub(super) state: *mut u8,
    pub(super) external: &'a [External],
    /// Bits of the outputs (and bit 63 for the workspace) that were handed out: each is handed out once.
    pub(super) taken: AtomicU64,
    pub(super) lifetime: PhantomData<&'a mut u8>,
}

impl<'a> Frame<'a> {
    /// Element type of an input.
    pub fn input_dtype(&self, index: usize) -> DType {
        self.inputs[index].dtype
    }

    /// Element type of an output.
    pub fn output_dtype(&self, index: usize) -> DType {
        self.outputs[index].dtype
    }

    /// Shape of an input.
    pub fn input_shape(&self, index: usize) -> Shape {
        self.inputs[index].shape
    }

    /// Shape of an output.
    pub fn output_shape(&self, index: usize) -> Shape {
        self.outputs[index].shape
    }

    /// How many inputs there are.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// How many outputs there are.
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// Whether the pair of [`super::Operation::in_place`] is one buffer here: read the input through the output.
    pub fn is_in_place(&self) -> bool {
        self.in_place.is_some()
    }

    /// The elements of an input.
    ///
    /// # Panics
    /// If it is not of type `T`, or shares its buffer with an output ([`Frame::is_in_place`]).
    pub fn input<T: Plain>(&self, index: usize) -> &'a [T] {
        assert!(self.in_place.is_none_or(|(_, input)| input != index), "input {index} is updated in place");
        let slot = &self.inputs[index];
        // SAFETY: the plan gave this value a range that no output of this node shares, checked above for the one
        // exception, and that is initialised and aligned; the type is checked.
        unsafe { std::slice::from_raw_parts(self.start::<T>(slot), slot.shape.count()) }
    }

    /// Where an input starts, also if it shares its buffer with an output.
    ///
    /// # Panics
    /// If it is not of type `T`.
    pub fn input_ptr<T: Plain>(&self, index: usize) -> *const T {
        self.start::<T>(&self.inputs[index])
    }

    /// The elements of an output; what they hold before is undefined, except for state and in-place outputs.
    ///
    /// # Panics
    /// If it is not of type `T`, or was handed out before.
    #[allow(clippy::mut_from_ref)]
    pub fn output<T: Plain>(&self, index: usize) -> &'a mut [T] {
        self.take(index);
        let slot = &self.outputs[index];
        // SAFETY: the plan gave this value a range of its own; `take` hands it out once.
        unsafe { std::slice::from_raw_parts_mut(self.start::<T>(slot), slot.shape.count()) }
    }

    /// Where an output starts, for operations that share it out in pieces of their own.
    ///
    /// # Panics
    /// If it is not of type `T`.
    pub fn output_ptr<T: Plain>(&self, index: usize) -> *mut T {
        self.start::<T>(&self.outputs[index])
    }

    /// The workspace as elements of `T`: what [`super::Operation::workspace`] asked for.
    ///
    /// # Panics
    /// If it was handed out before.
    #[allow(clippy::mut_from_ref)]
    pub fn workspace<T: Plain>(&self) -> &'a mut [T] {
        self.take(63);
        let count = self.workspace.shape.count() / std::mem::size_of::<T>();
        // SAFETY: the plan gave the workspace a range of its own, aligned for any element; `take` hands it out once.
        unsafe { std::slice::from_raw_parts_mut(self.arena.add(self.workspace.offset).cast::<T>(), count) }
    }

    fn take(&self, bit: usize) {
        let mask = 1u64 << bit;
        let before = self.taken.fetch_or(mask, Ordering::Relaxed);
        assert!(before & mask == 0, "output {bit} is handed out once");
    }

    fn start<T: Plain>(&self, slot: &Slot) -> *mut T {
        assert_eq!(slot.dtype, T::DTYPE, "a value of {} is read as {}", slot.dtype, T::DTYPE);
        let base = match slot.region {
            Region::Arena => self.arena,
            Region::State => self.state,
            // Never written: a plan refuses external outputs.
            Region::External(index) => self.external[index].start(),
        };
        // SAFETY: the plan's offsets lie inside the arena and the state.
        unsafe { base.add(slot.offset).cast::<T>() }
    }
}

/// Runs `$body` with `$type` bound to f32 or f64, as `$dtype` says.
#[macro_export]
macro_rules! with_float {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype {
            $crate::tensor::DType::F32 => {
                type $type = f32;
                $body
            }
            $crate::tensor::DType::F64 => {
                type $type = f64;
                $body
            }
            other => panic!("{other} is not a floating-point type"),
        }
    };
}
