//! Convolutions: forward pass, weight gradient, depthwise.

use kd_engine::ops::conv2d::Conv2dOptions;
use kd_engine::tensor::DType;

use crate::bench::Argument::{In, Out, U32, Words};
use crate::bench::{Bench, compare, eighths, of_bf16, of_f32, to_bf16};
use crate::table::Family;

/// Images `[N, H, W, C]`, results `[N, H, W, K]`; 3x3, stride 1, padding 1.
struct Shape {
    images: usize,
    side: usize,
    channels: usize,
    outputs: usize,
}

impl Shape {
    fn pixels(&self) -> usize {
        self.images * self.side * self.side
    }

    fn words(&self) -> [u32; 5] {
        [self.images, self.side, self.side, self.channels, self.outputs].map(|extent| extent as u32)
    }

    /// Calls `visit(pixel of y, tap, pixel of x)` for all that meet.
    fn each_meeting(&self, mut visit: impl FnMut(usize, usize, usize)) {
        for pixel in 0..self.pixels() {
            let (row, x) = (pixel / self.side, pixel % self.side);
            for tap in 0..9 {
                let (above, left) = (row % self.side + tap / 3, x + tap % 3);
                if (1..=self.side).contains(&above) && (1..=self.side).contains(&left) {
                    visit(pixel, tap, (row / self.side * self.side + above - 1) * self.side + left - 1);
                }
            }
        }
    }
}

fn options(groups: usize) -> Conv2dOptions {
    Conv2dOptions { stride: [1; 2], padding: [1; 2], dilation: [1; 2], groups }
}

/// Rounded to bf16 once.
fn rounded(sums: &[f64]) -> Vec<f64> {
    of_bf16(&to_bf16(sums))
}

fn quoted(kernels: &[String]) -> String {
    kernels.iter().map(|kernel| format!("`{kernel}`")).collect::<Vec<_>>().join(", ")
}

/// All rungs.
pub fn forward() -> Family {
    forward_of("Convolution, forward", Shape { images: 2, side: 16, channels: 64, outputs: 64 }, 0)
}

/// Where there are enough pixels for the largest tiles: the last rung and what ships.
pub fn large_forward() -> Family {
    let shape = Shape { images: 8, side: 32, channels: 64, outputs: 64 };
    forward_of("Convolution, forward, many pixels", shape, 4)
}

fn forward_of(heading: &'static str, shape: Shape, first: usize) -> Family {
    let Shape { images, side, channels, outputs } = shape;
    let (count, weights, pixels) = (shape.pixels() * outputs, 9 * channels * outputs, shape.pixels());
    let (x, w) = (eighths(pixels * channels, 1), eighths(weights, 2));
    let mut expected = vec![0.0; count];
    shape.each_meeting(|pixel, tap, from| {
        for (c, x) in x[from * channels..][..channels].iter().enumerate() {
            let row = &w[(tap * channels + c) * outputs..][..outputs];
            expected[pixel * outputs..][..outputs].iter_mut().zip(row).for_each(|(sum, w)| *sum += x * w);
        }
    });
    let expected = rounded(&expected);

    let mut bench = Bench::new("conv_fprop");
    let (from, by) = (bench.input("x", &to_bf16(&x)), bench.input("w", &to_bf16(&w)));
    let mut rungs = Vec::new();
    let all = [
        ("conv_fprop_1_plain", [count / 256, 1], 256),
        ("conv_fprop_2_tiles", [pixels / 16, outputs / 16], 256),
        ("conv_fprop_3_registers", [pixels / 64, outputs / 64], 256),
        ("conv_fprop_4_matrices", [pixels / 64, outputs / 64], 128),
        ("conv_fprop_5_permuted", [pixels / 64, outputs / 64], 128),
    ];
    for (kernel, grid, block) in all.into_iter().skip(first) {
        let to = bench.output("y", 2 * count);
        bench.launch(kernel, grid, block, &[In(&from), In(&by), Out(&to), Words(&shape.words())]);
        compare(kernel, &of_bf16(&bench.read(&to)), &expected, |_| 0.0);
        rungs.push((format!("`{kernel}`"), bench.take_counts()));
    }
    let (found, kernels) = bench.ship(|recorder| {
        let x = recorder.state("x", DType::BF16, &[images, side, side, channels], &to_bf16(&x));
        let w = recorder.state("w", DType::BF16, &[3, 3, channels, outputs], &to_bf16(&w));
        vec![recorder.tape.conv2d(x, w, None, options(1)).unwrap()]
    });
    compare(&kernels[0], &found[0], &expected, |_| 0.0);
    rungs.push((quoted(&kernels), bench.take_counts()));
    Family {
        heading,
        multiply_adds: Some((pixels * weights) as u64),
        bytes: 2 * (x.len() + w.len() + count) as u64,
        rungs,
        nvrtc: bench.nvrtc,
    }
}

pub fn weight_gradient() -> Family {
    let shape = Shape { images: 2, side: 16, channels: 32, outputs: 32 };
    let Shape { images, side, channels, outputs } = shape;
    let (weights, pixels, chunk) = (9 * channels * outputs, shape.pixels(), 64);
    let (x, dy) = (eighths(pixels * channels, 1), eighths(pixels * outputs, 2));
    let mut expected = vec![0.0; weights];
    shape.each_meeting(|pixel, tap, from| {
        let row = &dy[pixel * outputs..][..outputs];
        for (c, x) in x[from * channels..][..channels].iter().enumerate() {
            let sums = &mut expected[(tap * channels + c) * outputs..][..outputs];
            sums.iter_mut().zip(row).for_each(|(sum, dy)| *sum += x * dy);
        }
    });

    let mut bench = Bench::new("conv_wgrad");
    let (from, up) = (bench.input("x", &to_bf16(&x)), bench.input("dy", &to_bf16(&dy)));
    let words = shape.words();
    let mut rungs = Vec::new();

    let to = bench.output("dw", 4 * weights);
    let blocks = weights / 256;
    bench.launch("conv_wgrad_1_plain", [blocks, 1], 256, &[In(&from), In(&up), Out(&to), Words(&words)]);
    compare("conv_wgrad_1_plain", &of_f32(&bench.read(&to)), &expected, |_| 0.0);
    rungs.push(("`conv_wgrad_1_plain`".to_string(), bench.take_counts()));

    let (to, chunks) = (bench.output("dw", 4 * weights), pixels / chunk);
    let partials = bench.output("partials", 4 * chunks * weights);
    let arguments = [In(&from), In(&up), Out(&partials), Words(&words), U32(chunk as u32)];
    bench.launch("conv_wgrad_2_chunks", [blocks, chunks], 256, &arguments);
    let arguments = [In(&partials), Out(&to), Words(&words), U32(chunks as u32)];
    bench.launch("conv_wgrad_2_sum", [blocks, 1], 256, &arguments);
    compare("conv_wgrad_2_sum", &of_f32(&bench.read(&to)), &expected, |_| 0.0);
    rungs.push(("`conv_wgrad_2_chunks`, `conv_wgrad_2_sum`".to_string(), bench.take_counts()));

    let (found, kernels) = bench.ship(|recorder| {
        let x = recorder.state("x", DType::BF16, &[images, side, side, channels], &to_bf16(&x));
        let w = recorder.state("w", DType::BF16, &[3, 3, channels, outputs], &to_bf16(&vec![0.0; weights]));
        let dy = recorder.state("dy", DType::BF16, &[images, side, side, outputs], &to_bf16(&dy));
        let y = recorder.tape.conv2d(x, w, None, options(1)).unwrap();
        recorder.tape.backward(&[(y, dy)], &[w]).unwrap().into_iter().flatten().collect()
    });
    compare(&kernels[0], &found[0], &expected, |_| 0.0);
    rungs.push((quoted(&kernels), bench.take_counts()));
    Family {
        heading: "Convolution, weight gradient",
        multiply_adds: Some((pixels * weights) as u64),
        bytes: (2 * (x.len() + dy.len()) + 4 * weights) as u64,
        rungs,
        nvrtc: bench.nvrtc,
    }
}

pub fn depthwise() -> Family {
    let shape = Shape { images: 2, side: 16, channels: 64, outputs: 64 };
    let Shape { images, side, channels, .. } = shape;
    let count = shape.pixels() * channels;
    let (x, w) = (eighths(count, 1), eighths(9 * channels, 2));
    let mut expected = vec![0.0; count];
    shape.each_meeting(|pixel, tap, from| {
        for c in 0..channels {
            expected[pixel * channels + c] += x[from * channels + c] * w[tap * channels + c];
        }
    });
    let expected = rounded(&expected);

    let mut bench = Bench::new("conv_depthwise");
    let (from, by) = (bench.input("x", &to_bf16(&x)), bench.input("w", &to_bf16(&w)));
    let mut rungs = Vec::new();
    for (kernel, at_once) in [("conv_depthwise_1_plain", 1), ("conv_depthwise_2_packs", 8)] {
        let to = bench.output("y", 2 * count);
        let arguments = [In(&from), In(&by), Out(&to), Words(&shape.words()[..4])];
        bench.launch(kernel, [count / at_once / 256, 1], 256, &arguments);
        compare(kernel, &of_bf16(&bench.read(&to)), &expected, |_| 0.0);
        rungs.push((format!("`{kernel}`"), bench.take_counts()));
    }
    let (found, kernels) = bench.ship(|recorder| {
        let x = recorder.state("x", DType::BF16, &[images, side, side, channels], &to_bf16(&x));
        let w = recorder.state("w", DType::BF16, &[3, 3, 1, channels], &to_bf16(&w));
        vec![recorder.tape.conv2d(x, w, None, options(channels)).unwrap()]
    });
    compare(&kernels[0], &found[0], &expected, |_| 0.0);
    rungs.push((quoted(&kernels), bench.take_counts()));
    Family {
        heading: "Depthwise convolution",
        multiply_adds: Some(9 * count as u64),
        bytes: 2 * (2 * count + w.len()) as u64,
        rungs,
        nvrtc: bench.nvrtc,
    }
}
