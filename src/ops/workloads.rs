//! What each kernel is counted and timed on: layers as the nets of the zoo have them, at 32x32 and 100 classes. Cases
//! ([`super::case`]) are small and odd, to find faults; these are whole and common, to see what a kernel costs.
//!
//! Every kernel of the binary is launched by at least one; `benches/kernels.toml` says which.

use super::batch::{Augmentation, BatchSource};
use super::batch_norm::{BatchNormOptions, BatchNormState};
use super::case::{Case, Probe, Storage, Tolerance};
use super::classroom::ClassroomOptions;
use super::clock::Tables;
use super::conv2d::Conv2dOptions;
use super::sgd::{SgdOptions, SgdParameter, Watch};
use crate::error::Result;
use crate::tape::ValueId;

/// Images of a batch where work is counted: enough blocks for every tile's kernel to be taken.
pub const COUNTED_BATCH: usize = 8;

/// Classes, and rows of logits: the batch of the published protocol.
pub(super) const CLASSES: usize = 100;

/// Every workload, with `batch` images.
pub fn workloads(batch: usize) -> Vec<Case> {
    let mut all = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        all.extend(elementwise(batch, storage));
        all.extend(channels(batch, storage));
        all.extend(pools(batch, storage));
        all.extend(convolutions(batch, storage));
    }
    all.extend(float32(batch));
    all.extend(super::map::workloads::workloads(batch));
    all.extend(super::broadcast::workloads::workloads(batch));
    all.extend(super::reduce::workloads::workloads(batch));
    all.extend(super::median::workloads::workloads(batch));
    all.extend(super::gather_rows::workloads::workloads(batch));
    all.extend(super::matmul::workloads::workloads(batch));
    all.extend(super::one_hot::workloads::workloads(batch));
    all.extend(super::permute::workloads::workloads(batch));
    all.extend(super::resize::workloads::workloads(batch));
    all.extend(super::adam::workloads::workloads(batch));
    all.extend(super::affine_grid::workloads::workloads(batch));
    all.extend(super::areas::workloads::workloads(batch));
    all.extend(super::gather_channels::workloads::workloads(batch));
    all.extend(super::grid_sample::workloads::workloads(batch));
    all.extend(super::random::workloads::workloads(batch));
    all.extend(super::contrast::workloads::workloads(batch));
    all.extend(super::dropout::workloads::workloads(batch));
    all.extend(super::strong_view::workloads::workloads(batch));
    all
}

pub(super) fn workload(
    name: &str,
    storage: Storage,
    record: impl Fn(&mut Probe<'_>) -> Result<()> + Send + Sync + 'static,
) -> Case {
    Case::new(name, storage, record)
}

/// Nothing is compared here.
pub(super) fn keep(probe: &mut Probe<'_>, value: ValueId) {
    probe.check("kept", value, Tolerance::EXACT);
}

/// The gradients of `inputs`, and the output itself.
pub(super) fn keep_gradients(probe: &mut Probe<'_>, output: ValueId, inputs: &[ValueId]) -> Result<()> {
    keep(probe, output);
    let wanted: Vec<_> = inputs.iter().map(|input| (*input, Tolerance::EXACT)).collect();
    probe.check_gradients(output, &wanted)
}

/// The state of a BatchNorm over `channels` channels, as it is after a while.
fn norm(probe: &mut Probe<'_>, channels: usize) -> BatchNormState {
    BatchNormState {
        gamma: probe.float("gamma", [channels]),
        beta: probe.float("beta", [channels]),
        running_mean: probe.float("running_mean", [channels]),
        running_var: probe.float_of("running_var", [channels], vec![1.0; channels]),
    }
}

/// resnet20's first stage, `[N, 32, 32, 16]`.
fn elementwise(batch: usize, storage: Storage) -> Vec<Case> {
    let map = [batch, 32, 32, 16];
    let mut all = vec![
        workload("batch: 32x32x3, crop 4, flip", storage, move |probe| {
            let images = 4 * batch;
            let bytes = (0..images * 3072).map(|index| (index * 31 % 251) as u8).collect();
            let label = |index: usize| (index % CLASSES) as u32;
            let source = BatchSource {
                images: probe.bytes("images", [images, 32, 32, 3], bytes),
                labels: probe.integers("all labels", [images], (0..images).map(label).collect()),
                indices: probe.integers("indices", [batch], (0..batch as u32).map(|index| 3 * index + 1).collect()),
                step: probe.integers("step", [1], vec![7]),
            };
            let augmentation = Augmentation { crop_padding: 4, flip: true };
            let (images, labels) = probe.tape.batch(&source, &[0.5; 3], &[0.25; 3], augmentation, 1)?;
            keep(probe, images);
            keep(probe, labels);
            Ok(())
        }),
        workload("add: 32x32x16", storage, move |probe| {
            let (a, b) = (probe.activation("a", map), probe.activation("b", map));
            let sum = probe.tape.add(a, b)?;
            keep(probe, sum);
            Ok(())
        }),
        workload("relu: 32x32x16", storage, move |probe| {
            let x = probe.activation("x", map);
            let y = probe.tape.relu(x)?;
            keep_gradients(probe, y, &[x])
        }),
        workload("scale: 32x32x16", storage, move |probe| {
            let (x, factor) = (probe.activation("x", map), probe.float("factor", []));
            let doubled = probe.tape.scale(x, 2.0);
            let scaled = probe.tape.scale_by(doubled, factor)?;
            keep(probe, scaled);
            Ok(())
        }),
    ];
    // A block's last BatchNorm takes the shortcut and the ReLU in.
    for residual in [false, true] {
        let name = format!("batch_norm, relu{}: 32x32x16", if residual { ", residual" } else { "" });
        all.push(workload(&name, storage, move |probe| {
            let (x, state) = (probe.activation("x", map), norm(probe, 16));
            let residual = residual.then(|| probe.activation("residual", map));
            let options = BatchNormOptions { relu: true, ..BatchNormOptions::default() };
            let y = probe.tape.batch_norm(x, state, residual, options)?;
            let inputs: Vec<ValueId> = [x, state.gamma, state.beta].into_iter().chain(residual).collect();
            keep_gradients(probe, y, &inputs)
        }));
    }
    all.push(workload("batch_norm, relu, residual, running statistics: 32x32x16", storage, move |probe| {
        let (x, state, residual) = (probe.activation("x", map), norm(probe, 16), probe.activation("residual", map));
        let options = BatchNormOptions { relu: true, training: false, ..BatchNormOptions::default() };
        let y = probe.tape.batch_norm(x, state, Some(residual), options)?;
        keep(probe, y);
        Ok(())
    }));
    if storage == Storage::Bf16 {
        all.push(workload("cast: the convolutions of resnet20", storage, move |probe| {
            // All but vectors and the classifier.
            let counts = resnet20().into_iter().filter(|count| *count >= 9 * 16 && *count != 64 * CLASSES);
            let weights: Vec<ValueId> = counts.map(|count| probe.float("weight", [count])).collect();
            let storage = probe.tape.storage();
            for cast in probe.tape.cast_all(&weights, storage)? {
                keep(probe, cast);
            }
            Ok(())
        }));
        all.push(workload("cast: 32x32x16 to float32", storage, move |probe| {
            let (x, float) = (probe.activation("x", map), probe.tape.float());
            let cast = probe.tape.cast(x, float)?;
            keep(probe, cast);
            Ok(())
        }));
    }
    all
}

/// ShuffleV2's concatenation and shuffle, ShuffleV1's shuffle, the shortcut of He et al.'s option A.
fn channels(batch: usize, storage: Storage) -> Vec<Case> {
    vec![
        workload("concat: 16x16x58 and 58", storage, move |probe| {
            let parts = [probe.activation("a", [batch, 16, 16, 58]), probe.activation("b", [batch, 16, 16, 58])];
            let y = probe.tape.concat(&parts)?;
            keep_gradients(probe, y, &parts)
        }),
        workload("channel_shuffle: 16x16x116 in 2", storage, move |probe| {
            let x = probe.activation("x", [batch, 16, 16, 116]);
            let y = probe.tape.channel_shuffle(x, 2)?;
            keep_gradients(probe, y, &[x])
        }),
        workload("option_a_shortcut: 32x32x16 to 32", storage, move |probe| {
            let x = probe.activation("x", [batch, 32, 32, 16]);
            let y = probe.tape.option_a_shortcut(x, 32, 2)?;
            keep_gradients(probe, y, &[x])
        }),
    ]
}

/// vgg's pooling, ShuffleV1's, and what goes before every classifier.
fn pools(batch: usize, storage: Storage) -> Vec<Case> {
    vec![
        workload("max_pool: 32x32x64, 2 by 2", storage, move |probe| {
            let x = probe.activation("x", [batch, 32, 32, 64]);
            let y = probe.tape.max_pool(x, 2, 2, 0)?;
            keep_gradients(probe, y, &[x])
        }),
        workload("avg_pool: 32x32x24, 3 by 3, stride 2", storage, move |probe| {
            let x = probe.activation("x", [batch, 32, 32, 24]);
            let y = probe.tape.avg_pool(x, 3, 2, 1, true)?;
            keep_gradients(probe, y, &[x])
        }),
        workload("adaptive_avg_pool: 8x8x64", storage, move |probe| {
            let x = probe.activation("x", [batch, 8, 8, 64]);
            let y = probe.tape.adaptive_avg_pool(x, 1, 1)?;
            keep_gradients(probe, y, &[x])
        }),
    ]
}

/// A convolution: images `[N, side, side, inputs]`, a square kernel that pads by half.
#[derive(Clone, Copy, Debug)]
struct Layer {
    side: usize,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

const fn layer(side: usize, inputs: usize, outputs: usize, kernel: usize) -> Layer {
    Layer { side, inputs, outputs, kernel, stride: 1, groups: 1 }
}

/// Layers of resnet20, wrn, vgg, ResNet50, MobileNetV2, ShuffleV1 and ShuffleV2, as many as reach every kernel.
const LAYERS: [Layer; 16] = [
    layer(32, 3, 16, 3),
    layer(32, 3, 64, 3),
    layer(32, 16, 16, 3),
    layer(32, 32, 32, 3),
    layer(32, 64, 64, 3),
    layer(8, 64, 64, 3),
    layer(32, 16, 16, 1),
    layer(32, 32, 32, 1),
    layer(32, 64, 64, 1),
    layer(8, 64, 64, 1),
    layer(16, 58, 58, 1),
    Layer { groups: 3, ..layer(16, 240, 60, 1) },
    Layer { groups: 48, ..layer(16, 48, 48, 3) },
    Layer { groups: 96, stride: 2, ..layer(16, 96, 96, 3) },
    Layer { groups: 58, ..layer(16, 58, 58, 3) },
    Layer { groups: 58, stride: 2, ..layer(16, 58, 58, 3) },
];

fn convolutions(batch: usize, storage: Storage) -> Vec<Case> {
    let mut all = Vec::new();
    for layer in LAYERS {
        let Layer { side, inputs, outputs, kernel, stride, groups } = layer;
        // float32 has kernels of two kinds; only those of dense layers differ.
        let dense = groups == 1 && inputs % 4 == 0;
        for tf32 in if storage == Storage::F32 && dense { &[false, true][..] } else { &[false] } {
            let tf32 = *tf32;
            let shape = format!("{side}x{side}x{inputs} to {outputs}, {kernel} by {kernel}");
            let more = [
                (stride > 1).then(|| format!(", stride {stride}")),
                (groups > 1).then(|| format!(", {groups} groups")),
            ];
            let name = format!(
                "conv2d: {shape}{}{}",
                more.into_iter().flatten().collect::<String>(),
                if tf32 { ", tf32" } else { "" }
            );
            all.push(workload(&name, storage, move |probe| {
                probe.tape.set_tf32(tf32);
                let x = probe.activation("x", [batch, side, side, inputs]);
                let weight = probe.activation("weight", [kernel, kernel, inputs / groups, outputs]);
                let padding = [kernel / 2; 2];
                let options = Conv2dOptions { stride: [stride; 2], padding, dilation: [1; 2], groups };
                let y = probe.tape.conv2d(x, weight, None, options)?;
                // Images need no gradient.
                let wanted = if inputs == 3 { &[weight][..] } else { &[x, weight] };
                keep_gradients(probe, y, wanted)
            }));
        }
    }
    all
}

/// Elements of resnet20's parameters.
fn resnet20() -> Vec<usize> {
    let mut counts = vec![3 * 3 * 3 * 16, 16, 16];
    for (inputs, outputs) in [(16, 16), (16, 32), (32, 64)] {
        for block in 0..3 {
            let inputs = if block == 0 { inputs } else { outputs };
            counts.extend([9 * inputs * outputs, outputs, outputs, 9 * outputs * outputs, outputs, outputs]);
            if inputs != outputs {
                counts.extend([inputs * outputs, outputs, outputs]);
            }
        }
    }
    counts.extend([64 * CLASSES, CLASSES]);
    counts
}

/// What is float32 always: logits, losses, counters, the optimizer.
fn float32(batch: usize) -> Vec<Case> {
    let f32 = Storage::F32;
    let logits = move |probe: &mut Probe<'_>, name: &str| probe.float(name, [batch, CLASSES]);
    let labels = move |probe: &mut Probe<'_>| {
        probe.integers("labels", [batch], (0..batch).map(|row| (7 * row % CLASSES) as u32).collect())
    };
    let mut all = vec![
        workload("linear: 64 to 100", f32, move |probe| {
            let (x, weight) = (probe.float("x", [batch, 64]), probe.float("weight", [64, CLASSES]));
            let bias = probe.float("bias", [CLASSES]);
            let y = probe.tape.linear(x, weight, Some(bias))?;
            keep_gradients(probe, y, &[x, weight, bias])
        }),
        workload("cross_entropy: 100 classes", f32, move |probe| {
            let (logits, labels) = (logits(probe, "logits"), labels(probe));
            let loss = probe.tape.cross_entropy(logits, labels, 0.1)?;
            keep(probe, loss);
            Ok(())
        }),
        workload("kl_divergence: 100 classes", f32, move |probe| {
            let (student, mentor) = (logits(probe, "student"), logits(probe, "mentor"));
            let loss = probe.tape.kl_divergence(student, mentor, 4.0)?;
            keep(probe, loss);
            Ok(())
        }),
        workload("classroom: 6 mentors, 100 classes", f32, move |probe| {
            let networks: Vec<ValueId> = (0..7).map(|_| logits(probe, "logits")).collect();
            let labels = labels(probe);
            let options = ClassroomOptions { tau: 12.0, ..ClassroomOptions::default() };
            let found = probe.tape.classroom_loss(networks[0], &networks[1..], labels, &options)?;
            keep(probe, found.loss);
            Ok(())
        }),
        workload("evaluate: 100 classes", f32, move |probe| {
            let (logits, labels) = (logits(probe, "logits"), labels(probe));
            let valid = probe.integers("valid", [1], vec![batch as u32]);
            let counters = 4 + 2 * CLASSES;
            let counters = probe.totals("counters", [counters], vec![0.0; counters]);
            probe.tape.evaluate(logits, labels, valid, counters)
        }),
        workload("accumulate: 1", f32, |probe| {
            let (x, total) = (probe.float("x", [1]), probe.totals("total", [1], vec![0.0]));
            probe.tape.accumulate_into(x, total)
        }),
        workload("fill: 32x32x16", f32, move |probe| {
            let y = probe.tape.fill([batch, 32, 32, 16], 1.0);
            keep(probe, y);
            Ok(())
        }),
        workload("sgd: resnet20", f32, |probe| {
            let parameters: Vec<SgdParameter> = resnet20()
                .into_iter()
                .map(|count| SgdParameter {
                    weight: probe.float("weight", [count]),
                    gradient: probe.float("gradient", [count]),
                    velocity: probe.float("velocity", [count]),
                })
                .collect();
            let rate = probe.float_of("rate", [], vec![0.1]);
            let watch = Watch {
                loss: probe.float_of("loss", [], vec![2.0]),
                number: probe.integers("number", [1], vec![0]),
                broken: probe.integers("broken", [1], vec![0]),
            };
            probe.tape.sgd(&parameters, rate, watch, SgdOptions { momentum: 0.9, weight_decay: 5e-4, nesterov: false })
        }),
        workload("clock: 100 steps", f32, move |probe| {
            let images = 100 * batch;
            let tables = Tables {
                order: probe.integers("order", [images], (0..images as u32).rev().collect()),
                rates: Some(probe.float("rates", [100])),
                cursor: probe.integers("cursor", [2], vec![7, 1007]),
            };
            probe.tape.tick(&tables, batch).map(|_| ())
        }),
    ];
    for logarithm in [false, true] {
        let name = if logarithm { "log_softmax: 100 classes" } else { "softmax: 100 classes" };
        all.push(workload(name, f32, move |probe| {
            let x = logits(probe, "x");
            let y = if logarithm { probe.tape.log_softmax(x, 4.0)? } else { probe.tape.softmax(x, 4.0)? };
            keep_gradients(probe, y, &[x])
        }));
    }
    all
}
