//! Throughput of the convolution's three passes on the shapes of the CIFAR nets, batch 64. Criterion's elements are
//! floating-point operations, products with padding counted as papers do: `Gelem/s` reads as GFLOP/s.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kd_engine::ops::conv2d::{Conv2dGeometry, DgradPlan, FpropPlan, WgradPlan};

/// Map, input channels, output channels, kernel, stride, groups.
const SHAPES: &[(usize, usize, usize, usize, usize, usize)] = &[
    // resnet8, resnet20
    (32, 3, 16, 3, 1, 1),
    (32, 16, 16, 3, 1, 1),
    (32, 16, 32, 3, 2, 1),
    (32, 16, 32, 1, 2, 1),
    (16, 32, 32, 3, 1, 1),
    (8, 64, 64, 3, 1, 1),
    (1, 64, 100, 1, 1, 1),
    // resnet8x4, wrn_16_2
    (32, 32, 64, 3, 1, 1),
    (32, 64, 64, 3, 1, 1),
    (32, 64, 128, 3, 2, 1),
    (16, 128, 128, 3, 1, 1),
    (8, 256, 256, 3, 1, 1),
    // vgg8
    (32, 3, 64, 3, 1, 1),
    (4, 256, 512, 3, 1, 1),
    (4, 512, 512, 3, 1, 1),
    // MobileNetV2
    (32, 3, 16, 3, 2, 1),
    (16, 16, 8, 1, 1, 1),
    (16, 8, 48, 1, 1, 1),
    (16, 48, 48, 3, 1, 48),
    (8, 12, 72, 1, 1, 1),
    (2, 80, 480, 1, 1, 1),
    (2, 480, 480, 3, 1, 480),
    (2, 160, 1280, 1, 1, 1),
    // ShuffleV1, ShuffleV2
    (32, 3, 24, 1, 1, 1),
    (32, 60, 60, 3, 2, 60),
    (16, 60, 240, 1, 1, 3),
    (16, 240, 60, 1, 1, 3),
    (16, 58, 58, 1, 1, 1),
    (8, 116, 116, 3, 1, 116),
    (4, 464, 1024, 1, 1, 1),
];

fn bench(criterion: &mut Criterion) {
    for (map, in_channels, out_channels, kernel, stride, groups) in SHAPES.iter().copied() {
        let geometry = Conv2dGeometry {
            batch: 64,
            height: map,
            width: map,
            in_channels,
            out_channels,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
            groups,
        }
        .checked()
        .expect("a shape of a net");
        let numbers =
            |count: usize| -> Vec<f32> { (0..count).map(|i| (i * 7919 % 1000) as f32 / 1000.0 - 0.5).collect() };
        let x = numbers(geometry.input_count());
        let weights = numbers(geometry.weight_count());
        let dy = numbers(geometry.output_count());
        let (mut dx, mut dw, mut y) = (x.clone(), weights.clone(), dy.clone());
        let fprop = FpropPlan::new::<f32>(&geometry);
        let dgrad = DgradPlan::new::<f32>(&geometry);
        let wgrad = WgradPlan::new::<f32>(&geometry);
        let scratch = fprop.workspace_len().max(dgrad.workspace_len()).max(wgrad.workspace_len());
        let mut workspace = numbers(scratch);

        let name = format!("{map}x{map} {in_channels}->{out_channels} k{kernel} s{stride} g{groups}");
        let mut group = criterion.benchmark_group("conv2d");
        group.throughput(Throughput::Elements(2 * geometry.macs() as u64));
        group.bench_function(BenchmarkId::new("fprop", &name), |bencher| {
            bencher.iter(|| fprop.run(&x, &weights, None, &mut y, &mut workspace));
        });
        group.bench_function(BenchmarkId::new("dgrad", &name), |bencher| {
            bencher.iter(|| dgrad.run(&dy, &weights, None, &mut dx, &mut workspace));
        });
        group.bench_function(BenchmarkId::new("wgrad", &name), |bencher| {
            bencher.iter(|| wgrad.run(&x, &dy, &mut dw, None, &mut workspace));
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
