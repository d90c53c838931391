//! What a layer is, and the shape it makes of the shapes it is given.

/// Height, width and channels of one image's activations; the batch is left out.
pub type Map = [usize; 3];

/// What a layer computes. Activations are maps `[H, W, C]`; kernels are square.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerKind {
    /// The batch of images; always node 0, and only there.
    Input,
    /// Cross-correlation with zero padding, as `torch.nn.Conv2d`; weight `[out, in / groups, kernel, kernel]`.
    Conv2d {
        /// Output channels.
        out_channels: usize,
        /// Side of the square kernel.
        kernel: usize,
        /// Step between output positions.
        stride: usize,
        /// Zeros added on each side.
        padding: usize,
        /// Step between kernel taps.
        dilation: usize,
        /// Channel groups; `in_channels` for a depthwise convolution.
        groups: usize,
        /// Whether a bias per output channel is added.
        bias: bool,
    },
    /// Transposed convolution, as `torch.nn.ConvTranspose2d`; weight `[in, out, kernel, kernel]`.
    ConvTranspose2d {
        /// Output channels.
        out_channels: usize,
        /// Side of the square kernel.
        kernel: usize,
        /// Output positions from one input position to the next.
        stride: usize,
        /// Rows and columns taken away on each side of the output.
        padding: usize,
        /// Whether a bias per output channel is added.
        bias: bool,
    },
    /// Batch normalisation with scale and shift (Ioffe and Szegedy, 2015).
    BatchNorm {
        /// Added to the variance.
        eps: f64,
        /// Share of the new batch in the running statistics.
        momentum: f64,
    },
    /// `max(x, 0)`.
    Relu,
    /// Sum of two or more equal shapes.
    Add,
    /// Maximum over windows; padding never wins. The last window is dropped where it does not fit.
    MaxPool {
        /// Side of the window.
        kernel: usize,
        /// Step between windows.
        stride: usize,
        /// Rows and columns added on each side.
        padding: usize,
    },
    /// Mean over windows.
    AvgPool {
        /// Side of the window.
        kernel: usize,
        /// Step between windows.
        stride: usize,
        /// Zeros added on each side.
        padding: usize,
        /// Whether the padding counts in the divisor.
        count_include_pad: bool,
    },
    /// Mean over the whole map: `[H, W, C]` to `[1, 1, C]`.
    GlobalAvgPool,
    /// Mean over `out` x `out` cells that cover the map, as `torch.nn.AdaptiveAvgPool2d(out)`.
    AdaptiveAvgPool {
        /// Side of the output.
        out: usize,
    },
    /// Inputs one after the other along the channels.
    Concat,
    /// Channels `start .. start + len`.
    Slice {
        /// First channel.
        start: usize,
        /// Number of channels.
        len: usize,
    },
    /// Channels seen as `[groups, C / groups]` are transposed (Zhang et al., ShuffleNet, 2018).
    ChannelShuffle {
        /// Groups before the transposition.
        groups: usize,
    },
    /// The parameterless shortcut "option A" (He et al., 2016): every `stride`-th pixel, and channels padded with
    /// zeros to `out_channels`, half before and half after.
    OptionAShortcut {
        /// Output channels.
        out_channels: usize,
        /// Step between the pixels that are kept.
        stride: usize,
    },
    /// In training an element is zero with this probability, and the others are multiplied with `1 / (1 - probability)`
    /// (Srivastava et al., 2014); else nothing.
    Dropout {
        /// From 0 to below 1.
        probability: f64,
    },
    /// The whole map as channels of one pixel, in PyTorch's order: `[H, W, C]` to `[1, 1, C H W]`, channel by channel.
    Flatten,
    /// `x W^T + b` on a `[1, 1, C]` map; weight `[out, in]`.
    Linear {
        /// Output features.
        out_features: usize,
        /// Whether a bias is added.
        bias: bool,
    },
}

impl LayerKind {
    /// The kind's name as the error messages and the TOML language write it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv2d { .. } => "conv",
            Self::ConvTranspose2d { .. } => "conv_transpose",
            Self::BatchNorm { .. } => "batch_norm",
            Self::Relu => "relu",
            Self::Add => "add",
            Self::MaxPool { .. } => "max_pool",
            Self::AvgPool { .. } => "avg_pool",
            Self::GlobalAvgPool => "global_avg_pool",
            Self::AdaptiveAvgPool { .. } => "adaptive_avg_pool",
            Self::Concat => "concat",
            Self::Slice { .. } => "slice",
            Self::ChannelShuffle { .. } => "channel_shuffle",
            Self::OptionAShortcut { .. } => "option_a",
            Self::Dropout { .. } => "dropout",
            Self::Flatten => "flatten",
            Self::Linear { .. } => "linear",
        }
    }

    /// The output `[H, W, C]` for these inputs, or in words why there is none.
    pub fn output(&self, inputs: &[Map]) -> Result<Map, String> {
        let arity_holds = match self {
            Self::Input => inputs.is_empty(),
            Self::Add | Self::Concat => inputs.len() >= 2,
            _ => inputs.len() == 1,
        };
        if !arity_holds {
            return Err(format!("{} does not take {} inputs", self.word(), inputs.len()));
        }
        match *self {
            Self::Input => Err("the input's shape is the image's".into()),
            Self::Add => match inputs.iter().find(|map| **map != inputs[0]) {
                Some(other) => Err(format!("cannot add {} and {}", describe(inputs[0]), describe(*other))),
                None => Ok(inputs[0]),
            },
            Self::Concat => {
                let [height, width, _] = inputs[0];
                match inputs.iter().find(|map| map[..2] != inputs[0][..2]) {
                    Some(other) => Err(format!("cannot concatenate {} and {}", describe(inputs[0]), describe(*other))),
                    None => Ok([height, width, inputs.iter().map(|map| map[2]).sum()]),
                }
            }
            _ => self.output_of_one(inputs[0]),
        }
    }

    fn output_of_one(&self, input: Map) -> Result<Map, String> {
        let [height, width, channels] = input;
        match *self {
            Self::Conv2d { out_channels, kernel, stride, padding, dilation, groups, .. } => {
                positive(&[
                    ("out", out_channels),
                    ("kernel", kernel),
                    ("stride", stride),
                    ("dilation", dilation),
                    ("groups", groups),
                ])?;
                divides(groups, channels, "input channels")?;
                divides(groups, out_channels, "output channels")?;
                let reach = dilation.checked_mul(kernel - 1).and_then(|span| span.checked_add(1)).unwrap_or(usize::MAX);
                let [height, width] = windows(input, reach, stride, padding)?;
                Ok([height, width, out_channels])
            }
            Self::ConvTranspose2d { out_channels, kernel, stride, padding, .. } => {
                positive(&[("out", out_channels), ("kernel", kernel), ("stride", stride)])?;
                let size = |size: usize| {
                    let reach = (size - 1).checked_mul(stride)?.checked_add(kernel)?;
                    reach.checked_sub(padding.checked_mul(2)?).filter(|size| *size > 0)
                };
                match (size(height), size(width)) {
                    (Some(height), Some(width)) => Ok([height, width, out_channels]),
                    _ => Err(format!("of {} nothing is left with padding {padding}", describe(input))),
                }
            }
            Self::MaxPool { kernel, stride, padding } | Self::AvgPool { kernel, stride, padding, .. } => {
                positive(&[("kernel", kernel), ("stride", stride)])?;
                if padding > kernel / 2 {
                    return Err(format!("padding {padding} is more than half the window of {kernel}"));
                }
                let [height, width] = windows(input, kernel, stride, padding)?;
                Ok([height, width, channels])
            }
            Self::GlobalAvgPool => Ok([1, 1, channels]),
            Self::AdaptiveAvgPool { out } => {
                positive(&[("out", out)])?;
                Ok([out, out, channels])
            }
            Self::Slice { start, len } => {
                positive(&[("len", len)])?;
                match start.checked_add(len) {
                    Some(end) if end <= channels => Ok([height, width, len]),
                    _ => Err(format!("{len} channels from channel {start} on are not in {}", describe(input))),
                }
            }
            Self::ChannelShuffle { groups } => {
                positive(&[("groups", groups)])?;
                divides(groups, channels, "channels")?;
                Ok(input)
            }
            Self::OptionAShortcut { out_channels, stride } => {
                positive(&[("stride", stride)])?;
                match out_channels.checked_sub(channels) {
                    Some(added) if added.is_multiple_of(2) => {
                        Ok([height.div_ceil(stride), width.div_ceil(stride), out_channels])
                    }
                    _ => Err(format!("{channels} channels cannot be padded evenly on both sides to {out_channels}")),
                }
            }
            Self::Dropout { probability } => match (0.0..1.0).contains(&probability) {
                true => Ok(input),
                false => Err(format!("a probability of dropout is from 0 to below 1, not {probability}")),
            },
            Self::Flatten => match input.iter().try_fold(1usize, |product, size| product.checked_mul(*size)) {
                Some(features) => Ok([1, 1, features]),
                None => Err(format!("too large to be flattened: {}", describe(input))),
            },
            Self::Linear { out_features, .. } => {
                positive(&[("out", out_features)])?;
                match input {
                    [1, 1, _] => Ok([1, 1, out_features]),
                    _ => Err(format!("a linear layer takes a pooled or flattened 1x1 map, not {}", describe(input))),
                }
            }
            Self::BatchNorm { eps, momentum } => {
                if !(eps > 0.0 && eps.is_finite() && (0.0..=1.0).contains(&momentum)) {
                    return Err(format!("eps {eps} must be above 0 and momentum {momentum} from 0 to 1"));
                }
                Ok(input)
            }
            Self::Relu => Ok(input),
            Self::Input | Self::Add | Self::Concat => unreachable!("handled by `output`"),
        }
    }
}

/// A shape in words: `16 channels of 32x32`.
pub fn describe([height, width, channels]: Map) -> String {
    format!("{channels} channels of {height}x{width}")
}

fn positive(values: &[(&str, usize)]) -> Result<(), String> {
    match values.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(format!("{name} must be at least 1")),
        None => Ok(()),
    }
}

fn divides(groups: usize, channels: usize, what: &str) -> Result<(), String> {
    if channels.is_multiple_of(groups) {
        return Ok(());
    }
    Err(format!("{channels} {what} are not a multiple of {groups} groups"))
}

/// Output height and width of windows that reach over `reach` pixels.
fn windows([height, width, _]: Map, reach: usize, stride: usize, padding: usize) -> Result<[usize; 2], String> {
    let count = |size: usize| {
        let padded = padding.checked_mul(2).and_then(|both| both.checked_add(size))?;
        padded.checked_sub(reach).map(|rest| rest / stride + 1)
    };
    match (count(height), count(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err(format!(
            "the map has shrunk to {height}x{width}, where a window of {reach}x{reach} (padding {padding}) does not fit"
        )),
    }
}
