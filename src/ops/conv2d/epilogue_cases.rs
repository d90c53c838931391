//! What is checked of what convolutions do with their results beside storing them: the partial statistics that they leave
//! for BatchNorm in training, and BatchNorm with running statistics, addition of a residual and ReLU.
//!
//! Images and weights are -1, 0 and 1 and biases integers, so that results are integers which bf16 and float32 hold: what
//! is checked is what the statistics make of them. Biases are many standard deviations, so that statistics lose their
//! digits where deviations are not taken from a number near the mean. Tiles are cut at both edges of the matrix.

use super::Conv2dOptions;
use crate::error::Result;
use crate::ops::batch_norm::{BatchNormOptions, BatchNormState};
use crate::ops::case::{Case, Probe, Storage, Tolerance};
use crate::tape::ValueId;

#[derive(Clone, Copy, Debug)]
struct Layer {
    images: [usize; 4],
    weights: [usize; 4],
    options: Conv2dOptions,
    bias: bool,
    tf32: bool,
}

const PLAIN: Conv2dOptions = Conv2dOptions { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 };

/// A convolution with a bias whose map is as large as its images.
fn layer(images: [usize; 4], kernel: [usize; 2], channels: usize) -> Layer {
    let options = Conv2dOptions { padding: kernel.map(|size| size / 2), ..PLAIN };
    Layer { images, weights: [kernel[0], kernel[1], images[3], channels], options, bias: true, tf32: false }
}

fn depthwise([n, h, w, channels]: [usize; 4], stride: usize) -> Layer {
    let options = Conv2dOptions { stride: [stride; 2], padding: [1, 1], groups: channels, ..PLAIN };
    Layer { options, weights: [3, 3, 1, channels], ..layer([n, h, w, channels], [3, 3], channels) }
}

fn grouped(images: [usize; 4], groups: usize, channels: usize) -> Layer {
    let weights = [1, 2, images[3] / groups, channels];
    Layer { weights, options: Conv2dOptions { groups, ..PLAIN }, ..layer(images, [1, 2], channels) }
}

pub(in crate::ops) fn cases() -> Vec<Case> {
    let bare = |layer: Layer| Layer { bias: false, ..layer };
    let tf32 = |layer: Layer| Layer { tf32: true, ..layer };
    let (point, square) = ([1, 1], [3, 3]);
    let bf16 = [
        // Tensor cores: 128 x 16, 128 x 32, 64 x 64, 128 x 64, any channels; rows of a second tile, and less than a
        // tile; a tile of 128 x 64 needs 64 blocks.
        layer([3, 9, 5, 16], square, 8),
        bare(layer([1, 11, 13, 8], point, 16)),
        layer([1, 3, 4, 8], point, 16),
        layer([3, 9, 5, 8], square, 24),
        bare(layer([1, 10, 14, 8], point, 32)),
        layer([1, 9, 8, 8], square, 40),
        bare(layer([2, 9, 8, 16], point, 72)),
        layer([1, 3, 5, 8], point, 64),
        layer([1, 64, 127, 8], point, 40),
        layer([1, 9, 8, 5], square, 67),
        bare(layer([1, 7, 11, 10], point, 14)),
    ];
    let with_tf32 = [
        layer([3, 9, 5, 8], square, 20),
        bare(layer([1, 11, 13, 8], point, 32)),
        layer([1, 9, 8, 8], square, 36),
        bare(layer([2, 9, 8, 16], point, 68)),
        layer([1, 64, 127, 4], point, 36),
    ];
    // Dense and 1x1 kernels in float32: tiles of 128 x 64, 128 x 32, 128 x 16 and 32 x 32.
    let f32 = [
        layer([3, 13, 26, 5], [1, 3], 451),
        layer([3, 52, 52, 5], [1, 3], 27),
        layer([3, 52, 52, 5], [1, 3], 15),
        layer([2, 5, 7, 5], square, 37),
        layer([3, 13, 26, 4], point, 452),
        layer([3, 52, 52, 4], point, 28),
        layer([3, 52, 52, 4], point, 16),
        layer([2, 5, 7, 5], point, 40),
        bare(layer([1, 3, 5, 6], point, 33)),
    ];
    // First layers, groups, and channels of their own: strips that end at every place, several blocks along both sides.
    let both = [
        layer([2, 9, 8, 3], square, 11),
        bare(layer([1, 11, 13, 2], square, 16)),
        layer([2, 9, 8, 3], square, 37),
        bare(layer([1, 11, 13, 1], square, 32)),
        grouped([1, 11, 14, 24], 2, 40),
        bare(grouped([1, 13, 13, 15], 3, 33)),
        depthwise([2, 13, 11, 24], 1),
        bare(depthwise([1, 5, 6, 264], 1)),
        depthwise([1, 3, 9, 8], 1),
        depthwise([1, 3, 8, 8], 1),
        depthwise([2, 13, 16, 24], 2),
        depthwise([1, 3, 9, 8], 2),
        depthwise([1, 5, 13, 8], 2),
        depthwise([1, 3, 15, 8], 2),
        bare(depthwise([1, 9, 19, 264], 2)),
        // No statistics of its own: BatchNorm reads the result.
        depthwise([1, 5, 6, 9], 1),
    ];
    let f32 = f32.into_iter().chain(with_tf32.map(tf32)).chain(both).map(|layer| (layer, Storage::F32));
    // More partials than are on their way at once, twice.
    let many = layer([1, 363, 363, 1], point, 4).statistics(Storage::F32);
    let all = f32.chain(bf16.into_iter().chain(both).map(|layer| (layer, Storage::Bf16)));
    let each = |(index, (layer, storage)): (usize, (Layer, Storage))| {
        let bare = layer.normalised(storage, false, index % 2 == 0);
        let with_relu = [false, true].map(|residual| layer.normalised(storage, true, residual));
        [layer.statistics(storage), bare].into_iter().chain(with_relu)
    };
    all.enumerate().flat_map(each).chain([many]).collect()
}

impl Layer {
    fn name(&self) -> String {
        let Self { images, weights, options: Conv2dOptions { stride, groups, .. }, bias, tf32 } = *self;
        let bias = if bias { " with bias" } else { "" };
        let tf32 = if tf32 { " in TF32" } else { "" };
        format!("conv2d and batch_norm {images:?} {weights:?} stride {stride:?} groups {groups}{bias}{tf32}")
    }

    /// Images, weights, bias and BatchNorm's state, whose means and variances are about those of the results.
    fn inputs(&self, probe: &mut Probe<'_>) -> (ValueId, ValueId, Option<ValueId>, BatchNormState) {
        probe.tape.set_tf32(self.tf32);
        let (x, weight) = (signs(probe, "x", self.images), signs(probe, "weight", self.weights));
        let [rows, columns, inputs, channels] = self.weights;
        // Integers up to 256 are exact in bf16, and the products of a result add up to far less than 100.
        let far = if probe.storage() == Storage::Bf16 { 100.0 } else { 3000.0 };
        let biases =
            |channel: usize| (far + (channel % 29) as f64) * if channel.is_multiple_of(3) { -1.0 } else { 1.0 };
        let bias = self.bias.then(|| probe.float_of("bias", [channels], (0..channels).map(biases).collect()));
        let center = |channel: usize| if self.bias { biases(channel) } else { 0.0 };
        let means = probe.normal(channels).into_iter().enumerate().map(|(channel, x)| center(channel) + x).collect();
        let variances = probe.normal(channels).into_iter();
        let variances = variances.map(|x| (rows * columns * inputs) as f64 * (0.2 + x * x / 4.0)).collect();
        let state = BatchNormState {
            gamma: probe.float("gamma", [channels]),
            beta: probe.float("beta", [channels]),
            running_mean: probe.float_of("mean", [channels], means),
            running_var: probe.float_of("variance", [channels], variances),
        };
        (x, weight, bias, state)
    }

    /// BatchNorm with running statistics, as one operation with the convolution.
    fn normalised(self, storage: Storage, relu: bool, residual: bool) -> Case {
        let parts = [(relu, " relu"), (residual, " residual")];
        let parts: String = parts.into_iter().filter_map(|(on, name)| on.then_some(name)).collect();
        Case::new(format!("{}, running{parts}", self.name()), storage, move |probe| {
            let (x, weight, bias, state) = self.inputs(probe);
            let geometry = probe.tape.convolution(x, weight, bias, self.options)?;
            let [rows, columns] = geometry.output();
            let shape = [geometry.batch, rows, columns, geometry.out_channels];
            let residual = residual.then(|| probe.activation("residual", shape));
            let norm = BatchNormOptions { training: false, relu, epsilon: 0.5, ..BatchNormOptions::default() };
            let y = probe.tape.conv2d_batch_norm(x, weight, bias, self.options, state, residual, norm)?;
            // The result of the convolution is exact, and so is its distance from the mean but for a rounding.
            probe.check("y", y, Tolerance::sum(1));
            Ok(())
        })
    }

    /// BatchNorm in training.
    fn statistics(self, storage: Storage) -> Case {
        Case::new(format!("{}, trained", self.name()), storage, move |probe| self.trained(probe))
    }

    fn trained(&self, probe: &mut Probe<'_>) -> Result<()> {
        let (x, weight, bias, state) = self.inputs(probe);
        let y = probe.tape.conv2d(x, weight, bias, self.options)?;
        let z = probe.tape.batch_norm(y, state, None, BatchNormOptions::default())?;
        let outputs = probe.tape.nodes().last().map(|node| node.outputs.clone()).unwrap_or_default();
        // Sums of at most 128 terms in one go, and of fewer such sums, in float32 whatever the activations are.
        let sum = Tolerance::sum(128);
        let sums = Tolerance { bf16: sum.f32, ..sum };
        probe.check("convolved", y, Tolerance::EXACT);
        probe.check("mean", outputs[1], sums);
        probe.check("inv_std", outputs[2], sums);
        probe.check("normalised", z, sum);
        probe.updates_within(sums);
        Ok(())
    }
}

/// -1, 0 and 1, all equally often but for a little.
fn signs(probe: &mut Probe<'_>, name: &str, shape: [usize; 4]) -> ValueId {
    let values = probe.normal(shape.iter().product());
    probe.activation_of(name, shape, values.into_iter().map(|x| x.round().clamp(-1.0, 1.0)).collect())
}
