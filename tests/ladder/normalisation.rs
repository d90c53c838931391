//! BatchNorm in training, with the residual addition and ReLU behind it.

use kd_engine::ops::batch_norm::{BatchNormOptions, BatchNormState};
use kd_engine::ops::conv2d::Conv2dOptions;
use kd_engine::tensor::DType;

use crate::bench::Argument::{F32, In, Out, U32};
use crate::bench::{Bench, Recorder, compare, eighths, of_bf16, to_bf16, to_f32};
use crate::table::Family;

const SHAPE: [usize; 4] = [32, 16, 16, 32];
const ROWS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
const CHANNELS: usize = SHAPE[3];
const COUNT: usize = ROWS * CHANNELS;
const EPSILON: f64 = 1e-5;

pub fn batch_norm() -> Family {
    let (x, residual) = (eighths(COUNT, 1), eighths(COUNT, 2));
    let gamma: Vec<f64> = eighths(CHANNELS, 3).iter().map(|gamma| gamma + 1.5).collect();
    let beta = eighths(CHANNELS, 4);
    let column = |channel: usize| x.iter().skip(channel).step_by(CHANNELS);
    let mean: Vec<f64> = (0..CHANNELS).map(|channel| column(channel).sum::<f64>() / ROWS as f64).collect();
    let variance = |channel: usize| column(channel).map(|x| (x - mean[channel]).powi(2)).sum::<f64>() / ROWS as f64;
    let inv_std: Vec<f64> = (0..CHANNELS).map(|channel| (variance(channel) + EPSILON).sqrt().recip()).collect();
    let normal: Vec<f64> = (0..COUNT)
        .map(|index| {
            let channel = index % CHANNELS;
            (x[index] - mean[channel]) * inv_std[channel] * gamma[channel] + beta[channel]
        })
        .collect();
    let sum: Vec<f64> = normal.iter().zip(&residual).map(|(normal, residual)| normal + residual).collect();
    let expected: Vec<f64> = sum.iter().map(|sum| sum.max(0.0)).collect();
    // Rounding to bf16 costs 2^-8 of each number that is stored. In float32 the variance adds up 2^13 positive terms,
    // which is off by 2^13 * 2^-24 = 2^-11 of it at most and inv_std by half of that, 2^-12; that is granted of all
    // numbers on the way, for the few roundings of the rest too.
    let unit = 2f64.powi(-8);
    let in_float32 = |index: usize| 2f64.powi(-12) * (1.0 + normal[index].abs() + residual[index].abs());
    let stored_once = |index: usize| unit * sum[index].abs() + in_float32(index);
    let stored_twice = |index: usize| {
        let before = unit * normal[index].abs();
        before + unit * (sum[index].abs() + before) + in_float32(index)
    };

    let mut bench = Bench::new("batch_norm");
    let [from, other] = [("x", &x), ("residual", &residual)].map(|(name, of)| bench.input(name, &to_bf16(of)));
    let [scale, shift] = [("gamma", &gamma), ("beta", &beta)].map(|(name, of)| bench.input(name, &to_f32(of)));
    let [center, inverse] = ["mean", "inv_std"].map(|name| bench.output(name, 4 * CHANNELS));
    let [a, b, y] = ["a", "b", "y"].map(|name| bench.output(name, 2 * COUNT));
    let (rows, channels, count) = (U32(ROWS as u32), U32(CHANNELS as u32), U32(COUNT as u32));
    let epsilon = F32(EPSILON as f32);
    let mut rungs = Vec::new();

    let arguments = [In(&from), Out(&center), Out(&inverse), rows, channels, epsilon];
    bench.launch("batch_norm_1_statistics", [CHANNELS / 8, 1], 256, &arguments);
    let tables = [In(&scale), In(&shift), In(&center), In(&inverse)];
    let arguments = [&[In(&from)], &tables[..], &[Out(&a), count, channels]].concat();
    bench.launch("batch_norm_1_normalise", [COUNT / 256, 1], 256, &arguments);
    bench.launch("batch_norm_1_add", [COUNT / 256, 1], 256, &[In(&a), In(&other), Out(&b), count]);
    bench.launch("batch_norm_1_relu", [COUNT / 256, 1], 256, &[In(&b), Out(&y), count]);
    compare("batch_norm_1", &of_bf16(&bench.read(&y)), &expected, stored_twice);
    let name = "`batch_norm_1_statistics`, `_normalise`, `_add`, `_relu`";
    rungs.push((name.to_string(), bench.take_counts()));

    const CHUNK: usize = 256;
    let chunks = ROWS / CHUNK;
    let partials = bench.output("partials", 4 * chunks * 2 * CHANNELS);
    let arguments = [In(&from), Out(&partials), rows, channels, U32(CHUNK as u32)];
    bench.launch("batch_norm_2_partials", [chunks, 1], 256, &arguments);
    let statistics = [In(&from), In(&partials), Out(&center), Out(&inverse)];
    let arguments = [&statistics[..], &[rows, channels, U32(chunks as u32), epsilon]].concat();
    bench.launch("batch_norm_2_combine", [1, 1], 256, &arguments);
    let y = bench.output("y", 2 * COUNT);
    let arguments = [&[In(&from), In(&other)], &tables[..], &[Out(&y), count, channels]].concat();
    bench.launch("batch_norm_2_apply", [COUNT / 8 / 256, 1], 256, &arguments);
    compare("batch_norm_2", &of_bf16(&bench.read(&y)), &expected, stored_once);
    rungs.push(("`batch_norm_2_partials`, `_combine`, `_apply`".to_string(), bench.take_counts()));

    // What ships takes the statistics from the convolution before it: here one that changes nothing. Counted is what
    // comes on top of the convolution alone.
    let convolve = |recorder: &mut Recorder<'_>| {
        let one = |index: usize| f64::from(u8::from(index / CHANNELS == index % CHANNELS));
        let weight: Vec<f64> = (0..CHANNELS * CHANNELS).map(one).collect();
        let from = recorder.state("x", DType::BF16, &SHAPE, &to_bf16(&x));
        let weight = recorder.state("weight", DType::BF16, &[1, 1, CHANNELS, CHANNELS], &to_bf16(&weight));
        let options = Conv2dOptions { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 };
        recorder.tape.conv2d(from, weight, None, options).unwrap()
    };
    let (found, alone) = bench.ship(|recorder| vec![convolve(recorder)]);
    compare("the convolution", &found[0], &x, |_| 0.0);
    let without = bench.take_counts();
    let (found, kernels) = bench.ship(|recorder| {
        let convolved = convolve(recorder);
        let mut table = |name: &str, of: &[f64]| recorder.state(name, DType::F32, &[CHANNELS], &to_f32(of));
        let state = BatchNormState {
            gamma: table("gamma", &gamma),
            beta: table("beta", &beta),
            running_mean: table("running_mean", &[0.0; CHANNELS]),
            running_var: table("running_var", &[1.0; CHANNELS]),
        };
        let residual = recorder.state("residual", DType::BF16, &SHAPE, &to_bf16(&residual));
        let options = BatchNormOptions { relu: true, epsilon: EPSILON, ..BatchNormOptions::default() };
        vec![recorder.tape.batch_norm(convolved, state, Some(residual), options).unwrap()]
    });
    compare("what ships", &found[0], &expected, stored_once);
    assert_eq!(kernels[0], alone[0], "the same convolution");
    let behind: Vec<String> = kernels[1..].iter().map(|kernel| format!("`{kernel}`")).collect();
    let name = format!("in `{}`, {}", kernels[0], behind.join(", "));
    rungs.push((name, bench.take_counts() - without));
    Family {
        heading: "BatchNorm, ReLU and residual",
        multiply_adds: None,
        bytes: 3 * 2 * COUNT as u64,
        rungs,
        nvrtc: bench.nvrtc,
    }
}
