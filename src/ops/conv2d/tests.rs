//! Convolution against a direct sum in f64, on every instruction set; gradients as exact adjoints; bits that do not
//! depend on threads.

use super::algorithm::Algorithm;
use super::*;
use crate::random::{Philox, Stream};
use crate::simd::{Element, Level};

pub(super) const SEED: u64 = 20;

/// `count` numbers in [-1, 1) that f32 holds exactly, so that the reference sees the same numbers.
pub(super) fn values<T: Element>(major: u64, count: usize) -> Vec<T> {
    let random = Philox::new(SEED, Stream::Weights);
    (0..count).map(|i| T::from_f64(f64::from((2.0 * random.uniform(major, i as u64) - 1.0) as f32))).collect()
}

/// Calls `visit(x index, weight index, y index)` for every product of the convolution.
pub(super) fn products(geometry: &Conv2dGeometry, mut visit: impl FnMut(usize, usize, usize)) {
    let g = geometry;
    let [rows, columns] = g.output();
    let (channels, outputs) = (g.channels_per_group(), g.outputs_per_group());
    for n in 0..g.batch {
        for oh in 0..rows {
            for ow in 0..columns {
                for kh in 0..g.kernel[0] {
                    for kw in 0..g.kernel[1] {
                        let ih = (oh * g.stride[0] + kh * g.dilation[0]).wrapping_sub(g.padding[0]);
                        let iw = (ow * g.stride[1] + kw * g.dilation[1]).wrapping_sub(g.padding[1]);
                        if ih >= g.height || iw >= g.width {
                            continue;
                        }
                        for k in 0..g.out_channels {
                            for c in 0..channels {
                                let x =
                                    ((n * g.height + ih) * g.width + iw) * g.in_channels + k / outputs * channels + c;
                                let w = ((kh * g.kernel[1] + kw) * channels + c) * g.out_channels + k;
                                let y = ((n * rows + oh) * columns + ow) * g.out_channels + k;
                                visit(x, w, y);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Everything one geometry gives: y, dx, dw, dbias.
struct Results<T> {
    y: Vec<T>,
    dx: Vec<T>,
    dw: Vec<T>,
    dbias: Vec<T>,
}

struct Inputs<T> {
    x: Vec<T>,
    weights: Vec<T>,
    bias: Vec<T>,
    dy: Vec<T>,
    addend: Vec<T>,
}

fn inputs<T: Element>(geometry: &Conv2dGeometry) -> Inputs<T> {
    Inputs {
        x: values(1, geometry.input_count()),
        weights: values(2, geometry.weight_count()),
        bias: values(3, geometry.out_channels),
        dy: values(4, geometry.output_count()),
        addend: values(5, geometry.input_count()),
    }
}

/// The direct sums, and how many products meet in each at most.
fn reference(geometry: &Conv2dGeometry) -> (Results<f64>, [usize; 4]) {
    let i = inputs::<f64>(geometry);
    let outputs = geometry.out_channels;
    let mut r = Results {
        y: (0..i.dy.len()).map(|y| i.bias[y % outputs]).collect(),
        dx: i.addend.clone(),
        dw: vec![0.0; i.weights.len()],
        dbias: vec![0.0; outputs],
    };
    let mut terms = [vec![0; r.y.len()], vec![0; r.dx.len()], vec![0; r.dw.len()]];
    products(geometry, |x, w, y| {
        r.y[y] += i.x[x] * i.weights[w];
        r.dx[x] += i.dy[y] * i.weights[w];
        r.dw[w] += i.x[x] * i.dy[y];
        terms[0][y] += 1;
        terms[1][x] += 1;
        terms[2][w] += 1;
    });
    for (y, dy) in i.dy.iter().enumerate() {
        r.dbias[y % outputs] += dy;
    }
    let most = |terms: &[usize]| 1 + terms.iter().max().copied().unwrap_or(0);
    let counts = [most(&terms[0]), most(&terms[1]), most(&terms[2]), i.dy.len() / outputs];
    (r, counts)
}

fn run<T: Element>(geometry: &Conv2dGeometry, level: Level) -> Results<T> {
    let i = inputs::<T>(geometry);
    // Not-a-number wherever a kernel must write, or must not read.
    let nothing = |count: usize| vec![T::from_f64(f64::NAN); count];
    let mut r = Results {
        y: nothing(i.dy.len()),
        dx: nothing(i.x.len()),
        dw: nothing(i.weights.len()),
        dbias: nothing(geometry.out_channels),
    };
    let fprop = FpropPlan::on_level::<T>(geometry, level);
    fprop.run(&i.x, &i.weights, Some(&i.bias), &mut r.y, &mut nothing(fprop.workspace_len()));
    let dgrad = DgradPlan::on_level::<T>(geometry, level);
    dgrad.run(&i.dy, &i.weights, Some(&i.addend), &mut r.dx, &mut nothing(dgrad.workspace_len()));
    let wgrad = WgradPlan::on_level::<T>(geometry, level);
    wgrad.run(&i.x, &i.dy, &mut r.dw, Some(&mut r.dbias), &mut nothing(wgrad.workspace_len()));
    r
}

/// The error of a sum of `terms` products, each at most 1 in magnitude: `terms` roundings of a partial sum that is at
/// most `terms` (Higham, "Accuracy and stability", section 3.1).
fn direct_bound(terms: usize, unit: f64) -> f64 {
    (terms * terms) as f64 * unit
}

/// Fails unless every element is within `bound`.
fn close<T: Element>(what: &str, got: &[T], expected: &[f64], bound: f64) {
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (got.to_f64() - expected).abs();
        if !(error <= bound) {
            panic!("{what}[{index}]: got {got}, expected {expected}, error {error:e}, bound {bound:e}, seed {SEED}");
        }
    }
}

fn agrees<T: Element>(geometry: &Conv2dGeometry, unit: f64) {
    let (expected, terms) = reference(geometry);
    for level in Level::ALL {
        let got = run::<T>(geometry, level);
        let name = |what: &str| format!("{what} of {geometry:?} on {level}");
        let bound = |algorithm: Algorithm, channels: usize, terms: usize| match algorithm {
            Algorithm::Direct(_) => direct_bound(terms, unit),
            Algorithm::Winograd(_) => winograd::error_bound(channels, unit),
        };
        let forward = bound(Algorithm::forward::<T>(geometry, level), geometry.in_channels, terms[0]);
        let backward = bound(Algorithm::backward::<T>(geometry, level), geometry.out_channels, terms[1]);
        close(&name("y"), &got.y, &expected.y, forward);
        close(&name("dx"), &got.dx, &expected.dx, backward);
        close(&name("dw"), &got.dw, &expected.dw, direct_bound(terms[2], unit));
        close(&name("dbias"), &got.dbias, &expected.dbias, direct_bound(terms[3], unit));
    }
}

/// Batch, height, width, C, K, kernel, stride, padding, dilation, groups.
type Case = (usize, usize, usize, usize, usize, [usize; 2], [usize; 2], [usize; 2], [usize; 2], usize);

const CASES: [Case; 27] = [
    (5, 8, 8, 3, 16, [3, 3], [1, 1], [1, 1], [1, 1], 1),
    (1, 7, 9, 5, 7, [3, 3], [1, 1], [1, 1], [1, 1], 1),
    (5, 6, 5, 17, 33, [3, 3], [2, 2], [1, 1], [1, 1], 1),
    (3, 9, 7, 4, 50, [3, 3], [3, 2], [1, 1], [1, 1], 1),
    (2, 9, 11, 6, 20, [3, 3], [1, 1], [2, 2], [2, 2], 1),
    (2, 10, 9, 3, 5, [5, 3], [2, 1], [2, 0], [1, 2], 1),
    (2, 6, 7, 3, 9, [2, 4], [1, 2], [0, 2], [1, 1], 1),
    (2, 4, 4, 8, 12, [3, 3], [1, 1], [3, 2], [1, 1], 1),
    (20, 4, 4, 24, 70, [3, 3], [1, 1], [1, 1], [1, 1], 1),
    (33, 2, 2, 16, 100, [3, 3], [1, 1], [1, 1], [1, 1], 1),
    (5, 4, 5, 12, 72, [1, 1], [1, 1], [0, 0], [1, 1], 1),
    (3, 4, 6, 19, 37, [1, 1], [2, 2], [0, 0], [1, 1], 1),
    (37, 1, 1, 40, 100, [1, 1], [1, 1], [0, 0], [1, 1], 1),
    (1, 1, 1, 7, 1, [1, 1], [1, 1], [0, 0], [1, 1], 1),
    (3, 5, 4, 60, 30, [1, 1], [1, 1], [0, 0], [1, 1], 3),
    (2, 5, 4, 12, 54, [3, 3], [2, 2], [1, 1], [1, 1], 3),
    (2, 5, 6, 4, 8, [3, 3], [1, 1], [1, 1], [2, 1], 2),
    (3, 8, 7, 20, 20, [3, 3], [1, 1], [1, 1], [1, 1], 20),
    (2, 7, 8, 35, 35, [3, 3], [2, 2], [1, 1], [1, 1], 35),
    (1, 5, 6, 9, 18, [3, 3], [1, 1], [1, 1], [1, 1], 9),
    (2, 6, 9, 6, 18, [5, 4], [2, 3], [1, 2], [1, 1], 6),
    (2, 9, 9, 50, 50, [3, 3], [1, 1], [2, 2], [2, 2], 50),
    (18, 2, 2, 48, 48, [3, 3], [1, 1], [1, 1], [1, 1], 48),
    (4, 1, 1, 21, 21, [3, 3], [1, 1], [1, 1], [1, 1], 21),
    // These go through minimal filtering.
    (5, 8, 6, 16, 16, [3, 3], [1, 1], [1, 1], [1, 1], 1),
    (1, 7, 9, 17, 33, [3, 3], [1, 1], [1, 1], [1, 1], 1),
    (18, 4, 7, 48, 32, [3, 3], [1, 1], [1, 1], [1, 1], 1),
];

fn geometry(case: Case) -> Conv2dGeometry {
    let (batch, height, width, in_channels, out_channels, kernel, stride, padding, dilation, groups) = case;
    Conv2dGeometry { batch, height, width, in_channels, out_channels, kernel, stride, padding, dilation, groups }
        .checked()
        .expect("a case of this test")
}

#[test]
fn all_passes_agree_with_direct_sums_in_f32() {
    for case in CASES {
        agrees::<f32>(&geometry(case), f64::from(f32::EPSILON) / 2.0);
    }
}

#[test]
fn all_passes_agree_with_direct_sums_in_f64() {
    for case in CASES {
        agrees::<f64>(&geometry(case), f64::EPSILON);
    }
}

#[test]
fn both_algorithms_are_among_the_cases() {
    for level in Level::ALL {
        let of = |direct: bool| {
            let plans = CASES.map(|case| Algorithm::forward::<f32>(&geometry(case), level));
            plans.iter().filter(|plan| matches!(plan, Algorithm::Direct(_)) == direct).count()
        };
        assert!(of(true) >= 20 && of(false) >= 3, "{} direct, {} not, on {level}", of(true), of(false));
    }
}

#[test]
fn gradients_are_adjoints() {
    // <dy, conv(x)> = <dgrad(dy), x> = <wgrad(x, dy), w>: in f64 to rounding of the three inner products.
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for case in CASES {
        let geometry = geometry(case);
        let (i, r) = (inputs::<f64>(&geometry), run::<f64>(&geometry, Level::current()));
        let y: Vec<f64> = r.y.iter().enumerate().map(|(y, value)| value - i.bias[y % geometry.out_channels]).collect();
        let dx: Vec<f64> = r.dx.iter().zip(&i.addend).map(|(dx, addend)| dx - addend).collect();
        let forward = dot(&i.dy, &y);
        let bound = 1e-13 * (1.0 + i.dy.iter().zip(&y).map(|(a, b)| (a * b).abs()).sum::<f64>());
        for (name, adjoint) in [("dgrad", dot(&dx, &i.x)), ("wgrad", dot(&r.dw, &i.weights))] {
            let error = (adjoint - forward).abs();
            assert!(error <= bound, "{name} of {geometry:?}: {adjoint} is not {forward}, seed {SEED}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    for case in CASES {
        let geometry = geometry(case);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
            let r = pool.install(|| run::<f32>(&geometry, Level::current()));
            [bits(&r.y), bits(&r.dx), bits(&r.dw), bits(&r.dbias)]
        };
        let one = on(1);
        for threads in [2, 3] {
            assert!(on(threads) == one, "{geometry:?} differs between 1 and {threads} threads, seed {SEED}");
        }
    }
}

#[test]
fn what_has_no_output_is_refused() {
    let good = geometry(CASES[0]);
    for (bad, word) in [
        (Conv2dGeometry { stride: [1, 0], ..good }, "stride"),
        (Conv2dGeometry { batch: 0, ..good }, "batch"),
        (Conv2dGeometry { groups: 2, ..good }, "groups"),
        (Conv2dGeometry { kernel: [3, 11], ..good }, "width"),
        (Conv2dGeometry { dilation: [5, 1], ..good }, "height"),
        (Conv2dGeometry { batch: 1 << 40, ..good }, "2^32"),
    ] {
        let error = bad.checked().expect_err("a geometry without an output");
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.exit_status(), 2);
    }
}
