//! Every variant of a convolution's kernels, taken on purpose: on factors of -1, 0 and 1 every order of summation gives
//! the same integers, so all of them have to give exactly those of the CPU.

use std::sync::Arc;

use super::compare;
use super::run::Recorded;
use crate::gpu::Processor;
use crate::gpu::sim::{Sim, SimOptions};
use crate::gpu::tuning::{Choices, Tuning};
use crate::ops::case::{Case, Probe, Storage, Tolerance};
use crate::ops::conv2d::Conv2dOptions;
use crate::tape::{StateLayout, Tape, ValueId, Variants};
use crate::tensor::{DType, Shape};

const PLAIN: Conv2dOptions = Conv2dOptions { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 };

fn signs(probe: &mut Probe<'_>, name: &str, shape: impl Into<Shape>) -> ValueId {
    let shape = shape.into();
    let sign = |x: f64| if x.abs() < 0.5 { 0.0 } else { x.signum() };
    let values = probe.normal(shape.count()).into_iter().map(sign).collect();
    probe.activation_of(name, shape, values)
}

/// All three passes. Sums have less than 256 terms that are not zero, so that bf16 holds them, too.
fn case(storage: Storage, tf32: bool, images: [usize; 4], weights: [usize; 4], options: Conv2dOptions) -> Case {
    Case::new(format!("{images:?} {weights:?} tf32 {tf32}"), storage, move |probe| {
        probe.tape.set_tf32(tf32);
        let (x, w) = (signs(probe, "x", images), signs(probe, "w", weights));
        let bias = probe.float_of("bias", [weights[3]], (0..weights[3]).map(|k| (k % 5) as f64 - 2.0).collect());
        let y = probe.tape.conv2d(x, w, Some(bias), options)?;
        probe.check("y", y, Tolerance::EXACT);
        let shape = probe.tape.shape(y);
        let upstream = signs(probe, "dy", shape);
        let gradients = probe.tape.backward(&[(y, upstream)], &[x, w, bias])?;
        for (name, gradient) in ["dx", "dw", "d_bias"].into_iter().zip(gradients) {
            probe.check(name, gradient.expect("all have one"), Tolerance::EXACT);
        }
        Ok(())
    })
}

fn cases() -> Vec<Case> {
    let padded = Conv2dOptions { padding: [1, 1], ..PLAIN };
    let strided = Conv2dOptions { stride: [2, 1], padding: [1, 2], dilation: [1, 2], groups: 1 };
    let (f32, bf16) = (Storage::F32, Storage::Bf16);
    let mut cases = vec![
        case(f32, false, [2, 9, 7, 5], [3, 3, 5, 19], padded),
        case(f32, false, [2, 9, 7, 6], [2, 3, 6, 35], strided),
        case(f32, false, [3, 7, 8, 7], [1, 1, 7, 33], PLAIN),
        // Chunks of the weight gradient to choose from.
        case(f32, false, [2, 16, 16, 5], [1, 1, 5, 520], PLAIN),
        case(f32, true, [2, 9, 8, 8], [3, 3, 8, 36], padded),
        case(bf16, false, [2, 9, 8, 16], [3, 3, 16, 24], padded),
        case(bf16, false, [2, 9, 7, 8], [2, 3, 8, 72], strided),
        case(bf16, false, [2, 9, 7, 5], [3, 3, 5, 10], padded),
    ];
    for storage in [f32, bf16] {
        cases.push(case(storage, false, [2, 11, 12, 3], [3, 3, 3, 21], padded));
        let groups = |groups| Conv2dOptions { groups, ..padded };
        cases.push(case(storage, false, [2, 9, 7, 12], [3, 3, 4, 15], groups(3)));
        cases.push(case(storage, false, [2, 11, 12, 9], [3, 3, 1, 9], groups(9)));
        cases.push(case(storage, false, [2, 11, 12, 40], [3, 3, 1, 40], groups(40)));
    }
    cases
}

/// Runs each of `cases` once for every variant that one of its nodes has; returns how often that was, and with how many
/// variants beside the usual ones.
fn run_all(cases: &[Case]) -> (usize, usize) {
    let (mut runs, mut others) = (0, 0);
    for case in cases {
        let mut tape = Tape::with_storage(DType::F32, case.storage.dtype());
        case.record(&mut Probe::new(&mut tape, &mut StateLayout::new(), case.storage, 1)).unwrap();
        let variants = tape.variants();
        others += variants.iter().map(|variants| variants.names.len() - 1).sum::<usize>();
        let expected = Recorded::on_cpu(case, 1).unwrap().run().unwrap();
        let most = variants.iter().map(|variants| variants.names.len()).max().unwrap_or(0);
        for number in 1..most {
            let mut choices = Choices::default();
            for Variants { key, names } in &variants {
                choices.insert(key, &names[number.min(names.len() - 1)]);
            }
            let sim = Arc::new(Sim::new(SimOptions::strict(Some(number as u64))));
            let processor = Processor::Gpu(sim, Tuning::default().taken_up(Some(choices.clone())));
            let recorded = Recorded::on(case, 1, processor).unwrap();
            let found = recorded.run().unwrap_or_else(|error| panic!("{}: {choices:?}: {error}", case.name));
            let worst = compare::worst(case.storage, &recorded, &expected, &found);
            assert!(worst.is_none(), "{}: {choices:?}: {}", case.name, worst.unwrap());
            runs += 1;
        }
    }
    (runs, others)
}

#[test]
fn every_variant_of_every_pass_gives_the_same_numbers() {
    let (runs, others) = run_all(&cases());
    assert!(runs >= 36 && others >= 74, "{runs} runs of {others} variants");
}

#[test]
fn every_tile_leaves_the_same_statistics_and_finishes_alike() {
    let cases: Vec<Case> =
        crate::ops::cases().into_iter().filter(|case| case.name.starts_with("conv2d and batch_norm")).collect();
    let (runs, others) = run_all(&cases);
    assert!(runs >= 40 && others >= 40, "{runs} runs of {others} variants");
}
