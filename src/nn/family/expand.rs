//! From the steps of a family to the layers of one network.

mod terms;

use std::ops::Range;

use super::expression::Value;
use super::step::{Action, Step, Template, Term};
use super::{Family, Model};
use crate::error::{Error, Result};
use crate::nn::layer::{LayerKind, Map, describe};
use crate::nn::network::{Layer, Network};

/// Largest extent of anything, so that products of a few of them cannot overflow.
const LARGEST: usize = 1 << 16;
/// Most elements of one map or one weight: beyond any memory this engine will meet.
const MOST_ELEMENTS: u128 = 1 << 40;
/// Most layers of a net.
const MOST_LAYERS: usize = 20_000;
/// Blocks within blocks.
const DEEPEST: usize = 20;
/// Most steps taken while expanding one net, so that empty loops end too.
const MOST_STEPS: usize = 1_000_000;

/// Builds `model` of `family`.
pub fn expand(
    family: &Family,
    model: &Model,
    classes: usize,
    in_channels: usize,
    height: usize,
    width: usize,
) -> Result<Network> {
    for (what, value) in
        [("classes", classes), ("channels of the image", in_channels), ("height", height), ("width", width)]
    {
        if value == 0 || value > LARGEST {
            return Err(Error::request(format!("{}: {what}: {value} is not from 1 to {LARGEST}", model.name)));
        }
    }
    let mut names: Vec<(String, Value)> = Vec::new();
    for parameter in &family.parameters {
        let own = model.settings.iter().find(|setting| setting.name == parameter.name).unwrap_or(parameter);
        names.push((parameter.name.clone(), own.value.clone()));
    }
    for (name, value) in
        [("classes", classes), ("image_channels", in_channels), ("image_height", height), ("image_width", width)]
    {
        names.push((name.to_string(), Value::Integer(value as i64)));
    }
    names.push(("in".to_string(), Value::Integer(in_channels as i64)));
    let input =
        Layer { name: String::new(), kind: LayerKind::Input, inputs: Vec::new(), shape: [height, width, in_channels] };
    let mut expansion = Expansion {
        family,
        model,
        names,
        marks: Vec::new(),
        prefix: String::new(),
        depth: 0,
        steps: 0,
        nodes: vec![input],
        current: 0,
        taps: Vec::new(),
    };
    expansion.run(&family.layers)?;
    expansion.finish(classes, in_channels, height, width)
}

struct Expansion<'a> {
    family: &'a Family,
    model: &'a Model,
    /// Parameters, built-ins, arguments and counters; the last of a name counts.
    names: Vec<(String, Value)>,
    /// Marked values of the block being expanded.
    marks: Vec<(String, usize)>,
    /// Module path of what is being expanded, with a dot at the end unless empty.
    prefix: String,
    depth: usize,
    steps: usize,
    nodes: Vec<Layer>,
    /// The node that the next step takes.
    current: usize,
    taps: Vec<(String, usize)>,
}

impl Expansion<'_> {
    fn finish(mut self, classes: usize, in_channels: usize, height: usize, width: usize) -> Result<Network> {
        let shape = self.nodes[self.current].shape;
        if shape != [1, 1, classes] {
            let message =
                format!("the net ends in {}, not in one logit for each of {classes} classes", describe(shape));
            return Err(self.error(&self.family.layers_span.clone(), message, "the last of these"));
        }
        self.taps.sort();
        Ok(Network {
            name: self.model.name.clone(),
            classes,
            in_channels,
            height,
            width,
            nodes: self.nodes,
            taps: self.taps,
            logits: self.current,
            init: self.family.init,
            standard_from: None,
        })
    }

    fn run(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err(self.error(&step.span, format!("more than {MOST_STEPS} steps"), "a net without end?"));
            }
            if let Some(when) = &step.when {
                match self.value(when)? {
                    Value::Boolean(true) => {}
                    Value::Boolean(false) => continue,
                    other => {
                        let message = format!("`when` must be true or false, not {}", other.kind());
                        return Err(self.error(&when.span, message, "not a condition"));
                    }
                }
            }
            self.step(step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match &step.action {
            Action::Conv { name, out, kernel, stride, padding, dilation, groups, bias } => {
                let name = self.path(name)?;
                let kernel = self.size(kernel)?;
                let dilation = self.size_or(dilation, 1)?;
                let kind = LayerKind::Conv2d {
                    out_channels: self.size(out)?,
                    kernel,
                    stride: self.size_or(stride, 1)?,
                    padding: self.size_or(padding, dilation * kernel.saturating_sub(1) / 2)?,
                    dilation,
                    groups: self.size_or(groups, 1)?,
                    bias: self.truth_or(bias, false)?,
                };
                self.push(step, name, kind, vec![self.current])
            }
            Action::ConvTranspose { name, out, kernel, stride, padding, bias } => {
                let name = self.path(name)?;
                let kind = LayerKind::ConvTranspose2d {
                    out_channels: self.size(out)?,
                    kernel: self.size(kernel)?,
                    stride: self.size_or(stride, 1)?,
                    padding: self.size_or(padding, 0)?,
                    bias: self.truth_or(bias, false)?,
                };
                self.push(step, name, kind, vec![self.current])
            }
            Action::BatchNorm { name, eps, momentum } => {
                let name = self.path(name)?;
                self.push(step, name, LayerKind::BatchNorm { eps: *eps, momentum: *momentum }, vec![self.current])
            }
            Action::Linear { name, out, bias } => {
                let name = self.path(name)?;
                let kind = LayerKind::Linear { out_features: self.size(out)?, bias: self.truth_or(bias, true)? };
                self.push(step, name, kind, vec![self.current])
            }
            Action::Dropout { probability } => self.push_plain(step, LayerKind::Dropout { probability: *probability }),
            Action::Relu => self.push_plain(step, LayerKind::Relu),
            Action::Flatten => self.push_plain(step, LayerKind::Flatten),
            Action::GlobalAvgPool => self.push_plain(step, LayerKind::GlobalAvgPool),
            Action::AdaptiveAvgPool { out } => {
                let out = self.size(out)?;
                self.push_plain(step, LayerKind::AdaptiveAvgPool { out })
            }
            Action::Pool { mean, kernel, stride, padding, count_include_pad } => {
                let kernel = self.size(kernel)?;
                let (stride, padding) = (self.size_or(stride, kernel)?, self.size_or(padding, 0)?);
                let kind = match mean {
                    false => LayerKind::MaxPool { kernel, stride, padding },
                    true => {
                        let count_include_pad = self.truth_or(count_include_pad, true)?;
                        LayerKind::AvgPool { kernel, stride, padding, count_include_pad }
                    }
                };
                self.push_plain(step, kind)
            }
            Action::Slice { start, len } => {
                let kind = LayerKind::Slice { start: self.size(start)?, len: self.size(len)? };
                self.push_plain(step, kind)
            }
            Action::ChannelShuffle { groups } => {
                let groups = self.size(groups)?;
                self.push_plain(step, LayerKind::ChannelShuffle { groups })
            }
            Action::OptionA { out, stride } => {
                let kind = LayerKind::OptionAShortcut { out_channels: self.size(out)?, stride: self.size(stride)? };
                self.push_plain(step, kind)
            }
            Action::Join { concat, branches } => {
                let start = self.current;
                let mut ends = Vec::new();
                for branch in branches {
                    self.current = start;
                    self.run(branch)?;
                    ends.push(self.current);
                }
                let kind = if *concat { LayerKind::Concat } else { LayerKind::Add };
                self.push(step, String::new(), kind, ends)
            }
            Action::Layers { name, layers } => self.under(name, |expansion| expansion.run(layers)),
            Action::Repeat { count, counter, layers } => {
                for index in 0..self.size(count)? {
                    let outer = self.names.len();
                    if let Some(counter) = counter {
                        self.names.push((counter.clone(), Value::Integer(index as i64)));
                    }
                    self.run(layers)?;
                    self.names.truncate(outer);
                }
                Ok(())
            }
            Action::Block { block, name, arguments } => self.block(step, block, name, arguments),
            Action::Mark(mark) => {
                self.marks.push((mark.clone(), self.current));
                Ok(())
            }
            Action::From(mark) => match self.marks.iter().rev().find(|(known, _)| known == mark) {
                Some((_, node)) => {
                    self.current = *node;
                    Ok(())
                }
                None => {
                    let error = self.error(&step.span, format!("nothing is marked `{mark}` here"), "unknown mark");
                    Err(error.suggest(mark, self.marks.iter().map(|(known, _)| known.as_str())))
                }
            },
            Action::Tap(name) => {
                let tap = self.text(name)?;
                if tap.is_empty() || self.taps.iter().any(|(known, _)| *known == tap) {
                    return Err(self.error(
                        &name.span,
                        format!("a second tap, or none, called `{tap}`"),
                        "tapped before",
                    ));
                }
                self.taps.push((tap, self.current));
                Ok(())
            }
        }
    }

    fn block(
        &mut self,
        step: &Step,
        block: &Template,
        name: &Option<Template>,
        arguments: &[(String, Range<usize>, Term)],
    ) -> Result<()> {
        let wanted = self.text(block)?;
        let Some(body) = self.family.blocks.iter().find(|block| block.name == wanted) else {
            let error = self.error(&block.span, format!("no block is called `{wanted}`"), "unknown block");
            return Err(error.suggest(&wanted, self.family.blocks.iter().map(|block| block.name.as_str())));
        };
        if let Some((name, span, _)) = arguments.iter().find(|(name, ..)| !body.takes.contains(name)) {
            let error = self.error(span, format!("block `{wanted}` takes no `{name}`"), "unknown argument");
            return Err(error.suggest(name, body.takes.iter().map(String::as_str).chain(["name", "when"])));
        }
        if let Some(missing) = body.takes.iter().find(|take| !arguments.iter().any(|(name, ..)| name == *take)) {
            return Err(self.error(&step.span, format!("block `{wanted}` needs `{missing}`"), "missing here"));
        }
        if self.depth == DEEPEST {
            return Err(self.error(&step.span, "blocks too deep within blocks", "a block that uses itself?"));
        }
        // Arguments mean what they mean outside, so all are evaluated before any is visible.
        let mut inner = Vec::new();
        for (name, _, term) in arguments {
            inner.push((name.clone(), self.value(term)?));
        }
        inner.push(("in".to_string(), Value::Integer(self.nodes[self.current].shape[2] as i64)));
        let outer = self.names.len();
        self.names.extend(inner);
        let marks = std::mem::take(&mut self.marks);
        self.depth += 1;
        let result = self.under(name, |expansion| expansion.run(&body.layers));
        self.depth -= 1;
        self.marks = marks;
        self.names.truncate(outer);
        result
    }

    /// Runs `inner` with `name` added to the module path.
    fn under(&mut self, name: &Option<Template>, inner: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let outer = self.prefix.len();
        if let Some(name) = name {
            self.prefix = format!("{}.", self.path(name)?);
        }
        let result = inner(self);
        self.prefix.truncate(outer);
        result
    }

    fn push_plain(&mut self, step: &Step, kind: LayerKind) -> Result<()> {
        self.push(step, String::new(), kind, vec![self.current])
    }

    fn push(&mut self, step: &Step, name: String, kind: LayerKind, inputs: Vec<usize>) -> Result<()> {
        let shapes: Vec<Map> = inputs.iter().map(|input| self.nodes[*input].shape).collect();
        let called = match name.as_str() {
            "" => kind.word().to_string(),
            name => format!("{} `{name}`", kind.word()),
        };
        let fail = |message: String| Err(self.error(&step.span, format!("{called}: {message}"), "this layer"));
        let shape = match kind.output(&shapes) {
            Ok(shape) => shape,
            Err(message) => return fail(message),
        };
        let weights = match kind {
            LayerKind::Conv2d { kernel, .. } | LayerKind::ConvTranspose2d { kernel, .. } => {
                [shapes[0][2], shape[2], kernel, kernel].iter().map(|size| *size as u128).product()
            }
            LayerKind::Linear { .. } => (shapes[0][2] * shape[2]) as u128,
            _ => 0,
        };
        let elements: u128 = shape.iter().map(|size| *size as u128).product();
        if shape.iter().any(|size| *size > LARGEST) || elements.max(weights) > MOST_ELEMENTS {
            return fail(format!("too large: {}", describe(shape)));
        }
        if self.nodes.len() == MOST_LAYERS {
            return fail(format!("the net has more than {MOST_LAYERS} layers"));
        }
        if !name.is_empty() && self.nodes.iter().any(|layer| layer.name == name) {
            return fail("a layer before it has the same name, so their weights would too".into());
        }
        self.nodes.push(Layer { name, kind, inputs, shape });
        self.current = self.nodes.len() - 1;
        Ok(())
    }

    /// An error in the file while building this model at this size.
    fn error(&self, span: &Range<usize>, message: impl Into<String>, label: &str) -> Error {
        let [height, width, _] = self.nodes[0].shape;
        let model = format!("{} at {height}x{width}", self.model.name);
        self.family.source.error(span, message, label).within(model)
    }
}
