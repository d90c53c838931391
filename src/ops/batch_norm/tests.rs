//! BatchNorm against the formula written out in f64, and its gradients by finite differences.

use super::cpu_gradient::{Inputs, Mask, Outputs};
use super::*;
use crate::ops::testing::{assert_close, normal, on_threads, run_tape};
use crate::tape::StateLayout;
use crate::tape::check::check_gradients;
use crate::tensor::DType;

/// Shapes `(rows, channels)`: fewer and more channels than lanes, whole and partial vectors, several chunks.
const SHAPES: [(usize, usize); 12] = [
    (7, 1),
    (1000, 3),
    (5000, 8),
    (333, 12),
    (2100, 16),
    (1501, 24),
    (700, 58),
    (300, 64),
    (65, 100),
    (130, 116),
    (35, 257),
    (70, 2048),
];

/// Everything the passes write, from one seed.
struct Outcome<T> {
    mean: Vec<T>,
    inv_std: Vec<T>,
    running_mean: Vec<T>,
    running_var: Vec<T>,
    y: Vec<T>,
    dgamma: Vec<T>,
    dbeta: Vec<T>,
    dx: Vec<T>,
    dresidual: Vec<T>,
}

impl<T: Element> Outcome<T> {
    fn bits(&self) -> Vec<u64> {
        [
            &self.mean,
            &self.inv_std,
            &self.running_mean,
            &self.running_var,
            &self.y,
            &self.dgamma,
            &self.dbeta,
            &self.dx,
            &self.dresidual,
        ]
        .into_iter()
        .flatten()
        .map(|x| x.to_f64().to_bits())
        .collect()
    }
}

struct Case<T> {
    rows: usize,
    channels: usize,
    relu: bool,
    x: Vec<T>,
    residual: Option<Vec<T>>,
    upstream: Vec<T>,
    gamma: Vec<T>,
    beta: Vec<T>,
}

impl<T: Element> Case<T> {
    fn new(seed: u64, (rows, channels): (usize, usize), relu: bool, residual: bool) -> Self {
        let count = rows * channels;
        Self {
            rows,
            channels,
            relu,
            x: normal(seed, 1, count, 3.0),
            residual: residual.then(|| normal(seed, 2, count, 0.0)),
            upstream: normal(seed, 3, count, 0.1),
            gamma: normal(seed, 4, channels, 1.0),
            beta: normal(seed, 5, channels, 0.2),
        }
    }

    fn kernels(&self, level: Level) -> Outcome<T> {
        let (rows, channels) = (self.rows, self.channels);
        let table = || vec![T::ZERO; channels];
        let chunks = Chunks::of(rows, channels);
        let mut statistics = vec![T::ZERO; cpu::STATISTICS * channels * chunks.count()];
        let (mut mean, mut inv_std) = (table(), table());
        let (mut running_mean, mut running_var) = (table(), vec![T::ONE; channels]);
        let (mut scale, mut shift, mut rest) = (table(), table(), table());
        let (mut slope, mut offset) = (table(), table());
        let (mut dgamma, mut dbeta) = (table(), table());
        let mut y = vec![T::ZERO; rows * channels];
        let (mut dx, mut dresidual) = (y.clone(), y.clone());
        let residual = self.residual.as_ref().map(|residual| residual.as_ptr());
        // SAFETY: all as long as `rows` and `channels` say.
        unsafe {
            cpu::chunk_statistics(level, chunks, channels, self.x.as_ptr(), statistics.as_mut_ptr());
            let running = Some((running_mean.as_mut_ptr(), running_var.as_mut_ptr()));
            let (batch_mean, batch_inv_std) = (mean.as_mut_ptr(), inv_std.as_mut_ptr());
            cpu::combine(
                chunks,
                channels,
                statistics.as_ptr(),
                1e-5,
                0.1,
                batch_mean,
                rest.as_mut_ptr(),
                batch_inv_std,
                running,
            );
            cpu::scale_and_shift(&rest, &inv_std, &self.gamma, &self.beta, &mut scale, &mut shift);
            let (x, out) = (self.x.as_ptr(), y.as_mut_ptr());
            cpu::normalise(level, chunks, channels, x, residual, self.relu, &mean, &scale, &shift, out);
            let mask = match (self.relu, residual) {
                (false, _) => Mask::None,
                (true, None) => Mask::Input,
                (true, Some(_)) => Mask::Output(y.as_ptr()),
            };
            let upstream = self.upstream.as_ptr();
            let inputs = Inputs { x, upstream, mask, mean: &mean, scale: &scale, shift: &shift };
            cpu_gradient::chunk_sums(level, chunks, channels, inputs, statistics.as_mut_ptr());
            let (gamma, beta) = (dgamma.as_mut_ptr(), dbeta.as_mut_ptr());
            cpu_gradient::combine_sums(chunks, channels, statistics.as_ptr(), inv_std.as_ptr(), gamma, beta);
            let (slopes, offsets) = (&mut slope, &mut offset);
            cpu_gradient::slope_and_offset(rows, &inv_std, &scale, &dgamma, &dbeta, slopes, offsets);
            let residual = self.residual.is_some().then_some(dresidual.as_mut_ptr());
            let outputs = Outputs { dx: dx.as_mut_ptr(), residual, addend: None };
            cpu_gradient::input_gradient(level, chunks, channels, inputs, Some((&slope, &offset)), outputs);
        }
        Outcome { mean, inv_std, running_mean, running_var, y, dgamma, dbeta, dx, dresidual }
    }

    /// The formulas, channel by channel.
    fn formulas(&self) -> Outcome<f64> {
        let (rows, channels) = (self.rows, self.channels);
        let table = || vec![0.0; channels];
        let all = || vec![0.0; rows * channels];
        let mut out = Outcome {
            mean: table(),
            inv_std: table(),
            running_mean: table(),
            running_var: table(),
            y: all(),
            dgamma: table(),
            dbeta: table(),
            dx: all(),
            dresidual: all(),
        };
        for c in 0..channels {
            let n = rows as f64;
            let at = |values: &[T], row: usize| values[row * channels + c].to_f64();
            let mean = (0..rows).map(|row| at(&self.x, row)).sum::<f64>() / n;
            let squares = (0..rows).map(|row| (at(&self.x, row) - mean).powi(2)).sum::<f64>();
            let inv_std = 1.0 / (squares / n + 1e-5).sqrt();
            let (gamma, beta) = (self.gamma[c].to_f64(), self.beta[c].to_f64());
            (out.mean[c], out.inv_std[c]) = (mean, inv_std);
            (out.running_mean[c], out.running_var[c]) = (0.1 * mean, 0.9 + 0.1 * squares / (n - 1.0));
            let hat = |row: usize| (at(&self.x, row) - mean) * inv_std;
            for row in 0..rows {
                let value = gamma * hat(row) + beta + self.residual.as_ref().map_or(0.0, |residual| at(residual, row));
                let passes = !self.relu || value > 0.0;
                out.y[row * channels + c] = if passes { value } else { 0.0 };
                let gradient = if passes { at(&self.upstream, row) } else { 0.0 };
                out.dresidual[row * channels + c] = gradient;
                out.dbeta[c] += gradient;
                out.dgamma[c] += gradient * hat(row);
            }
            for row in 0..rows {
                let gradient = out.dresidual[row * channels + c];
                let centred = gradient - out.dbeta[c] / n - hat(row) * out.dgamma[c] / n;
                out.dx[row * channels + c] = gamma * inv_std * centred;
            }
        }
        if self.residual.is_none() {
            out.dresidual.fill(0.0);
        }
        out
    }
}

fn kernels_follow_the_formulas<T: Element>(tolerance: f64) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        for (relu, residual) in [(false, false), (true, false), (true, true), (false, true)] {
            let seed = 40 + index as u64;
            let case = Case::<T>::new(seed, shape, relu, residual);
            let expected = case.formulas();
            for level in Level::ALL {
                let actual = case.kernels(level);
                let about = |what: &str| format!("{what} of {shape:?}, relu {relu}, residual {residual}, {level}");
                assert_close(&about("mean"), &actual.mean, &expected.mean, tolerance);
                assert_close(&about("inv_std"), &actual.inv_std, &expected.inv_std, tolerance);
                assert_close(&about("running_mean"), &actual.running_mean, &expected.running_mean, tolerance);
                assert_close(&about("running_var"), &actual.running_var, &expected.running_var, tolerance);
                assert_close(&about("y"), &actual.y, &expected.y, tolerance);
                // An output within rounding of zero may fall on either side of the mask.
                if T::DTYPE == DType::F64 {
                    assert_close(&about("dgamma"), &actual.dgamma, &expected.dgamma, tolerance);
                    assert_close(&about("dbeta"), &actual.dbeta, &expected.dbeta, tolerance);
                    assert_close(&about("dx"), &actual.dx, &expected.dx, tolerance);
                    assert_close(&about("dresidual"), &actual.dresidual, &expected.dresidual, tolerance);
                }
            }
        }
    }
}

#[test]
fn f64_kernels_follow_the_formulas() {
    kernels_follow_the_formulas::<f64>(1e-11);
}

#[test]
fn f32_kernels_follow_the_formulas() {
    kernels_follow_the_formulas::<f32>(2e-5);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for shape in [(5000, 8), (1501, 24), (700, 58), (70, 2048)] {
        for level in Level::ALL {
            let case = Case::<f32>::new(9, shape, true, true);
            let expected = on_threads(1, || case.kernels(level).bits());
            for threads in [2, 3] {
                let actual = on_threads(threads, || case.kernels(level).bits());
                assert!(actual == expected, "{shape:?} on {threads} threads, {level}");
            }
        }
    }
}

/// A mean of 1000 standard deviations: sums of squares would lose every digit of an f32.
#[test]
fn statistics_survive_a_large_mean() {
    let (rows, channels) = (20_000, 16);
    let x: Vec<f32> = normal(3, 1, rows * channels, 1000.0);
    for level in Level::ALL {
        let case = Case { x: x.clone(), ..Case::<f32>::new(3, (rows, channels), false, false) };
        let (actual, expected) = (case.kernels(level), case.formulas());
        assert_close("mean", &actual.mean, &expected.mean, 1e-6);
        assert_close("inv_std", &actual.inv_std, &expected.inv_std, 1e-5);
    }
}

/// Records a layer whose running statistics are zero and `epsilon` large, so that both modes are well conditioned.
fn layer(
    tape: &mut Tape,
    layout: &mut StateLayout,
    x: &[ValueId],
    training: bool,
    relu: bool,
    residual: bool,
) -> Result<ValueId> {
    let shape = tape.shape(x[1]);
    let mut declare = |name: &str| {
        let id = layout.declare(name, tape.float(), shape);
        tape.state(layout, id)
    };
    let (running_mean, running_var) = (declare("running_mean"), declare("running_var"));
    let state = BatchNormState { gamma: x[1], beta: x[2], running_mean, running_var };
    let options = BatchNormOptions { training, relu, epsilon: 0.3, momentum: 0.1 };
    tape.batch_norm(x[0], state, residual.then(|| x[3]), options)
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (seed, channels) in [(1, 1), (2, 3), (3, 5), (4, 11), (5, 19)] {
        let (all, table) = (Shape::from([2, 3, 3, channels]), Shape::from([channels]));
        for training in [true, false] {
            for relu in [true, false] {
                for residual in [true, false] {
                    let shapes = [all, table, table, all];
                    check_gradients(seed, &shapes[..if residual { 4 } else { 3 }], |tape, layout, x| {
                        layer(tape, layout, x, training, relu, residual)
                    });
                }
            }
        }
    }
}

/// A pre-activation block: `x` goes through BatchNorm and past it, so its gradients meet in the BatchNorm's addend.
#[test]
fn gradients_of_an_input_with_two_users_are_summed() {
    let (all, table) = (Shape::from([3, 2, 2, 7]), Shape::from([7]));
    for relu in [true, false] {
        check_gradients(8, &[all, table, table], |tape, layout, x| {
            let y = layer(tape, layout, x, true, relu, false)?;
            tape.add(x[0], y)
        });
        check_gradients(9, &[all, table, table], |tape, layout, x| {
            let y = layer(tape, layout, x, true, relu, false)?;
            layer(tape, layout, &[y, x[1], x[2], x[0]], false, relu, true)
        });
    }
}

#[test]
fn running_statistics_are_updated_in_training_and_used_otherwise() {
    let (rows, channels) = (50, 5);
    let case = Case::<f64>::new(21, (rows, channels), true, false);
    let table = Shape::from([channels]);
    let inputs = [
        (Shape::from([2, 5, 5, channels]), case.x.clone()),
        (table, case.gamma.clone()),
        (table, case.beta.clone()),
        (table, vec![0.0; channels]),
        (table, vec![1.0; channels]),
    ];
    let results = run_tape(&inputs, |tape, v| {
        let state = BatchNormState { gamma: v[1], beta: v[2], running_mean: v[3], running_var: v[4] };
        let trained = tape.batch_norm(v[0], state, None, BatchNormOptions { relu: true, ..Default::default() })?;
        let used = tape.batch_norm(v[0], state, None, BatchNormOptions { training: false, ..Default::default() })?;
        Ok(vec![trained, v[3], v[4], used])
    });
    let expected = case.formulas();
    assert_close("trained", &results[0], &expected.y, 1e-12);
    assert_close("running_mean", &results[1], &expected.running_mean, 1e-12);
    assert_close("running_var", &results[2], &expected.running_var, 1e-12);
    let used: Vec<f64> = (0..rows * channels)
        .map(|index| {
            let c = index % channels;
            let hat = (case.x[index] - expected.running_mean[c]) / (expected.running_var[c] + 1e-5).sqrt();
            case.gamma[c] * hat + case.beta[c]
        })
        .collect();
    assert_close("used", &results[3], &used, 1e-12);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let mut value = |shape: Shape| {
        let id = layout.declare("value", DType::F32, shape);
        tape.state(&layout, id)
    };
    let (x, one, table, other) =
        (value([2, 4, 4, 6].into()), value([1, 1, 1, 6].into()), value([6].into()), value([5].into()));
    let state = BatchNormState { gamma: table, beta: table, running_mean: table, running_var: table };
    let options = BatchNormOptions::default();
    let message = |result: Result<ValueId>| result.unwrap_err().to_string();
    assert!(message(tape.batch_norm(x, BatchNormState { beta: other, ..state }, None, options)).contains("bias"));
    assert!(message(tape.batch_norm(x, state, Some(one), options)).contains("residual"));
    assert!(message(tape.batch_norm(one, state, None, options)).contains("no variance"));
    assert!(tape.batch_norm(one, state, None, BatchNormOptions { training: false, ..options }).is_ok());
}
