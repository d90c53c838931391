//! Shapes and element types. Data lives in the tape's arena and state; see [`crate::tape`].

use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit floating point: training on the CPU.
    F32,
    /// 64-bit floating point: the numeric reference, and counters that must not round.
    F64,
    /// The upper half of a float32: activations and weights as a GPU stores them to compute faster.
    BF16,
    /// Bytes: images as they are stored.
    U8,
    /// 32-bit unsigned integers: labels, indices, counters.
    U32,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F64 => 8,
            DType::BF16 => 2,
            DType::U8 => 1,
        }
    }

    /// The type that sums, statistics, parameters and their gradients have beside activations of this type.
    pub fn accumulator(self) -> DType {
        match self {
            DType::BF16 => DType::F32,
            other => other,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::BF16 => "bf16",
            DType::U8 => "u8",
            DType::U32 => "u32",
        })
    }
}

/// Plain numbers that can be elements of a tensor.
pub trait Plain: bytemuck::Pod + Send + Sync + fmt::Debug + PartialEq {
    /// The element type this is.
    const DTYPE: DType;
}

impl Plain for f32 {
    const DTYPE: DType = DType::F32;
}
impl Plain for f64 {
    const DTYPE: DType = DType::F64;
}
impl Plain for half::bf16 {
    const DTYPE: DType = DType::BF16;
}
impl Plain for u8 {
    const DTYPE: DType = DType::U8;
}
impl Plain for u32 {
    const DTYPE: DType = DType::U32;
}

/// The extents of a tensor of up to four dimensions, outermost first. Activations are `[N, H, W, C]`, convolution
/// weights in memory `[KH, KW, C/groups, K]`, linear weights `[C, K]`, scalars `[]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    rank: u8,
    extents: [usize; 4],
}

impl Shape {
    /// A shape from its extents, outermost first.
    ///
    /// # Panics
    /// With more than four extents: a fault of the caller, never of a user's input.
    pub fn new(extents: &[usize]) -> Self {
        assert!(extents.len() <= 4, "a shape has at most four dimensions, got {extents:?}");
        let mut shape = Self { rank: extents.len() as u8, extents: [1; 4] };
        shape.extents[..extents.len()].copy_from_slice(extents);
        shape
    }

    /// The extents, outermost first.
    pub fn extents(&self) -> &[usize] {
        &self.extents[..usize::from(self.rank)]
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// Number of elements (1 for a scalar).
    pub fn count(&self) -> usize {
        self.extents().iter().product()
    }

    /// The innermost extent: channels of an activation, classes of logits (1 for a scalar).
    pub fn channels(&self) -> usize {
        self.extents().last().copied().unwrap_or(1)
    }

    /// Elements divided by channels: the rows of this tensor seen as a matrix `[rows, channels]`.
    pub fn rows(&self) -> usize {
        let extents = self.extents();
        extents[..extents.len().saturating_sub(1)].iter().product()
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = usize;

    fn index(&self, dimension: usize) -> &usize {
        &self.extents()[dimension]
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(extents: [usize; N]) -> Self {
        Self::new(&extents)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.extents())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.extents())
    }
}
