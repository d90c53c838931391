//! One layer's pass at a time, on the shapes that the nets have.

use super::Entry;
use super::machine::Machine;
use super::profile::bytes;
use super::timing::{Effort, Times};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::{LayerKind, zoo};
use crate::ops::batch_norm::{BatchNormOptions, BatchNormState};
use crate::ops::conv2d::{Conv2dGeometry, Conv2dOptions};
use crate::random::{Philox, Stream};
use crate::tape::{Arena, OpTime, Plan, State, StateId, StateLayout, Tape};
use crate::tensor::{DType, Shape};

/// A layer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layer {
    /// Without bias.
    Conv2d(Conv2dGeometry),
    /// BatchNorm with ReLU, over `[N, H, W, C]`.
    BatchNorm([usize; 4]),
}

/// A pass through a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Forward,
    /// The gradient of the input; of a BatchNorm, of its parameters too.
    InputGradient,
    /// The gradient of the weights.
    WeightGradient,
}

/// One pass of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelCase {
    layer: Layer,
    pass: Pass,
}

/// Every pass of every convolution and BatchNorm of `nets` at 32x32x3 and 100 classes, each shape once.
///
/// # Errors
/// For a net that is not there.
pub fn cases(nets: &[&str], batch: usize) -> Result<Vec<KernelCase>> {
    let mut layers: Vec<Layer> = Vec::new();
    for net in nets {
        let network = zoo::find(net)?.build(100, 3, 32, 32)?;
        for node in &network.nodes {
            let input = |index: usize| network.nodes[node.inputs[index]].shape;
            let layer = match node.kind {
                LayerKind::Conv2d { out_channels, kernel, stride, padding, dilation, groups, .. } => {
                    let [height, width, in_channels] = input(0);
                    let geometry = Conv2dGeometry {
                        batch,
                        height,
                        width,
                        in_channels,
                        out_channels,
                        kernel: [kernel; 2],
                        stride: [stride; 2],
                        padding: [padding; 2],
                        dilation: [dilation; 2],
                        groups,
                    };
                    Layer::Conv2d(geometry.checked()?)
                }
                LayerKind::BatchNorm { .. } => {
                    let [height, width, channels] = input(0);
                    Layer::BatchNorm([batch, height, width, channels])
                }
                _ => continue,
            };
            if !layers.contains(&layer) {
                layers.push(layer);
            }
        }
    }
    let passes = |layer: Layer| {
        let passes: &[Pass] = match layer {
            // The image needs no gradient.
            Layer::Conv2d(geometry) if geometry.in_channels == 3 => &[Pass::Forward, Pass::WeightGradient],
            Layer::Conv2d(_) => &[Pass::Forward, Pass::InputGradient, Pass::WeightGradient],
            Layer::BatchNorm(_) => &[Pass::Forward, Pass::InputGradient],
        };
        passes.iter().map(move |pass| KernelCase { layer, pass: *pass })
    };
    Ok(layers.into_iter().flat_map(passes).collect())
}

impl KernelCase {
    /// `kernel/conv2d_fprop/32x32x16-16-k3-s1-g1/b64/f32`: map, input channels, output channels, kernel, stride, groups;
    /// `kernel/batch_norm+relu/32x32x16/b64/f32`.
    pub fn name(&self) -> String {
        match self.layer {
            Layer::Conv2d(geometry) => {
                let Conv2dGeometry { batch, height, width, in_channels, out_channels, .. } = geometry;
                let (kernel, stride, groups) = (geometry.kernel[0], geometry.stride[0], geometry.groups);
                let pass = match self.pass {
                    Pass::Forward => "fprop",
                    Pass::InputGradient => "dgrad",
                    Pass::WeightGradient => "wgrad",
                };
                let shape = format!("{height}x{width}x{in_channels}-{out_channels}-k{kernel}-s{stride}-g{groups}");
                format!("kernel/conv2d_{pass}/{shape}/b{batch}/f32")
            }
            Layer::BatchNorm([batch, height, width, channels]) => {
                let pass = if self.pass == Pass::Forward { "batch_norm+relu" } else { "batch_norm+relu_gradient" };
                format!("kernel/{pass}/{height}x{width}x{channels}/b{batch}/f32")
            }
        }
    }

    /// Times the pass alone.
    ///
    /// # Errors
    /// If the layer refuses its shape.
    pub(super) fn measure(&self, processor: &Processor, machine: &Machine, effort: Effort) -> Result<Entry> {
        let (plan, mut state) = self.plan(processor)?;
        let mut arena = Arena::on(processor, plan.bytes())?;
        // What goes before the pass in the plan only prepares for it.
        let mut replay = || Ok::<_, Error>(plan.profile(&mut arena, &mut state)?.pop().expect("a pass is planned"));
        let one: OpTime = replay()?;
        let times = Times::measure(effort.kernel, || Ok(replay()?.time))?;
        let (flops, bytes) = (one.flops, bytes(&one));
        Ok(Entry {
            name: self.name(),
            images_per_second: None,
            median_ms: times.median() * 1e3,
            fastest_ms: times.fastest() * 1e3,
            replays: times.count(),
            gflops: (flops > 0).then(|| flops as f64 / times.median() / 1e9),
            gigabytes_per_second: Some(bytes as f64 / times.median() / 1e9),
            share_of_roofline: machine.least_seconds(flops, bytes) / times.median(),
            planned_bytes: None,
            profile: Vec::new(),
        })
    }

    /// The layer with its pass as the last operation, and numbers to work on.
    fn plan(&self, processor: &Processor) -> Result<(Plan, State)> {
        let mut layout = StateLayout::new();
        let mut drawn: Vec<StateId> = Vec::new();
        let mut tape = Tape::new(DType::F32);
        let mut declare = |tape: &mut Tape, name: &str, shape: &[usize]| {
            let id = layout.declare(name, DType::F32, Shape::new(shape));
            drawn.push(id);
            tape.state(&layout, id)
        };
        let (x, weight, y) = match self.layer {
            Layer::Conv2d(geometry) => {
                let Conv2dGeometry { batch, height, width, in_channels, out_channels, kernel, groups, .. } = geometry;
                let x = declare(&mut tape, "x", &[batch, height, width, in_channels]);
                let weight = declare(&mut tape, "weight", &[kernel[0], kernel[1], in_channels / groups, out_channels]);
                let Conv2dGeometry { stride, padding, dilation, .. } = geometry;
                let y = tape.conv2d(x, weight, None, Conv2dOptions { stride, padding, dilation, groups })?;
                (x, weight, y)
            }
            Layer::BatchNorm(shape) => {
                let x = declare(&mut tape, "x", &shape);
                let mut channels = |name: &str| declare(&mut tape, name, &shape[3..]);
                let (gamma, beta) = (channels("gamma"), channels("beta"));
                let (running_mean, running_var) = (channels("running_mean"), channels("running_var"));
                let norm = BatchNormState { gamma, beta, running_mean, running_var };
                let options = BatchNormOptions { relu: true, ..BatchNormOptions::default() };
                (x, gamma, tape.batch_norm(x, norm, None, options)?)
            }
        };
        match self.pass {
            Pass::Forward => tape.keep(y),
            Pass::InputGradient | Pass::WeightGradient => {
                let shape = tape.shape(y);
                let upstream = declare(&mut tape, "dy", shape.extents());
                let wanted = match (self.layer, self.pass) {
                    (Layer::BatchNorm(_), _) => vec![x, weight],
                    (_, Pass::WeightGradient) => vec![weight],
                    _ => vec![x],
                };
                let gradients = tape.backward(&[(y, upstream)], &wanted)?;
                gradients.into_iter().flatten().for_each(|gradient| tape.keep(gradient));
            }
        }
        let plan = Plan::on(processor, &tape, &layout)?;
        let mut state = layout.allocate_on(processor)?;
        for (lane, id) in (0..).zip(drawn) {
            let numbers = state.get_mut::<f32>(id);
            let generator = Philox::new(lane, Stream::Weights);
            for (index, four) in (0..).zip(numbers.chunks_mut(4)) {
                let words = generator.draw(0, index);
                four.iter_mut().zip(words).for_each(|(to, word)| *to = word as f32 / 2f32.powi(32) - 0.5);
            }
        }
        Ok((plan, state))
    }
}
