//! What an operation sees while it lists its kernels for a GPU: shapes and places, no data.
//!
//! A launch is symbolic: its pointers are places in the arena or the state. They become addresses when a plan meets the
//! memory it runs in, once; a replay only walks the list.

use super::frame::{Region, Slot};
use crate::tensor::{DType, Shape};

/// Bytes in memory that a kernel may touch.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub(crate) region: Region,
    pub(crate) offset: usize,
    /// How many bytes.
    pub bytes: usize,
    /// Whether the kernel may write there.
    pub writable: bool,
    /// Whose bytes these are, for reports of faults.
    pub label: String,
}

/// A parameter of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// A pointer.
    Pointer(Place),
    /// An unsigned integer of 32 bits.
    U32(u32),
    /// A float32.
    F32(f32),
    /// A 64-bit unsigned integer.
    U64(u64),
    /// A structure by value whose members have 4 bytes each.
    Structure(Box<[u8]>),
    /// A pointer to constant bytes, made by [`Launcher::constant`].
    Constant(usize),
    /// A pointer to a table of 8-byte words, made by [`Launcher::table`].
    Table(usize),
}

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<usize> for Argument {
    /// # Panics
    /// If the number has more than 32 bits; tensors have fewer elements.
    fn from(value: usize) -> Self {
        Self::U32(u32::try_from(value).expect("tensors have less than 2^32 elements"))
    }
}

impl From<f64> for Argument {
    /// A float64 fills the 8 bytes of a 64-bit integer.
    fn from(value: f64) -> Self {
        Self::U64(value.to_bits())
    }
}

impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

/// One kernel with its grid and parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: String,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Its parameters in order.
    pub arguments: Vec<Argument>,
}

/// What the launches of one planned node share.
#[derive(Debug)]
pub struct Launcher<'a> {
    pub(super) name: &'static str,
    pub(super) inputs: &'a [Slot],
    pub(super) outputs: &'a [Slot],
    pub(super) workspace: Slot,
    pub(super) in_place: Option<(usize, usize)>,
    pub(super) variant: usize,
    pub(super) launches: Vec<Launch>,
    pub(super) constants: Vec<Vec<u8>>,
    pub(super) tables: Vec<Vec<Argument>>,
}

impl Launcher<'_> {
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

    /// Whether the pair of [`super::Operation::in_place`] is one buffer here. Both pointers are given as ever; they are
    /// equal.
    pub fn is_in_place(&self) -> bool {
        self.in_place.is_some()
    }

    /// Which of [`super::Operation::variants`] was chosen; 0 where there are none.
    pub fn variant(&self) -> usize {
        self.variant
    }

    /// A pointer to an input, to be read. An input that is one buffer with an output is read through the same address.
    pub fn input(&self, index: usize) -> Argument {
        self.pointer(&self.inputs[index], false, format!("input {index} of {}", self.name))
    }

    /// A pointer to an output, to be written. What it holds before is undefined, except for state and in place.
    pub fn output(&self, index: usize) -> Argument {
        self.pointer(&self.outputs[index], true, format!("output {index} of {}", self.name))
    }

    /// A pointer to `bytes` bytes of the workspace from byte `offset` on. Offsets are multiples of 16 where a kernel
    /// moves packs of 16 bytes.
    ///
    /// # Panics
    /// If [`super::Operation::gpu_workspace`] asked for less: a fault of the operation.
    pub fn workspace(&self, offset: usize, bytes: usize) -> Argument {
        let size = self.workspace.shape.count();
        assert!(offset + bytes <= size, "{}: bytes {offset}..+{bytes} of a workspace of {size}", self.name);
        Argument::Pointer(Place {
            region: self.workspace.region,
            offset: self.workspace.offset + offset,
            bytes,
            writable: true,
            label: format!("workspace of {}", self.name),
        })
    }

    /// A pointer to constant bytes, uploaded once.
    pub fn constant(&mut self, bytes: &[u8]) -> Argument {
        self.constants.push(bytes.to_vec());
        Argument::Constant(self.constants.len() - 1)
    }

    /// A pointer to a table of 8-byte words, one per argument (a pointer, or a number that fills the lower bytes):
    /// for kernels over many buffers at once.
    pub fn table(&mut self, words: Vec<Argument>) -> Argument {
        self.tables.push(words);
        Argument::Table(self.tables.len() - 1)
    }

    /// Adds a launch of `kernel` on `grid` blocks (x, y, z) of `block` threads.
    pub fn launch(&mut self, kernel: impl Into<String>, grid: [usize; 3], block: u32, arguments: Vec<Argument>) {
        let grid = grid.map(|extent| u32::try_from(extent).expect("a grid has less than 2^31 blocks"));
        self.push(Launch { kernel: kernel.into(), grid, block: [block, 1, 1], shared: 0, arguments });
    }

    /// Adds a launch.
    pub fn push(&mut self, launch: Launch) {
        self.launches.push(launch);
    }

    /// What is undefined before the first launch: outputs that are not updated, and the workspace.
    pub(super) fn undefined(&self) -> Vec<Place> {
        let updated = self.in_place.map(|(output, _)| output);
        let outputs = self.outputs.iter().enumerate();
        let outputs = outputs.filter(|(index, slot)| slot.region == Region::Arena && updated != Some(*index));
        let whole = |slot: &Slot| Place {
            region: slot.region,
            offset: slot.offset,
            bytes: slot.shape.count() * slot.dtype.size(),
            writable: true,
            label: String::new(),
        };
        outputs.map(|(_, slot)| whole(slot)).chain([whole(&self.workspace)]).filter(|place| place.bytes > 0).collect()
    }

    fn pointer(&self, slot: &Slot, writable: bool, label: String) -> Argument {
        let bytes = slot.shape.count() * slot.dtype.size();
        Argument::Pointer(Place { region: slot.region, offset: slot.offset, bytes, writable, label })
    }
}
