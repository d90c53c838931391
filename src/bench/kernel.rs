//! One layer's pass at a time, on the shapes that the nets have.

use super::Entry;
use super::cold::{Cold, FLUSHED};
use super::machine::Machine;
use super::profile::bytes;
use super::timing::{Effort, Times};
use crate::config::Precision;
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
    precision: Precision,
}

/// Every pass of every convolution and BatchNorm of `nets` at 32x32x3 and 100 classes, each shape once, in `precision`; those
/// on which TF32 has no say are left out there.
///
/// # Errors
/// For a net that is not there.
pub fn cases(nets: &[&str], batch: usize, precision: Precision) -> Result<Vec<KernelCase>> {
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
            let other = precision == Precision::Tf32 && matches!(layer, Layer::BatchNorm(_));
            if !other && !layers.contains(&layer) {
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
        passes.iter().map(move |pass| KernelCase { layer, pass: *pass, precision })
    };
    Ok(layers.into_iter().flat_map(passes).collect())
}

impl KernelCase {
    /// `kernel/conv2d_fprop/32x32x16-16-k3-s1-g1/b64/f32`: map, input channels, output channels, kernel, stride, groups;
    /// precision;
    /// `kernel/batch_norm+relu/32x32x16/b64/f32`.
    pub fn name(&self) -> String {
        let precision = self.precision.name();
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
                format!("kernel/conv2d_{pass}/{shape}/b{batch}/{precision}")
            }
            Layer::BatchNorm([batch, height, width, channels]) => {
                let pass = if self.pass == Pass::Forward { "batch_norm+relu" } else { "batch_norm+relu_gradient" };
                format!("kernel/{pass}/{height}x{width}x{channels}/b{batch}/{precision}")
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
        if let Some(cold) = Cold::on(processor, FLUSHED)? {
            return self.measure_on_gpu(&plan, &mut arena, &mut state, &cold, machine, effort);
        }
        // What goes before the pass in the plan only prepares for it.
        let mut replay = || Ok::<_, Error>(plan.profile(&mut arena, &mut state)?.pop().expect("a pass is planned"));
        let one: OpTime = replay()?;
        let times = Times::measure(effort.kernel, || Ok(replay()?.time))?;
        let bytes = bytes(one.name, &one.signature);
        Ok(Entry::of_kernel(self.name(), &times, one.flops, bytes, machine, self.precision))
    }

    /// As [`KernelCase::measure`], all launches of the pass together.
    fn measure_on_gpu(
        &self,
        plan: &Plan,
        arena: &mut Arena,
        state: &mut State,
        cold: &Cold,
        machine: &Machine,
        effort: Effort,
    ) -> Result<Entry> {
        plan.run(arena, state)?;
        // What goes before the pass in the plan only prepares for it.
        let (mut launches, mut flops, mut moved) = (Vec::new(), 0, 0);
        plan.each_launch(arena, state, |shown| {
            if shown.step + 1 == plan.len() {
                launches.push(shown.launch.clone());
                (flops, moved) = (shown.flops, bytes(shown.operation, &shown.signature));
            }
            Ok(())
        })?;
        let times = cold.times(&launches.iter().collect::<Vec<_>>(), effort.kernel)?;
        Ok(Entry::of_kernel(self.name(), &times, flops, moved, machine, self.precision))
    }

    /// The layer with its pass as the last operation, and numbers to work on.
    fn plan(&self, processor: &Processor) -> Result<(Plan, State)> {
        let mut layout = StateLayout::new();
        let mut drawn: Vec<StateId> = Vec::new();
        let storage = if self.precision == Precision::Bf16 { DType::BF16 } else { DType::F32 };
        let mut tape = Tape::with_storage(DType::F32, storage);
        tape.set_tf32(self.precision == Precision::Tf32);
        let mut declare = |tape: &mut Tape, name: &str, dtype: DType, shape: &[usize]| {
            let id = layout.declare(name, dtype, Shape::new(shape));
            drawn.push(id);
            tape.state(&layout, id)
        };
        let (x, weight, y) = match self.layer {
            Layer::Conv2d(geometry) => {
                let Conv2dGeometry { batch, height, width, in_channels, out_channels, kernel, groups, .. } = geometry;
                let x = declare(&mut tape, "x", storage, &[batch, height, width, in_channels]);
                let shape = [kernel[0], kernel[1], in_channels / groups, out_channels];
                let weight = declare(&mut tape, "weight", storage, &shape);
                let Conv2dGeometry { stride, padding, dilation, .. } = geometry;
                let y = tape.conv2d(x, weight, None, Conv2dOptions { stride, padding, dilation, groups })?;
                (x, weight, y)
            }
            Layer::BatchNorm(shape) => {
                let x = declare(&mut tape, "x", storage, &shape);
                let mut channels = |name: &str| declare(&mut tape, name, DType::F32, &shape[3..]);
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
                let upstream = declare(&mut tape, "dy", storage, shape.extents());
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
            let generator = Philox::new(lane, Stream::Weights);
            let count = state.layout().entry(id).shape.count();
            let words = (0..count.div_ceil(4) as u64).flat_map(|index| generator.draw(0, index));
            let numbers = words.map(|word| word as f32 / 2f32.powi(32) - 0.5);
            match state.layout().entry(id).dtype {
                DType::BF16 => {
                    let to = state.get_mut::<half::bf16>(id);
                    to.iter_mut().zip(numbers).for_each(|(to, number)| *to = half::bf16::from_f32(number));
                }
                _ => state.get_mut::<f32>(id).iter_mut().zip(numbers).for_each(|(to, number)| *to = number),
            }
        }
        Ok((plan, state))
    }
}
