//! The shape of a convolution.

use std::fmt;

use crate::error::{Error, Result};

/// The shape of a two-dimensional convolution over activations `[N, H, W, C]` with weights `[KH, KW, C/groups, K]`.
/// Make it with [`Conv2dGeometry::checked`], which refuses what has no output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dGeometry {
    /// Images, N.
    pub batch: usize,
    /// Input rows, H.
    pub height: usize,
    /// Input columns, W.
    pub width: usize,
    /// Input channels, C.
    pub in_channels: usize,
    /// Output channels, K.
    pub out_channels: usize,
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Input rows and columns from one output to the next.
    pub stride: [usize; 2],
    /// Zero rows and columns on each side of the input.
    pub padding: [usize; 2],
    /// Input rows and columns from one kernel tap to the next.
    pub dilation: [usize; 2],
    /// Independent groups that channels are cut into.
    pub groups: usize,
}

impl fmt::Display for Conv2dGeometry {
    /// `64x32x32x16 3x3x16x32 stride 1x1 padding 1x1 dilation 1x1 groups 1`: the input, the weights.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, height, width, in_channels, out_channels, kernel, stride, padding, dilation, groups } = self;
        let per_group = self.channels_per_group();
        write!(f, "{batch}x{height}x{width}x{in_channels} {}x{}x{per_group}x{out_channels}", kernel[0], kernel[1])?;
        for (name, [rows, columns]) in [("stride", stride), ("padding", padding), ("dilation", dilation)] {
            write!(f, " {name} {rows}x{columns}")?;
        }
        write!(f, " groups {groups}")
    }
}

impl Conv2dGeometry {
    /// This geometry, if it describes a convolution with an output.
    ///
    /// # Errors
    /// A zero extent, channels that groups do not divide, a kernel larger than the padded input, or a tensor of more
    /// than 2³² elements.
    pub fn checked(self) -> Result<Self> {
        let named = [
            ("batch", self.batch),
            ("height", self.height),
            ("width", self.width),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("kernel", self.kernel[0].min(self.kernel[1])),
            ("stride", self.stride[0].min(self.stride[1])),
            ("dilation", self.dilation[0].min(self.dilation[1])),
            ("groups", self.groups),
        ];
        if let Some((name, _)) = named.into_iter().find(|(_, extent)| *extent == 0) {
            return Err(Error::request(format!("convolution: {name} must be at least 1, got 0 in {self:?}")));
        }
        for (name, channels) in [("input", self.in_channels), ("output", self.out_channels)] {
            if !channels.is_multiple_of(self.groups) {
                return Err(Error::request(format!(
                    "convolution: {channels} {name} channels cannot be cut into {} equal groups",
                    self.groups
                )));
            }
        }
        for (axis, name, extent) in [(0, "height", self.height), (1, "width", self.width)] {
            let (reach, padded) = (self.reach(axis), extent.saturating_add(2 * self.padding[axis]));
            if reach > padded {
                return Err(Error::request(format!(
                    "convolution: a kernel of {} with dilation {} spans {reach}, more than the padded {name} {padded}",
                    self.kernel[axis], self.dilation[axis]
                )));
            }
        }
        let fits = |extents: &[usize]| {
            let product = extents.iter().try_fold(1usize, |product, extent| product.checked_mul(*extent));
            product.is_some_and(|product| u32::try_from(product).is_ok())
        };
        let [rows, columns] = self.output();
        if !fits(&[self.batch, self.height, self.width, self.in_channels])
            || !fits(&[self.batch, rows, columns, self.out_channels])
            || !fits(&[self.kernel[0], self.kernel[1], self.in_channels, self.out_channels])
        {
            return Err(Error::request(format!("convolution: a tensor of {self:?} has more than 2^32 elements")));
        }
        Ok(self)
    }

    /// A linear layer from `in_channels` to `out_channels` over `batch` rows.
    pub fn linear(batch: usize, in_channels: usize, out_channels: usize) -> Self {
        Self {
            batch,
            height: 1,
            width: 1,
            in_channels,
            out_channels,
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        }
    }

    /// Input extent that one output sees along `axis`.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1).saturating_mul(self.dilation[axis]).saturating_add(1)
    }

    /// Output rows and columns.
    pub fn output(&self) -> [usize; 2] {
        let extent =
            |axis: usize, input: usize| (input + 2 * self.padding[axis] - self.reach(axis)) / self.stride[axis] + 1;
        [extent(0, self.height), extent(1, self.width)]
    }

    /// Input channels that one output channel sees, C/groups.
    pub fn channels_per_group(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of one group, K/groups.
    pub fn outputs_per_group(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Elements of the input `[N, H, W, C]`.
    pub fn input_count(&self) -> usize {
        self.batch * self.height * self.width * self.in_channels
    }

    /// Elements of the output `[N, OH, OW, K]`.
    pub fn output_count(&self) -> usize {
        let [rows, columns] = self.output();
        self.batch * rows * columns * self.out_channels
    }

    /// Elements of the weights `[KH, KW, C/groups, K]`.
    pub fn weight_count(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels_per_group() * self.out_channels
    }

    /// Multiply-adds of one pass, those with padding included, as papers count them.
    pub fn macs(&self) -> usize {
        self.output_count() * self.kernel[0] * self.kernel[1] * self.channels_per_group()
    }

    /// Whether every input pixel meets every output pixel of its own place only: a matrix product over pixels.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// Whether every channel has a kernel of its own.
    pub(super) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels && self.groups == self.out_channels
    }

    /// The same work where one exists with every pixel an image of its own, so that pixels can be cut anywhere.
    pub(super) fn flattened(self) -> Self {
        if !self.is_pointwise() {
            return self;
        }
        Self { batch: self.batch * self.height * self.width, height: 1, width: 1, ..self }
    }
}
