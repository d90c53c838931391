//! A network's forward pass on the tape.
//!
//! BatchNorm takes the addition and the ReLU that follow it into its own pass where nobody else reads what is in between. With
//! running statistics, where no gradient flows, the convolution before it takes in all of these.
//!
//! Where activations are stored in bf16, convolutions use weights that are cast to it, all at the start; linear layers and
//! the logits are float32. Dropout is recorded in training alone, from the tape's random numbers ([`Tape::set_randomness`]).

use super::{LayerKind, Model, Network};
use crate::error::{Error, Result};
use crate::ops::batch_norm::{BatchNormOptions, BatchNormState};
use crate::ops::conv2d::Conv2dOptions;
use crate::tape::{StateId, StateLayout, Tape, ValueId};

/// How a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Statistics of the batch, which also move the running ones.
    Train,
    /// Running statistics; what frozen models use.
    Eval,
}

/// What a forward pass leaves on the tape.
#[derive(Clone, Debug)]
pub struct Forward {
    /// `[N, classes]`
    pub logits: ValueId,
    /// The features that were asked for, `[N, H, W, C]`, in the order asked.
    pub taps: Vec<ValueId>,
}

/// What a BatchNorm's pass takes in besides.
#[derive(Clone, Copy, Debug, Default)]
struct Fusion {
    /// The node that the fused pass makes: the ReLU or the addition.
    end: usize,
    /// The addition that it takes in.
    add: Option<usize>,
    /// The other operand of the addition.
    residual: Option<usize>,
    relu: bool,
}

impl Model {
    /// Records the forward pass of `images` `[N, H, W, C]`; `taps` names features to keep.
    ///
    /// # Errors
    /// If there is no such feature, an operation refuses its shapes, or a net with dropout is to learn on a tape without random
    /// numbers.
    pub fn record(
        &self,
        tape: &mut Tape,
        layout: &StateLayout,
        images: ValueId,
        mode: Mode,
        taps: &[&str],
    ) -> Result<Forward> {
        let network = &self.network;
        let nodes = taps
            .iter()
            .map(|name| {
                network.tap(name).ok_or_else(|| {
                    let known = network.taps.iter().map(|(name, _)| name.as_str());
                    Error::request(format!("{} has no feature `{name}`", network.name)).suggest(name, known)
                })
            })
            .collect::<Result<Vec<usize>>>()?;
        let mut outputs = nodes;
        outputs.push(network.logits);
        let mut values = self.record_nodes(tape, layout, images, mode, &outputs)?;
        let batch = tape.shape(images)[0];
        let logits = values.pop().expect("one for each output");
        let logits = tape.cast(logits, tape.float())?;
        let logits = tape.view(logits, [batch, network.classes])?;
        Ok(Forward { logits, taps: values })
    }

    /// Records the forward pass of a net that ends in a map: what its last node makes of `x` `[N, H, W, C]`, as it is made.
    ///
    /// # Errors
    /// If an operation refuses its shapes.
    pub fn record_output(&self, tape: &mut Tape, layout: &StateLayout, x: ValueId, mode: Mode) -> Result<ValueId> {
        Ok(self.record_nodes(tape, layout, x, mode, &[self.network.logits])?[0])
    }

    /// Records whatever the nodes `outputs` need, and returns what they make.
    fn record_nodes(
        &self,
        tape: &mut Tape,
        layout: &StateLayout,
        images: ValueId,
        mode: Mode,
        outputs: &[usize],
    ) -> Result<Vec<ValueId>> {
        let network = &self.network;
        let needed = network.needed(outputs);
        let fusions = match tape.fusion() {
            true => fusions(network, &needed, outputs),
            false => vec![None; network.nodes.len()],
        };
        let joined: Vec<bool> = match mode == Mode::Eval && tape.fusion() {
            true => normalised(network, &needed, outputs),
            false => vec![false; network.nodes.len()],
        };
        let mut values: Vec<Option<ValueId>> = vec![None; network.nodes.len()];
        values[0] = Some(images);
        let filters = self.filters(tape, layout, &needed)?;
        for node in (1..network.nodes.len()).filter(|node| needed[*node]) {
            let norm = match fusions.iter().position(|f| f.is_some_and(|f| f.end == node)) {
                None if matches!(network.nodes[node].kind, LayerKind::BatchNorm { .. }) && !inside(&fusions, node) => {
                    Some(node)
                }
                norm => norm,
            };
            let made = match norm {
                Some(norm) => {
                    let input = network.nodes[norm].inputs[0];
                    let filter = if joined[input] { filters[input] } else { None };
                    Some(self.batch_norm(tape, layout, &values, filter, norm, fusions[norm], mode)?)
                }
                // Made at the end of its fusion, or by the BatchNorm behind it.
                None if inside(&fusions, node) || joined[node] => None,
                None => self.layer(tape, layout, &values, filters[node], node, mode)?,
            };
            values[node] = made;
        }
        Ok(outputs.iter().map(|node| values[*node].expect("outputs are recorded")).collect())
    }

    /// For every convolution that is needed its weights, in the type of the activations.
    fn filters(&self, tape: &mut Tape, layout: &StateLayout, needed: &[bool]) -> Result<Vec<Option<ValueId>>> {
        let network = &self.network;
        let is_filter = |node: &usize| {
            needed[*node]
                && matches!(network.nodes[*node].kind, LayerKind::Conv2d { .. } | LayerKind::ConvTranspose2d { .. })
        };
        let nodes: Vec<usize> = (0..network.nodes.len()).filter(is_filter).collect();
        let kept: Vec<ValueId> = nodes.iter().map(|node| tape.state(layout, self.state_of(*node, 0))).collect();
        let mut filters = vec![None; network.nodes.len()];
        for (node, filter) in nodes.into_iter().zip(tape.cast_all(&kept, tape.storage())?) {
            filters[node] = Some(filter);
        }
        Ok(filters)
    }

    fn layer(
        &self,
        tape: &mut Tape,
        layout: &StateLayout,
        values: &[Option<ValueId>],
        filter: Option<ValueId>,
        node: usize,
        mode: Mode,
    ) -> Result<Option<ValueId>> {
        let (network, layer) = (&self.network, &self.network.nodes[node]);
        let inputs: Vec<ValueId> =
            layer.inputs.iter().map(|input| values[*input].expect("inputs come before")).collect();
        let parameter = |tape: &mut Tape, which: usize| tape.state(layout, self.state_of(node, which));
        let made = match layer.kind {
            LayerKind::Input => inputs[0],
            LayerKind::Conv2d { bias, .. } => {
                let weight = filter.expect("a convolution has weights");
                let bias = bias.then(|| parameter(tape, 1));
                tape.conv2d(inputs[0], weight, bias, conv2d_options(&layer.kind))?
            }
            LayerKind::ConvTranspose2d { stride, padding, bias, .. } => {
                let weight = filter.expect("a convolution has weights");
                let bias = bias.then(|| parameter(tape, 1));
                tape.conv_transpose2d(inputs[0], weight, bias, stride, padding)?
            }
            LayerKind::BatchNorm { .. } => unreachable!("recorded with what it takes in"),
            LayerKind::Relu => tape.relu(inputs[0])?,
            LayerKind::Add => {
                let mut sum = inputs[0];
                for other in &inputs[1..] {
                    sum = tape.add(sum, *other)?;
                }
                sum
            }
            LayerKind::MaxPool { kernel, stride, padding } => tape.max_pool(inputs[0], kernel, stride, padding)?,
            LayerKind::AvgPool { kernel, stride, padding, count_include_pad } => {
                tape.avg_pool(inputs[0], kernel, stride, padding, count_include_pad)?
            }
            LayerKind::GlobalAvgPool => tape.adaptive_avg_pool(inputs[0], 1, 1)?,
            LayerKind::AdaptiveAvgPool { out } => tape.adaptive_avg_pool(inputs[0], out, out)?,
            LayerKind::Concat => tape.concat(&inputs)?,
            LayerKind::Slice { start, len } => tape.slice(inputs[0], start, len)?,
            LayerKind::ChannelShuffle { groups } => tape.channel_shuffle(inputs[0], groups)?,
            LayerKind::OptionAShortcut { out_channels, stride } => {
                tape.option_a_shortcut(inputs[0], out_channels, stride)?
            }
            LayerKind::Dropout { probability } => match mode {
                Mode::Train => tape.dropout(inputs[0], probability)?,
                Mode::Eval => inputs[0],
            },
            LayerKind::Flatten => {
                let (batch, [height, width, channels]) =
                    (tape.shape(inputs[0])[0], network.nodes[layer.inputs[0]].shape);
                // `[H W, C]` to `[C, H W]` is the transposition that a shuffle of `H W` groups does.
                let pixel = tape.view(inputs[0], [batch, 1, 1, height * width * channels])?;
                tape.channel_shuffle(pixel, height * width)?
            }
            LayerKind::Linear { bias, .. } => {
                let weight = parameter(tape, 0);
                let bias = bias.then(|| parameter(tape, 1));
                let x = tape.cast(inputs[0], tape.float())?;
                tape.linear(x, weight, bias)?
            }
        };
        Ok(Some(made))
    }

    /// The BatchNorm `node` with its fusion; `filter` are the weights of the convolution before it where it takes that in, too.
    #[allow(clippy::too_many_arguments)]
    fn batch_norm(
        &self,
        tape: &mut Tape,
        layout: &StateLayout,
        values: &[Option<ValueId>],
        filter: Option<ValueId>,
        node: usize,
        fusion: Option<Fusion>,
        mode: Mode,
    ) -> Result<ValueId> {
        let layer = &self.network.nodes[node];
        let LayerKind::BatchNorm { eps, momentum } = layer.kind else { unreachable!("fusions start at BatchNorm") };
        let fusion = fusion.unwrap_or_default();
        let value = |node: usize| values[node].expect("inputs come before");
        let state = BatchNormState {
            gamma: tape.state(layout, self.state_of(node, 0)),
            beta: tape.state(layout, self.state_of(node, 1)),
            running_mean: tape.state(layout, self.state_of(node, 2)),
            running_var: tape.state(layout, self.state_of(node, 3)),
        };
        let options = BatchNormOptions { training: mode == Mode::Train, relu: fusion.relu, epsilon: eps, momentum };
        let (input, residual) = (layer.inputs[0], fusion.residual.map(value));
        let Some(filter) = filter else { return tape.batch_norm(value(input), state, residual, options) };
        let convolution = &self.network.nodes[input];
        let LayerKind::Conv2d { bias, .. } = convolution.kind else { unreachable!("filters are of convolutions") };
        let bias = bias.then(|| tape.state(layout, self.state_of(input, 1)));
        let moves = conv2d_options(&convolution.kind);
        tape.conv2d_batch_norm(value(convolution.inputs[0]), filter, bias, moves, state, residual, options)
    }

    /// The `which`-th parameter of a layer.
    fn state_of(&self, node: usize, which: usize) -> StateId {
        let own = self.parameters.iter().filter(|parameter| parameter.spec.layer == node);
        own.map(|parameter| parameter.value).nth(which).expect("the layer has the parameter")
    }
}

fn conv2d_options(kind: &LayerKind) -> Conv2dOptions {
    let LayerKind::Conv2d { stride, padding, dilation, groups, .. } = *kind else { unreachable!("a convolution") };
    Conv2dOptions { stride: [stride; 2], padding: [padding; 2], dilation: [dilation; 2], groups }
}

/// The one reader of a node, by its `consumers`, that nobody else, and no output, needs.
fn only_reader(consumers: &[usize], needed: &[bool], outputs: &[usize], node: usize) -> Option<usize> {
    let mut readers = consumers.iter().copied().filter(|reader| needed[*reader]);
    match (readers.next(), readers.next()) {
        (Some(reader), None) if !outputs.contains(&node) => Some(reader),
        _ => None,
    }
}

/// For every node whether it is a convolution that a BatchNorm alone reads.
fn normalised(network: &Network, needed: &[bool], outputs: &[usize]) -> Vec<bool> {
    let is_norm = |reader: usize| matches!(network.nodes[reader].kind, LayerKind::BatchNorm { .. });
    let of = |(node, consumers): (usize, &Vec<usize>)| {
        matches!(network.nodes[node].kind, LayerKind::Conv2d { .. })
            && only_reader(consumers, needed, outputs, node).is_some_and(is_norm)
    };
    network.consumers().iter().enumerate().map(of).collect()
}

/// For every BatchNorm with something to take in: what.
fn fusions(network: &Network, needed: &[bool], outputs: &[usize]) -> Vec<Option<Fusion>> {
    let consumers = network.consumers();
    let reader = |node: usize| only_reader(&consumers[node], needed, outputs, node);
    let relu_after = |node: usize| reader(node).filter(|next| network.nodes[*next].kind == LayerKind::Relu);
    let mut taken = vec![false; network.nodes.len()];
    let mut fusions = vec![None; network.nodes.len()];
    for node in (0..network.nodes.len()).filter(|node| needed[*node]) {
        if !matches!(network.nodes[node].kind, LayerKind::BatchNorm { .. }) {
            continue;
        }
        let Some(next) = reader(node) else { continue };
        let following = &network.nodes[next];
        if following.kind == LayerKind::Relu {
            fusions[node] = Some(Fusion { end: next, add: None, residual: None, relu: true });
        } else if following.kind == LayerKind::Add && following.inputs.len() == 2 && !taken[next] {
            let Some(other) = following.inputs.iter().copied().find(|input| *input != node) else { continue };
            taken[next] = true; // Of two BatchNorms that meet in an addition one takes it in.
            let relu = relu_after(next);
            let end = relu.unwrap_or(next);
            fusions[node] = Some(Fusion { end, add: Some(next), residual: Some(other), relu: relu.is_some() });
        }
    }
    fusions
}

/// Whether a fused pass makes `node` on its way to what comes after.
fn inside(fusions: &[Option<Fusion>], node: usize) -> bool {
    fusions[node].is_some() || fusions.iter().flatten().any(|fusion| fusion.add == Some(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    /// Every net of the zoo records, forward and eval, and fused passes leave as many operations as they should.
    #[test]
    fn every_net_records() {
        for name in crate::nn::zoo::names() {
            let network = crate::nn::build(&name, 10, 3, 32, 32).unwrap();
            let mut layout = StateLayout::new();
            let model = Model::declare(&mut layout, "m", "student", network, DType::F32);
            let images = layout.declare("images", DType::F32, [2, 32, 32, 3]);
            let number = layout.declare("number", DType::U32, [1]);
            for mode in [Mode::Train, Mode::Eval] {
                let mut tape = Tape::new(DType::F32);
                let [images, number] = [images, number].map(|id| tape.state(&layout, id));
                tape.set_randomness(1, number);
                let forward = model.record(&mut tape, &layout, images, mode, &["f1"]).unwrap();
                assert_eq!(tape.shape(forward.logits), crate::tensor::Shape::from([2, 10]), "{name}");
                let names = || tape.nodes().iter().map(|node| node.op.name());
                let alone = names().filter(|name| *name == "relu" || *name == "add").count();
                // Pre-activation nets add convolutions; ShuffleV1 concatenates before its ReLU.
                if name.starts_with("resnet") || name.starts_with("vgg") || name == "MobileNetV2" {
                    assert_eq!(alone, 0, "{name}: {:?}", names().collect::<Vec<_>>());
                }
            }
        }
    }

    /// With activations in bf16 every value of every net has the type it should, and so have the gradients.
    #[test]
    fn a_net_in_bf16_has_float32_where_it_counts() {
        for name in ["resnet8", "vgg8", "wrn_16_1", "MobileNetV2", "ShuffleV1", "ShuffleV2"] {
            let network = crate::nn::build(name, 10, 3, 32, 32).unwrap();
            let mut layout = StateLayout::new();
            let model = Model::declare(&mut layout, "m", "student", network, DType::F32);
            let images = layout.declare("images", DType::BF16, [2, 32, 32, 3]);
            let upstream = layout.declare("upstream", DType::F32, [2, 10]);
            let mut tape = Tape::with_storage(DType::F32, DType::BF16);
            let [images, upstream] = [images, upstream].map(|id| tape.state(&layout, id));
            let forward = model.record(&mut tape, &layout, images, Mode::Train, &["f1"]).unwrap();
            assert_eq!(tape.dtype(forward.logits), DType::F32, "{name}");
            assert_eq!(tape.dtype(forward.taps[0]), DType::BF16, "{name}");

            let learned: Vec<_> = model.parameters.iter().filter(|parameter| parameter.spec.trainable).collect();
            let values: Vec<ValueId> = learned.iter().map(|one| tape.state(&layout, one.value)).collect();
            let recorded = tape.nodes().len();
            let gradients = tape.backward(&[(forward.logits, upstream)], &values).unwrap();
            for (gradient, parameter) in gradients.iter().zip(&learned) {
                let gradient = gradient.unwrap_or_else(|| panic!("{name}: {} learns", parameter.spec.name));
                assert_eq!(tape.dtype(gradient), DType::F32, "{name}: {}", parameter.spec.name);
            }

            let is = |names: &[&str], node: &crate::tape::Node| names.contains(&node.op.name());
            let casts: Vec<usize> = (0..recorded).filter(|node| is(&["cast"], &tape.nodes()[*node])).collect();
            assert_eq!((casts.len(), casts[0]), (2, 0), "{name}: of all filters, and of what linear layers read");
            let filters = tape
                .nodes()
                .iter()
                .take(recorded)
                .filter(|node| is(&["conv2d"], node) && tape.shape(node.inputs[1]).rank() == 4);
            assert_eq!(filters.count(), tape.nodes()[0].outputs.len(), "{name}: every filter is cast once");
            for (index, node) in tape.nodes().iter().enumerate() {
                let [x, y] = [tape.dtype(node.inputs[0]), tape.dtype(node.outputs[0])];
                let linear = is(&["conv2d", "conv2d_dgrad"], node) && tape.shape(node.inputs[1]).rank() == 2;
                let what = format!("{name}: node {index}, {}: {x} to {y}", node.op.name());
                if is(&["conv2d_wgrad"], node) {
                    assert_eq!(y, DType::F32, "{what}");
                } else if !is(&["cast"], node) {
                    let expected = if linear { DType::F32 } else { DType::BF16 };
                    assert_eq!([x, y], [expected; 2], "{what}");
                }
            }
        }
    }
}
