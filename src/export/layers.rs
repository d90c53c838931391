//! A [`Network`]'s layers as ONNX operators, in inference, `[N, C, H, W]`.
//!
//! A layer is one node where ONNX has an operator for it. Maps of one pixel are kept as ONNX makes them: four axes behind
//! convolutions and pools, `[N, C]` behind a flattening or a linear layer; what reads them asks for the one or the other.

use super::average::{cells, means, means_of_rows, regular};
use super::graph::{Graph, float, int, ints};
use super::proto::AttributeProto;
use crate::nn::{Layer, LayerKind, Network};

/// What a layer has made.
#[derive(Clone, Debug, Default)]
struct Made {
    /// `[N, C, H, W]`, if anybody has asked for it.
    map: Option<String>,
    /// `[N, C H W]`, if anybody has asked for it.
    flat: Option<String>,
}

#[derive(Debug)]
struct Writer<'a> {
    graph: &'a mut Graph,
    network: &'a Network,
    made: Vec<Made>,
}

/// Writes what the logits of `network` need; `images` is the value `[N, C, H, W]` that it reads. Returns the logits
/// `[N, classes]`. `needed` says for every node whether it is written.
pub(super) fn write(graph: &mut Graph, network: &Network, needed: &[bool], images: &str) -> String {
    let mut made = vec![Made::default(); network.nodes.len()];
    made[0].map = Some(images.to_string());
    let mut writer = Writer { graph, network, made };
    for node in (1..network.nodes.len()).filter(|node| needed[*node]) {
        writer.made[node] = writer.layer(node);
    }
    writer.flat(network.logits)
}

impl Writer<'_> {
    fn layer(&mut self, node: usize) -> Made {
        let layer = &self.network.nodes[node];
        let inputs = layer.inputs.as_slice();
        let name = name(self.network, node);
        match layer.kind {
            LayerKind::Input => unreachable!("node 0 is the images"),
            LayerKind::Conv2d { kernel, stride, padding, dilation, groups, bias, .. } => {
                let read = self.with_parameters(inputs[0], layer, bias);
                let mut attributes = windows([kernel; 2], [stride; 2], padding);
                attributes.extend([ints("dilations", &[dilation as i64; 2]), int("group", groups)]);
                self.map_node(&name, "Conv", &read, attributes, layer)
            }
            LayerKind::ConvTranspose2d { kernel, stride, padding, bias, .. } => {
                let read = self.with_parameters(inputs[0], layer, bias);
                self.map_node(&name, "ConvTranspose", &read, windows([kernel; 2], [stride; 2], padding), layer)
            }
            LayerKind::BatchNorm { eps, .. } => {
                let parameters = ["weight", "bias", "running_mean", "running_var"];
                let parameters = parameters.map(|suffix| format!("{}.{suffix}", layer.name));
                let attributes = vec![float("epsilon", eps as f32)];
                self.alike(&name, "BatchNormalization", inputs, &parameters, attributes, layer)
            }
            LayerKind::Relu => self.alike(&name, "Relu", inputs, &[], vec![], layer),
            LayerKind::Add => {
                let operator = if inputs.len() == 2 { "Add" } else { "Sum" };
                self.alike(&name, operator, inputs, &[], vec![], layer)
            }
            LayerKind::Concat => self.alike(&name, "Concat", inputs, &[], vec![int("axis", 1)], layer),
            LayerKind::Slice { start, len } => {
                let numbers = [("start", start), ("end", start + len), ("axis", 1)];
                let numbers =
                    numbers.map(|(what, number)| self.graph.whole_numbers(&format!("{name}/{what}"), &[number as i64]));
                self.alike(&name, "Slice", inputs, &numbers, vec![], layer)
            }
            LayerKind::MaxPool { kernel, stride, padding } => {
                let read = [self.map(inputs[0])];
                self.map_node(&name, "MaxPool", &read, windows([kernel; 2], [stride; 2], padding), layer)
            }
            LayerKind::AvgPool { kernel, stride, padding, count_include_pad } => {
                let read = [self.map(inputs[0])];
                let mut attributes = windows([kernel; 2], [stride; 2], padding);
                attributes.push(int("count_include_pad", usize::from(count_include_pad)));
                self.map_node(&name, "AveragePool", &read, attributes, layer)
            }
            LayerKind::GlobalAvgPool => {
                let read = [self.map(inputs[0])];
                self.map_node(&name, "GlobalAveragePool", &read, vec![], layer)
            }
            LayerKind::AdaptiveAvgPool { out } => self.adaptive_average(&name, inputs[0], out, layer),
            LayerKind::ChannelShuffle { groups } => self.shuffle(&name, inputs[0], groups, layer),
            LayerKind::OptionAShortcut { stride, .. } => self.option_a(&name, inputs[0], stride, layer),
            LayerKind::Dropout { .. } => self.made[inputs[0]].clone(),
            // In `[N, C, H, W]` PyTorch's order is the order in memory.
            LayerKind::Flatten => Made { map: None, flat: Some(self.flat(inputs[0])) },
            LayerKind::Linear { bias, .. } => {
                let mut read = vec![self.flat(inputs[0])];
                read.extend(parameters(layer, bias));
                let made = self.graph.node(&name, "Gemm", &read, vec![int("transB", 1)], &[layer.shape[2]]);
                Made { map: None, flat: Some(made) }
            }
        }
    }

    /// What `node` has made, as `[N, C, H, W]`.
    fn map(&mut self, node: usize) -> String {
        if let Some(map) = &self.made[node].map {
            return map.clone();
        }
        let flat = self.made[node].flat.clone().expect("inputs come before");
        let [height, width, channels] = self.network.nodes[node].shape;
        let name = format!("{}/map", name(self.network, node));
        let made = self.reshape(&name, flat, &[channels, height, width]);
        self.made[node].map.insert(made).clone()
    }

    /// What `node` has made, as `[N, C H W]`.
    fn flat(&mut self, node: usize) -> String {
        if let Some(flat) = &self.made[node].flat {
            return flat.clone();
        }
        let map = self.made[node].map.clone().expect("inputs come before");
        let features = self.network.nodes[node].shape.iter().product();
        let name = format!("{}/flat", name(self.network, node));
        let made = self.graph.node(&name, "Flatten", &[map], vec![int("axis", 1)], &[features]);
        self.made[node].flat.insert(made).clone()
    }

    /// To `[N, shape...]`, with as many elements.
    fn reshape(&mut self, name: &str, value: String, shape: &[usize]) -> String {
        // 0: the batch, however large it is.
        let extents: Vec<i64> = std::iter::once(0).chain(shape.iter().map(|size| *size as i64)).collect();
        let extents = self.graph.whole_numbers(&format!("{name}/shape"), &extents);
        self.graph.node(name, "Reshape", &[value, extents], vec![], shape)
    }

    /// The map that `input` made, and the layer's weight and bias.
    fn with_parameters(&mut self, input: usize, layer: &Layer, bias: bool) -> Vec<String> {
        std::iter::once(self.map(input)).chain(parameters(layer, bias)).collect()
    }

    fn map_node(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[String],
        attributes: Vec<AttributeProto>,
        layer: &Layer,
    ) -> Made {
        let [height, width, channels] = layer.shape;
        let made = self.graph.node(name, operator, inputs, attributes, &[channels, height, width]);
        Made { map: Some(made), flat: None }
    }

    /// An operator that takes `[N, C]` as well as `[N, C, H, W]`: it reads and makes what is there already.
    fn alike(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[usize],
        others: &[String],
        attributes: Vec<AttributeProto>,
        layer: &Layer,
    ) -> Made {
        let flat = inputs.iter().any(|input| self.made[*input].map.is_none());
        let mut read: Vec<String> =
            inputs.iter().map(|input| if flat { self.flat(*input) } else { self.map(*input) }).collect();
        read.extend_from_slice(others);
        if !flat {
            return self.map_node(name, operator, &read, attributes, layer);
        }
        let made = self.graph.node(name, operator, &read, attributes, &[layer.shape[2]]);
        Made { map: None, flat: Some(made) }
    }

    /// The mean over cells. Where all cells of an axis are equally large and equally far apart it is an average pool; otherwise
    /// ONNX has no operator, and the rows and columns are averaged by a constant matrix each.
    fn adaptive_average(&mut self, name: &str, input: usize, out: usize, layer: &Layer) -> Made {
        let [height, width, channels] = self.network.nodes[input].shape;
        let read = self.map(input);
        let (rows, columns) = (cells(height, out), cells(width, out));
        if let (Some((kernel_rows, step_rows)), Some((kernel_columns, step_columns))) =
            (regular(&rows), regular(&columns))
        {
            let attributes = windows([kernel_rows, kernel_columns], [step_rows, step_columns], 0);
            return self.map_node(name, "AveragePool", &[read], attributes, layer);
        }
        let rows = self.graph.constant(&format!("{name}/rows"), &[out, height], &means(&rows, height));
        let half = self.graph.node(&format!("{name}/half"), "MatMul", &[rows, read], vec![], &[channels, out, width]);
        let columns = self.graph.constant(&format!("{name}/columns"), &[width, out], &means_of_rows(&columns, width));
        self.map_node(name, "MatMul", &[half, columns], vec![], layer)
    }

    /// `[N, C, H, W]` seen as `[N, groups, C / groups, H, W]`, the two axes in the middle exchanged.
    fn shuffle(&mut self, name: &str, input: usize, groups: usize, layer: &Layer) -> Made {
        let [height, width, channels] = layer.shape;
        let read = self.map(input);
        let (own, shape) = (channels / groups, [channels, height, width]);
        let split = self.reshape(&format!("{name}/split"), read, &[groups, own, height, width]);
        let exchanged = vec![ints("perm", &[0, 2, 1, 3, 4])];
        let (turned, turned_shape) = (format!("{name}/transpose"), [own, groups, height, width]);
        let turned = self.graph.node(&turned, "Transpose", &[split], exchanged, &turned_shape);
        Made { map: Some(self.reshape(name, turned, &shape)), flat: None }
    }

    /// Every `stride`-th pixel, with channels of zeros before and after.
    fn option_a(&mut self, name: &str, input: usize, stride: usize, layer: &Layer) -> Made {
        let [height, width, channels] = self.network.nodes[input].shape;
        let [rows, columns, out] = layer.shape;
        let mut made = self.map(input);
        if stride > 1 {
            let step = stride as i64;
            let bounds =
                [("start", [0, 0]), ("end", [height as i64, width as i64]), ("axes", [2, 3]), ("step", [step; 2])];
            let bounds = bounds.map(|(what, numbers)| self.graph.whole_numbers(&format!("{name}/{what}"), &numbers));
            let read: Vec<String> = std::iter::once(made).chain(bounds).collect();
            made = self.graph.node(&format!("{name}/pixels"), "Slice", &read, vec![], &[channels, rows, columns]);
        }
        if out > channels {
            let added = ((out - channels) / 2) as i64;
            let pads = self.graph.whole_numbers(&format!("{name}/pads"), &[0, added, 0, 0, 0, added, 0, 0]);
            return self.map_node(name, "Pad", &[made, pads], vec![], layer);
        }
        Made { map: Some(made), flat: None }
    }
}

/// PyTorch's name of a layer with parameters; what it is and its number, of another.
fn name(network: &Network, node: usize) -> String {
    match network.nodes[node].name.as_str() {
        "" => format!("{}_{node}", network.nodes[node].kind.word()),
        name => name.to_string(),
    }
}

fn parameters(layer: &Layer, bias: bool) -> impl Iterator<Item = String> {
    let suffixes = if bias { &["weight", "bias"][..] } else { &["weight"] };
    suffixes.iter().map(|suffix| format!("{}.{suffix}", layer.name))
}

/// Options of operators with windows; `[rows, columns]`.
fn windows(kernel: [usize; 2], stride: [usize; 2], padding: usize) -> Vec<AttributeProto> {
    let whole = |numbers: [usize; 2]| numbers.map(|number| number as i64);
    let pads = [padding as i64; 4];
    vec![ints("kernel_shape", &whole(kernel)), ints("strides", &whole(stride)), ints("pads", &pads)]
}
