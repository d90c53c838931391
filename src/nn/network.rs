//! A network as data: layers in topological order, the features other code may ask for, and what follows from them.

use super::initial::{Distribution, Initialisation};
use super::layer::{LayerKind, Map};
use crate::error::{Error, Result};

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
    /// The node from which on they start as PyTorch has it instead, in a net that something was added to.
    pub standard_from: Option<usize>,
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
        let is_added = self.standard_from.is_some_and(|first| index >= first);
        let init = if is_added { Initialisation::default() } else { self.init };
        match layer.kind {
            LayerKind::Conv2d { out_channels, kernel, groups, bias, .. } => {
                let shape = vec![out_channels, input_channels() / groups, kernel, kernel];
                let weight = init.conv_weight.distribution(&shape);
                let shift = bias.then(|| init.conv_bias.distribution(&shape));
                std::iter::once(make(Role::Weight, shape, weight))
                    .chain(shift.map(|drawn| make(Role::Bias, vec![out_channels], drawn)))
                    .collect()
            }
            LayerKind::ConvTranspose2d { out_channels, kernel, bias, .. } => {
                // PyTorch's rule counts the second extent as the fan-in here, too, which is the output's channels.
                let shape = vec![input_channels(), out_channels, kernel, kernel];
                let weight = init.conv_weight.distribution(&shape);
                let shift = bias.then(|| init.conv_bias.distribution(&shape));
                std::iter::once(make(Role::Weight, shape, weight))
                    .chain(shift.map(|drawn| make(Role::Bias, vec![out_channels], drawn)))
                    .collect()
            }
            LayerKind::Linear { out_features, bias } => {
                let shape = vec![out_features, input_channels()];
                let weight = init.linear_weight.distribution(&shape);
                let shift = bias.then(|| init.linear_bias.distribution(&shape));
                std::iter::once(make(Role::Weight, shape, weight))
                    .chain(shift.map(|drawn| make(Role::Bias, vec![out_features], drawn)))
                    .collect()
            }
            LayerKind::BatchNorm { .. } => {
                let channels = vec![layer.shape[2]];
                let (zero, one) = (Distribution::Constant { value: 0.0 }, Distribution::Constant { value: 1.0 });
                vec![
                    make(Role::Gamma, channels.clone(), init.norm_scale),
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

    /// What comes behind the feature `name`, as a net of its own that takes the feature in the image's place. Layers, and
    /// features among them, keep their names.
    ///
    /// # Errors
    /// If there is no such feature, or something behind it also reads what comes before it.
    pub fn tail(&self, name: &str) -> Result<Self> {
        let tap = self.tap(name).ok_or_else(|| {
            let known = self.taps.iter().map(|(name, _)| name.as_str());
            Error::request(format!("{} has no feature `{name}`", self.name)).suggest(name, known)
        })?;
        let needed = self.needed(&[self.logits]);
        let [height, width, in_channels] = self.nodes[tap].shape;
        let input =
            Layer { name: String::new(), kind: LayerKind::Input, inputs: Vec::new(), shape: self.nodes[tap].shape };
        let mut nodes = vec![input];
        let mut places: Vec<Option<usize>> = vec![None; self.nodes.len()];
        places[tap] = Some(0);
        for index in (tap + 1..self.nodes.len()).filter(|index| needed[*index]) {
            let layer = &self.nodes[index];
            let inputs: Vec<usize> = layer.inputs.iter().filter_map(|input| places[*input]).collect();
            if inputs.is_empty() {
                continue;
            }
            if inputs.len() < layer.inputs.len() {
                let what = layer.kind.word();
                return Err(Error::request(format!(
                    "{} cannot be cut at its feature `{name}`: {what} {} behind it reads more than that",
                    self.name, layer.name
                )));
            }
            places[index] = Some(nodes.len());
            nodes.push(Layer { inputs, ..layer.clone() });
        }
        let logits = places[self.logits]
            .filter(|place| *place > 0)
            .ok_or_else(|| Error::request(format!("nothing of {} comes behind its feature `{name}`", self.name)))?;
        let behind = |(tap, node): &(String, usize)| Some((tap.clone(), places[*node].filter(|place| *place > 0)?));
        let taps = self.taps.iter().filter_map(behind).collect();
        let (classes, init) = (self.classes, self.init);
        let added = |first: usize| places[first..].iter().flatten().copied().min();
        let standard_from = self.standard_from.and_then(added);
        let name = format!("{} behind {name}", self.name);
        Ok(Self { name, classes, in_channels, height, width, nodes, taps, logits, init, standard_from })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every net of the zoo can be cut at every map: what comes behind has the parameters that the whole net has there, under
    /// the same names and drawn from the same distributions.
    #[test]
    fn tails_are_the_rest_of_the_net() {
        for model in crate::nn::zoo::names() {
            let whole = crate::nn::build(&model, 10, 3, 32, 32).unwrap();
            let maps: Vec<String> = whole.tap_shapes().map(|(name, _)| name.to_string()).collect();
            for name in maps.iter().filter(|name| !name.ends_with("pre")) {
                let tail = whole.tail(name).unwrap();
                let tap = whole.tap(name).unwrap();
                let behind: Vec<Parameter> = whole.parameters().into_iter().filter(|one| one.layer > tap).collect();
                let own = tail.parameters();
                assert_eq!(own.len(), behind.len(), "{model} behind {name}");
                for (own, whole) in own.iter().zip(&behind) {
                    assert_eq!(
                        (&own.name, &own.shape, own.init),
                        (&whole.name, &whole.shape, whole.init),
                        "{model} behind {name}"
                    );
                }
                assert_eq!(tail.nodes[tail.logits].shape, whole.nodes[whole.logits].shape);
                assert_eq!([tail.height, tail.width, tail.in_channels], whole.nodes[tap].shape);
            }
        }
    }

    #[test]
    fn nothing_is_cut_where_two_paths_run() {
        let mut whole = crate::nn::build("resnet8", 10, 3, 32, 32).unwrap();
        // Within the first block, whose shortcut goes past it.
        let inside = whole.nodes.iter().position(|layer| layer.name == "layer1.0.conv1").unwrap();
        whole.taps.push(("inside".into(), inside));
        let message = whole.tail("inside").unwrap_err().to_string();
        assert!(message.contains("cannot be cut at its feature `inside`: add"), "{message}");
        let message = whole.tail("f9").unwrap_err().to_string();
        assert!(message.contains("no feature `f9`"), "{message}");
    }
}
