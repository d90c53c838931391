//! A network as data: layers in topological order, the features other code may ask for, and what follows from them.

use super::initial::{Distribution, Initialisation};
use super::layer::{LayerKind, Map};

/// One node of a [`Network`].
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// PyTorch's module path, such as `layer1.0.conv1`; empty for layers without parameters.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// The nodes it reads, each before it in [`Network::nodes`].
    pub inputs: Vec<usize>,
    /// Output `[H, W, C]`.
    pub shape: Map,
}

/// A whole net for one image size and number of classes.
///
/// Node 0 is the image. Every layer stands alone (convolution, BatchNorm, ReLU and Add are four nodes), so whoever
/// fuses them sees from [`Network::consumers`] alone where that is allowed. A tap may hang on nodes that the logits do
/// not need; [`Network::needed`] tells which nodes a given set of outputs asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The model's name.
    pub name: String,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Height of the image in pixels.
    pub height: usize,
    /// Width of the image in pixels.
    pub width: usize,
    /// The layers; every layer's inputs come before it.
    pub nodes: Vec<Layer>,
    /// Features by name (`f0`, `f1`, ..., `f1pre`, ...) and the node that makes them, sorted by name.
    pub taps: Vec<(String, usize)>,
    /// The node that makes the logits, `[1, 1, classes]`.
    pub logits: usize,
    /// How weights start.
    pub init: Initialisation,
}

/// What a parameter is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Weight of a convolution `[out, in / groups, k, k]` or of a linear layer `[out, in]`.
    Weight,
    /// Bias of a convolution or a linear layer.
    Bias,
    /// Scale of a BatchNorm (PyTorch calls it `weight`).
    Gamma,
    /// Shift of a BatchNorm (PyTorch calls it `bias`).
    Beta,
    /// Running mean of a BatchNorm.
    RunningMean,
    /// Running variance of a BatchNorm.
    RunningVar,
}

impl Role {
    /// The last part of the parameter's name in a PyTorch state dict.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Weight | Self::Gamma => "weight",
            Self::Bias | Self::Beta => "bias",
            Self::RunningMean => "running_mean",
            Self::RunningVar => "running_var",
        }
    }

    /// Whether the optimizer changes it; running statistics are buffers.
    pub fn trainable(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVar)
    }
}

/// One entry of the state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Name in a PyTorch state dict, such as `layer1.0.conv1.weight`.
    pub name: String,
    /// Shape in PyTorch's order (`[out, in / groups, k, k]`, transposed `[in, out, k, k]`, `[out, in]`, `[C]`).
    pub shape: Vec<usize>,
    /// What it is to its layer.
    pub role: Role,
    /// Whether the optimizer changes it.
    pub trainable: bool,
    /// What its elements are drawn from at the start.
    pub init: Distribution,
    /// The node it belongs to.
    pub layer: usize,
}

impl Parameter {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Network {
    /// Parameters and running statistics in the order of PyTorch's state dict (without `num_batches_tracked`).
    pub fn parameters(&self) -> Vec<Parameter> {
        (0..self.nodes.len()).flat_map(|index| self.parameters_of(index)).collect()
    }

    fn parameters_of(&self, index: usize) -> Vec<Parameter> {
        let layer = &self.nodes[index];
        let make = |role: Role, shape: Vec<usize>, init: Distribution| Parameter {
            name: format!("{}.{}", layer.name, role.suffix()),
            shape,
            role,
            trainable: role.trainable(),
            init,
            layer: index,
        };
        let input_channels = || self.nodes[layer.inputs[0]].shape[2];
        match layer.kind {
            LayerKind::Conv2d { out_channels, kernel, groups, bias, .. } => {
                let shape = vec![out_channels, input_channels() / groups, kernel, kernel];
                let weight = self.init.conv_weight.distribution(&shape);
                let shift = bias.then(|| self.init.conv_bias.distribution(&shape));
                std::iter::once(make(Role::Weight, shape, weight))
                    .chain(shift.map(|init| make(Role::Bias, vec![out_channels], init)))
                    .collect()
            }
            LayerKind::ConvTranspose2d { out_channels, kernel, bias, .. } => {
                // PyTorch's rule counts the second extent as the fan-in here, too, which is the output's channels.
                let shape = vec![input_channels(), out_channels, kernel, kernel];
                let weight = self.init.conv_weight.distribution(&shape);
                let shift = bias.then(|| self.init.conv_bias.distribution(&shape));
                std::iter::once(make(Role::Weight, shape, weight))
                    .chain(shift.map(|init| make(Role::Bias, vec![out_channels], init)))
                    .collect()
            }
            LayerKind::Linear { out_features, bias } => {
                let shape = vec![out_features, input_channels()];
                let weight = self.init.linear_weight.distribution(&shape);
                let shift = bias.then(|| self.init.linear_bias.distribution(&shape));
                std::iter::once(make(Role::Weight, shape, weight))
                    .chain(shift.map(|init| make(Role::Bias, vec![out_features], init)))
                    .collect()
            }
            LayerKind::BatchNorm { .. } => {
                let channels = vec![layer.shape[2]];
                let (zero, one) = (Distribution::Constant { value: 0.0 }, Distribution::Constant { value: 1.0 });
                vec![
                    make(Role::Gamma, channels.clone(), one),
                    make(Role::Beta, channels.clone(), zero),
                    make(Role::RunningMean, channels.clone(), zero),
                    make(Role::RunningVar, channels, one),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// Number of trainable scalars.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().filter(|parameter| parameter.trainable).map(Parameter::elements).sum()
    }

    /// Multiply-adds of the convolutions and linear layers for one image.
    pub fn macs(&self) -> u64 {
        let of = |layer: &Layer| {
            let [height, width, channels] = layer.shape.map(|size| size as u64);
            let input_channels = |layer: &Layer| self.nodes[layer.inputs[0]].shape[2] as u64;
            match layer.kind {
                LayerKind::Conv2d { kernel, groups, .. } => {
                    let patch = (kernel * kernel) as u64 * (input_channels(layer) / groups as u64);
                    height * width * channels * patch
                }
                LayerKind::ConvTranspose2d { kernel, .. } => {
                    // Every input pixel is spread over a window.
                    let [height, width, input_channels] = self.nodes[layer.inputs[0]].shape.map(|size| size as u64);
                    height * width * input_channels * (kernel * kernel) as u64 * channels
                }
                LayerKind::Linear { .. } => channels * input_channels(layer),
                _ => 0,
            }
        };
        self.nodes.iter().map(of).sum()
    }

    /// The node of the tap `name`, such as `f3`.
    pub fn tap(&self, name: &str) -> Option<usize> {
        self.taps.iter().find(|(tap, _)| tap == name).map(|(_, node)| *node)
    }

    /// Every tap's name and shape `[H, W, C]`.
    pub fn tap_shapes(&self) -> impl Iterator<Item = (&str, Map)> {
        self.taps.iter().map(|(tap, node)| (tap.as_str(), self.nodes[*node].shape))
    }

    /// For every node, whether one of `outputs` depends on it (or is it).
    pub fn needed(&self, outputs: &[usize]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        for &output in outputs {
            needed[output] = true;
        }
        for index in (0..self.nodes.len()).rev().filter(|index| *index > 0) {
            if needed[index] {
                for &input in &self.nodes[index].inputs {
                    needed[input] = true;
                }
            }
        }
        needed
    }

    /// For every node, the nodes that read it.
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![Vec::new(); self.nodes.len()];
        for (index, layer) in self.nodes.iter().enumerate() {
            for &input in &layer.inputs {
                consumers[input].push(index);
            }
        }
        consumers
    }
}
