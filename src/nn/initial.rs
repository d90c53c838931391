//! How weights start: the rule a family names, the distribution it means for one parameter, and the draw.

use crate::random::Philox;

/// A rule that gives every weight of one kind of layer its distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// N(0, 2 / fan_out), fan_out = out k k (He et al., 2015): `torch.nn.init.kaiming_normal_(mode="fan_out")`.
    KaimingNormalFanOut,
    /// N(0, 2 / fan_in), fan_in = in / groups k k: `torch.nn.init.kaiming_normal_` as it is.
    KaimingNormalFanIn,
    /// U(-b, b), b = 1 / sqrt(fan_in): what PyTorch does when nothing is said, for weights and biases.
    UniformFanIn,
    /// U(-b, b), b = sqrt(3 / fan_in): `torch.nn.init.kaiming_uniform_(a=1)`.
    KaimingUniformFanIn,
    /// N(0, std^2).
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// 0.
    Zeros,
    /// 1.
    Ones,
}

impl Rule {
    /// What the rule means for the layer whose weight has this shape (`[out, in / groups, k, k]` or `[out, in]`).
    pub fn distribution(self, weight_shape: &[usize]) -> Distribution {
        let window: usize = weight_shape[2..].iter().product();
        let fan_out = (weight_shape[0] * window) as f64;
        let fan_in = (weight_shape[1] * window) as f64;
        match self {
            Self::KaimingNormalFanOut => Distribution::Normal { std: (2.0 / fan_out).sqrt() },
            Self::KaimingNormalFanIn => Distribution::Normal { std: (2.0 / fan_in).sqrt() },
            Self::UniformFanIn => Distribution::Uniform { bound: 1.0 / fan_in.sqrt() },
            Self::KaimingUniformFanIn => Distribution::Uniform { bound: (3.0 / fan_in).sqrt() },
            Self::Normal { std } => Distribution::Normal { std },
            Self::Zeros => Distribution::Constant { value: 0.0 },
            Self::Ones => Distribution::Constant { value: 1.0 },
        }
    }
}

/// The rules of one net. BatchNorm always starts at shift 0, mean 0, variance 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Initialisation {
    /// Weights of convolutions.
    pub conv_weight: Rule,
    /// Biases of convolutions.
    pub conv_bias: Rule,
    /// Weights of linear layers.
    pub linear_weight: Rule,
    /// Biases of linear layers.
    pub linear_bias: Rule,
    /// Scales of BatchNorm.
    pub norm_scale: Distribution,
}

impl Default for Initialisation {
    /// PyTorch's own.
    fn default() -> Self {
        let rule = Rule::UniformFanIn;
        let norm_scale = Distribution::Constant { value: 1.0 };
        Self { conv_weight: rule, conv_bias: rule, linear_weight: rule, linear_bias: rule, norm_scale }
    }
}

/// What the elements of one parameter are drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Normal.
    NormalAround {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// Largest absolute value.
        bound: f64,
    },
    /// Always `value`.
    Constant {
        /// The value.
        value: f64,
    },
}

impl Distribution {
    /// Draws `count` elements of the parameter with this index in [`Network::parameters`](super::Network::parameters).
    ///
    /// `generator` is that of [`Stream::Weights`](crate::random::Stream::Weights); its counter is (parameter, element),
    /// so a weight depends on nothing else.
    pub fn sample(self, parameter: usize, count: usize, generator: &Philox) -> Vec<f32> {
        let draw = |element: usize| {
            let (major, minor) = (parameter as u64, element as u64);
            match self {
                Self::Normal { std } => std * generator.normal(major, minor),
                Self::NormalAround { mean, std } => mean + std * generator.normal(major, minor),
                Self::Uniform { bound } => bound * (2.0 * generator.uniform(major, minor) - 1.0),
                Self::Constant { value } => value,
            }
        };
        (0..count).map(|element| draw(element) as f32).collect()
    }
}
