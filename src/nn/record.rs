//! A network's forward pass on the tape.
//!
//! BatchNorm takes the addition and the ReLU that follow it into its own pass where nobody else reads what is in between.

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
    /// The addition, where there is one; the end, or what the ReLU at the end reads.
    addition: Option<usize>,
    /// The other operand of the addition.
    residual: Option<usize>,
    relu: bool,
}

impl Model {
    /// Records the forward pass of `images` `[N, H, W, C]`; `taps` names features to keep.
    ///
    /// # Errors
    /// If there is no such feature, or an operation refuses its shapes.
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
        let mut outputs = nodes.clone();
        outputs.push(network.logits);
        let needed = network.needed(&outputs);
        let fusions = fusions(network, &needed, &outputs);
        let taken_in = |node: usize| {
            fusions[node].is_some() || fusions.iter().flatten().any(|fusion| fusion.addition == Some(node))
        };
        let mut values: Vec<Option<ValueId>> = vec![None; network.nodes.len()];
        values[0] = Some(images);
        for node in (1..network.nodes.len()).filter(|node| needed[*node]) {
            let made = match fusions.iter().position(|f| f.is_some_and(|f| f.end == node)) {
                Some(norm) => Some(self.batch_norm(tape, layout, &values, norm, fusions[norm], mode)?),
                None if taken_in(node) => None, // Made at the end of its fusion.
                None => self.layer(tape, layout, &values, node, mode)?,
            };
            values[node] = made;
        }
        let value = |node: usize| values[node].expect("outputs are recorded");
        let batch = tape.shape(images)[0];
        let logits = tape.view(value(network.logits), [batch, network.classes])?;
        Ok(Forward { logits, taps: nodes.into_iter().map(value).collect() })
    }

    fn layer(
        &self,
        tape: &mut Tape,
        layout: &StateLayout,
        values: &[Option<ValueId>],
        node: usize,
        mode: Mode,
    ) -> Result<Option<ValueId>> {
        let layer = &self.network.nodes[node];
        let inputs: Vec<ValueId> =
            layer.inputs.iter().map(|input| values[*input].expect("inputs come before")).collect();
        let parameter = |tape: &mut Tape, which: usize| tape.state(layout, self.state_of(node, which));
        let made = match layer.kind {
            LayerKind::Input => inputs[0],
            LayerKind::Conv2d { stride, padding, dilation, groups, bias, .. } => {
                let weight = parameter(tape, 0);
                let bias = bias.then(|| parameter(tape, 1));
                let options =
                    Conv2dOptions { stride: [stride; 2], padding: [padding; 2], dilation: [dilation; 2], groups };
                tape.conv2d(inputs[0], weight, bias, options)?
            }
            LayerKind::BatchNorm { .. } => {
                let alone = Fusion { end: node, ..Fusion::default() };
                self.batch_norm(tape, layout, values, node, Some(alone), mode)?
            }
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
            LayerKind::Linear { bias, .. } => {
                let weight = parameter(tape, 0);
                let bias = bias.then(|| parameter(tape, 1));
                tape.linear(inputs[0], weight, bias)?
            }
        };
        Ok(Some(made))
    }

    fn batch_norm(
        &self,
        tape: &mut Tape,
        layout: &StateLayout,
        values: &[Option<ValueId>],
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
        tape.batch_norm(value(layer.inputs[0]), state, fusion.residual.map(value), options)
    }

    /// The `which`-th parameter of a layer.
    fn state_of(&self, node: usize, which: usize) -> StateId {
        let own = self.parameters.iter().filter(|parameter| parameter.spec.layer == node);
        own.map(|parameter| parameter.value).nth(which).expect("the layer has the parameter")
    }
}

/// For every BatchNorm with something to take in: what.
fn fusions(network: &Network, needed: &[bool], outputs: &[usize]) -> Vec<Option<Fusion>> {
    let consumers = network.consumers();
    // The one reader of a node that nobody else, and no output, needs.
    let reader = |node: usize| {
        let mut readers = consumers[node].iter().copied().filter(|reader| needed[*reader]);
        match (readers.next(), readers.next()) {
            (Some(reader), None) if !outputs.contains(&node) => Some(reader),
            _ => None,
        }
    };
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
            fusions[node] = Some(Fusion { end: next, relu: true, ..Fusion::default() });
        } else if following.kind == LayerKind::Add && following.inputs.len() == 2 && !taken[next] {
            taken[next] = true; // Of two BatchNorms that meet in an addition one takes it in.
            let other = following.inputs.iter().copied().find(|input| *input != node);
            let relu = relu_after(next);
            let end = relu.unwrap_or(next);
            fusions[node] = Some(Fusion { end, addition: Some(next), residual: other, relu: relu.is_some() });
        }
    }
    fusions
}
