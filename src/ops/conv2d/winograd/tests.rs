//! Minimal filtering against direct sums in f64, whether or not it pays, on every instruction set.

use super::*;
use crate::ops::conv2d::tests::{SEED, products, values};

/// Batch, height, width, C, K, padding.
type Case = (usize, usize, usize, usize, usize, [usize; 2]);

const CASES: [Case; 12] = [
    (5, 8, 8, 16, 16, [1, 1]),
    (1, 7, 9, 17, 33, [1, 1]),
    (5, 7, 7, 33, 17, [1, 1]),
    (2, 3, 6, 1, 1, [0, 0]),
    (3, 4, 4, 70, 50, [1, 1]),
    (1, 1, 1, 3, 5, [1, 1]),
    (2, 5, 4, 6, 40, [2, 0]),
    (2, 4, 7, 9, 2, [0, 2]),
    (19, 2, 2, 8, 65, [1, 1]),
    (65, 3, 2, 4, 3, [1, 1]),
    (2, 14, 5, 32, 64, [1, 1]),
    (3, 1, 13, 20, 24, [1, 2]),
];

fn geometry((batch, height, width, in_channels, out_channels, padding): Case) -> Conv2dGeometry {
    let (kernel, one) = ([3, 3], [1, 1]);
    let geometry = Conv2dGeometry {
        batch,
        height,
        width,
        in_channels,
        out_channels,
        kernel,
        stride: one,
        padding,
        dilation: one,
        groups: 1,
    };
    geometry.checked().expect("a case of this test")
}

/// Runs both passes in turn with values that `make(which, count)` gives, and calls `check(name, source channels, start,
/// got, expected)` with the direct sums.
fn both_passes<T: Element>(
    case: Case,
    level: Level,
    make: impl Fn(u64, usize) -> Vec<f64>,
    check: impl Fn(&str, usize, &[T], &[f64]),
) {
    let g = geometry(case);
    let typed = |values: &[f64]| -> Vec<T> { values.iter().map(|value| T::from_f64(*value)).collect() };
    let (x, w, dy) = (make(1, g.input_count()), make(2, g.weight_count()), make(4, g.output_count()));
    let (bias, addend) = (make(3, g.out_channels), make(5, g.input_count()));
    for bare in [false, true] {
        let mut y: Vec<f64> = (0..dy.len()).map(|y| if bare { 0.0 } else { bias[y % g.out_channels] }).collect();
        let mut dx: Vec<f64> = if bare { vec![0.0; x.len()] } else { addend.clone() };
        products(&g, |ix, iw, iy| {
            y[iy] += x[ix] * w[iw];
            dx[ix] += dy[iy] * w[iw];
        });
        let (bias, addend) = (typed(&bias), typed(&addend));
        let run = |plan: Option<WinogradPlan>, source: &[f64], start: Start<'_, T>, count: usize| {
            let plan = plan.expect("a dense 3x3 convolution");
            // Not-a-number wherever the pass must write, or must not read.
            let mut result = vec![T::from_f64(f64::NAN); count];
            let mut workspace = vec![T::from_f64(f64::NAN); plan.workspace_len()];
            plan.run(&typed(source), &typed(&w), start, &mut result, &mut workspace);
            result
        };
        let start = if bare { Start::Zero } else { Start::PerChannel(&bias) };
        let got = run(WinogradPlan::forward::<T>(&g, level), &x, start, y.len());
        check(&format!("y of {g:?} on {level}"), g.in_channels, &got, &y);
        let start = if bare { Start::Zero } else { Start::Tensor(&addend) };
        let got = run(WinogradPlan::backward::<T>(&g, level), &dy, start, dx.len());
        check(&format!("dx of {g:?} on {level}"), g.out_channels, &got, &dx);
    }
}

fn agrees<T: Element>(unit: f64) {
    for case in CASES {
        for level in Level::ALL {
            both_passes::<T>(case, level, values::<f64>, |name, channels, got, expected| {
                let bound = error_bound(channels, unit);
                for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
                    let error = (got.to_f64() - expected).abs();
                    if !(error <= bound) {
                        panic!("{name}[{index}]: {got}, not {expected}: {error:e} over {bound:e}, seed {SEED}");
                    }
                }
            });
        }
    }
}

#[test]
fn both_passes_agree_with_direct_sums_in_f32() {
    agrees::<f32>(f64::from(f32::EPSILON) / 2.0);
}

#[test]
fn both_passes_agree_with_direct_sums_in_f64() {
    // The direct sums round as well.
    agrees::<f64>(f64::EPSILON);
}

#[test]
fn small_integers_are_exact() {
    // Weights divisible by four have integer transforms, and every sum is far below 2^24: nothing is rounded, so that a
    // single misplaced value shows.
    let make = |which: u64, count: usize| -> Vec<f64> {
        let scale = if which == 2 { 4.0 } else { 1.0 };
        values::<f64>(which, count).into_iter().map(|value| scale * (3.0 * value).round()).collect()
    };
    for case in CASES {
        for level in Level::ALL {
            both_passes::<f32>(case, level, make, |name, _, got, expected| {
                let differs = got.iter().zip(expected).position(|(got, expected)| f64::from(*got) != *expected);
                assert_eq!(differs, None, "{name}: the first element that differs, seed {SEED}");
            });
        }
    }
}

#[test]
fn other_convolutions_are_refused() {
    let good = geometry(CASES[0]);
    assert!(WinogradPlan::forward::<f32>(&good, Level::Portable).is_some());
    for bad in [
        Conv2dGeometry { kernel: [3, 1], ..good },
        Conv2dGeometry { stride: [1, 2], ..good },
        Conv2dGeometry { dilation: [2, 1], ..good },
        Conv2dGeometry { groups: 2, ..good },
        Conv2dGeometry { padding: [1, 3], ..good },
    ] {
        assert!(WinogradPlan::forward::<f32>(&bad, Level::Portable).is_none(), "{bad:?}");
    }
}

#[test]
fn it_pays_where_channels_and_maps_are_large() {
    let pays = |map: usize, channels: usize, outputs: usize| {
        let geometry = geometry((64, map, map, channels, outputs, [1, 1]));
        WinogradPlan::forward::<f32>(&geometry, Level::Avx512).is_some_and(|plan| plan.pays())
    };
    assert!(pays(32, 16, 16) && pays(8, 64, 64) && pays(4, 512, 512) && pays(7, 64, 64));
    assert!(!pays(32, 3, 64) && !pays(2, 512, 512) && !pays(1, 64, 64));
}
