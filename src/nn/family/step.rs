//! What stands between the brackets of `layers = [...]`, read and checked once, expanded for every build.

use std::ops::Range;

use super::expression::Expression;

/// One entry of a list of layers.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands.
    pub span: Range<usize>,
    /// Left out where this is false.
    pub when: Option<Term>,
    /// What it does to the current value.
    pub action: Action,
}

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub struct Term {
    /// To be evaluated.
    pub expression: Expression,
    /// The bytes of its TOML value.
    pub span: Range<usize>,
}

/// Text with `{expression}` in it.
#[derive(Clone, Debug)]
pub struct Template {
    /// Literal text and expressions in turn.
    pub pieces: Vec<Piece>,
    /// The bytes of its TOML value.
    pub span: Range<usize>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// The value of an expression.
    Hole(Expression),
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// A convolution.
    Conv {
        /// Module name.
        name: Template,
        /// Output channels.
        out: Term,
        /// Side of the kernel.
        kernel: Term,
        /// 1 unless given.
        stride: Option<Term>,
        /// Half of the kernel's reach unless given.
        padding: Option<Term>,
        /// 1 unless given.
        dilation: Option<Term>,
        /// 1 unless given.
        groups: Option<Term>,
        /// False unless given.
        bias: Option<Term>,
    },
    /// A transposed convolution.
    ConvTranspose {
        /// Module name.
        name: Template,
        /// Output channels.
        out: Term,
        /// Side of the kernel.
        kernel: Term,
        /// 1 unless given.
        stride: Option<Term>,
        /// 0 unless given.
        padding: Option<Term>,
        /// False unless given.
        bias: Option<Term>,
    },
    /// A BatchNorm.
    BatchNorm {
        /// Module name.
        name: Template,
        /// Added to the variance.
        eps: f64,
        /// Share of the new batch.
        momentum: f64,
    },
    /// A fully connected layer.
    Linear {
        /// Module name.
        name: Template,
        /// Output features.
        out: Term,
        /// True unless given.
        bias: Option<Term>,
    },
    /// ReLU.
    Relu,
    /// Dropout.
    Dropout {
        /// How likely an element is zero.
        probability: f64,
    },
    /// The map as one pixel.
    Flatten,
    /// Mean over the map.
    GlobalAvgPool,
    /// Mean over a grid of cells.
    AdaptiveAvgPool {
        /// Side of the grid.
        out: Term,
    },
    /// Maximum or mean over windows.
    Pool {
        /// Which of the two.
        mean: bool,
        /// Side of the window.
        kernel: Term,
        /// The kernel unless given.
        stride: Option<Term>,
        /// 0 unless given.
        padding: Option<Term>,
        /// Whether padding counts in a mean; true unless given.
        count_include_pad: Option<Term>,
    },
    /// Some of the channels.
    Slice {
        /// First channel.
        start: Term,
        /// How many.
        len: Term,
    },
    /// Channel shuffle.
    ChannelShuffle {
        /// Groups before the transposition.
        groups: Term,
    },
    /// The parameterless shortcut.
    OptionA {
        /// Output channels.
        out: Term,
        /// Step between the pixels kept.
        stride: Term,
    },
    /// Branches that all start at the current value, summed or concatenated.
    Join {
        /// Concatenated instead of summed.
        concat: bool,
        /// The branches; an empty one is the value itself.
        branches: Vec<Vec<Step>>,
    },
    /// Steps under one name or one condition.
    Layers {
        /// Goes before the names within.
        name: Option<Template>,
        /// The steps.
        layers: Vec<Step>,
    },
    /// The same steps several times.
    Repeat {
        /// How often.
        count: Term,
        /// The counter's name; it counts from 0.
        counter: Option<String>,
        /// The steps.
        layers: Vec<Step>,
    },
    /// The steps of a block.
    Block {
        /// Which block.
        block: Template,
        /// Goes before the names within.
        name: Option<Template>,
        /// What it is given.
        arguments: Vec<(String, Range<usize>, Term)>,
    },
    /// Gives the current value a name within the block.
    Mark(String),
    /// Goes on from a marked value.
    From(String),
    /// Names the current value as a feature.
    Tap(Template),
}

/// A named list of steps with arguments.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its name.
    pub name: String,
    /// The arguments it takes, all of them needed.
    pub takes: Vec<String>,
    /// Its steps.
    pub layers: Vec<Step>,
}
