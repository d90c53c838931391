//! What the kernels are checked on.

use super::{BatchNormOptions, BatchNormState};
use crate::error::Result;
use crate::ops::case::{Case, Probe, Storage, Tolerance};

/// A BatchNorm and what is done with it.
#[derive(Clone, Copy, Debug)]
struct Layer {
    rows: usize,
    channels: usize,
    /// How far the channels' means are from zero; their standard deviations are about 1.
    far: f64,
    training: bool,
    relu: bool,
    residual: bool,
    then: Then,
}

/// What is checked beside the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Nothing: then input and output are one buffer.
    Nothing,
    /// The gradients of everything, the upstream one being state.
    Everything,
    /// The gradient of the input, written where the upstream one is.
    InPlace,
    /// The gradient of the input, with an addend.
    Addend,
}

const TRAINED: Layer =
    Layer { rows: 257, channels: 16, far: 0.5, training: true, relu: false, residual: false, then: Then::Everything };
const FIXED: Layer = Layer { rows: 100, channels: 24, training: false, ..TRAINED };

/// A chunk of 16 channels has 256 rows, of 3 channels 1360, of 58 channels 64.
const LAYERS: [Layer; 18] = [
    TRAINED,
    Layer { relu: true, residual: true, ..TRAINED },
    Layer { relu: true, residual: true, then: Then::InPlace, ..TRAINED },
    Layer { relu: true, then: Then::Addend, ..TRAINED },
    // The last chunk is a part of a row of packs.
    Layer { rows: 1361, channels: 3, far: 60.0, relu: true, ..TRAINED },
    Layer { rows: 1361, channels: 3, residual: true, relu: true, then: Then::Addend, ..TRAINED },
    Layer { rows: 65, channels: 58, residual: true, ..TRAINED },
    // More columns than a block has, and no multiple of those.
    Layer { rows: 70, channels: 264, residual: true, relu: true, ..TRAINED },
    Layer { rows: 70, channels: 264, then: Then::Nothing, ..TRAINED },
    // Less than a row of packs.
    Layer { rows: 2, channels: 5, far: 10.0, then: Then::Addend, ..TRAINED },
    Layer { rows: 3, channels: 17, relu: true, then: Then::InPlace, ..TRAINED },
    FIXED,
    Layer { relu: true, residual: true, ..FIXED },
    Layer { relu: true, residual: true, then: Then::Nothing, ..FIXED },
    Layer { relu: true, then: Then::Addend, ..FIXED },
    Layer { rows: 65, channels: 58, relu: true, then: Then::InPlace, ..FIXED },
    Layer { rows: 45, channels: 5, then: Then::InPlace, ..FIXED },
    Layer { rows: 70, channels: 264, relu: true, residual: true, then: Then::Addend, ..FIXED },
];

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        cases.extend(LAYERS.map(|layer| layer.case(storage)));
        // A last pack with every number of elements that is less than a pack has, in each place of a thread's two tiles:
        // 256 threads in a column, each with a pack.
        let lanes = 16 / storage.dtype().size();
        let places = (0..4).flat_map(|place| (1..lanes).map(move |rest| (256 * place + 4) * lanes + rest));
        for rows in places {
            let small = Layer { rows, channels: 1, relu: true, residual: true, ..TRAINED };
            cases.extend([small.case(storage), Layer { training: false, ..small }.case(storage)]);
        }
    }
    // Means that a float32 does not tell from their neighbours, one standard deviation being a few thousand of those.
    cases.push(Layer { far: 3000.0, ..TRAINED }.case(Storage::F32));
    // More partial statistics than the threads that combine them take at once, 4 * 128: four of each chunk.
    cases.push(Layer { rows: 129 * 1360 + 1, channels: 3, ..TRAINED }.case(Storage::F32));
    cases
}

/// Sums in float32 whatever the activations are: at most 128 terms in one go, and fewer such sums.
fn sums() -> Tolerance {
    let f32 = Tolerance::sum(128).f32;
    Tolerance { f32, bf16: f32 }
}

impl Layer {
    fn case(self, storage: Storage) -> Case {
        let Self { rows, channels, far, training, relu, residual, then } = self;
        let kind = if training { "trained" } else { "fixed" };
        let parts = [(relu, " relu"), (residual, " residual")];
        let parts: String = parts.into_iter().filter_map(|(on, name)| on.then_some(name)).collect();
        let name = format!("batch_norm [{rows}, {channels}] {kind}{parts}, means around {far}, then {then:?}");
        Case::new(name, storage, move |probe| self.record(probe))
    }

    fn record(&self, probe: &mut Probe<'_>) -> Result<()> {
        let Self { rows, channels, far, training, relu, residual, then } = *self;
        let centers =
            |channel: usize| far * (1.0 + channel as f64 / 7.0) * if channel.is_multiple_of(2) { 1.0 } else { -1.0 };
        let values = probe.normal(rows * channels).into_iter().enumerate();
        let x = probe.activation_of(
            "x",
            [rows, channels],
            values.map(|(index, x)| centers(index % channels) + x * (1.0 + (index % channels) as f64 / 40.0)).collect(),
        );
        let variances = probe.normal(channels).into_iter().map(|x| 0.3 + x * x).collect();
        let state = BatchNormState {
            gamma: probe.float("gamma", [channels]),
            beta: probe.float("beta", [channels]),
            running_mean: probe.float_of("mean", [channels], (0..channels).map(|c| centers(c) + 0.2).collect()),
            running_var: probe.float_of("variance", [channels], variances),
        };
        let residual = residual.then(|| probe.activation("residual", [rows, channels]));
        let options = BatchNormOptions { training, relu, ..BatchNormOptions::default() };
        // A sum of at most 128 terms in one go enters an output.
        let tolerance = Tolerance::sum(128);
        if then == Then::Nothing {
            let between = probe.tape.scale(x, 1.0);
            let y = probe.tape.batch_norm(between, state, residual, options)?;
            probe.check("y", y, tolerance);
            return Ok(());
        }
        let y = probe.tape.batch_norm(x, state, residual, options)?;
        let outputs = probe.tape.nodes().last().map(|node| node.outputs.clone()).unwrap_or_default();
        probe.check("mean", outputs[1], sums());
        probe.check("inv_std", outputs[2], sums());
        probe.check("y", y, tolerance);
        probe.updates_within(sums());
        match then {
            Then::Everything => {
                let mut wanted = vec![(x, tolerance)];
                // The sums of one channel alone may cancel, and there is no larger one to measure them by.
                if channels > 1 {
                    wanted.extend([(state.gamma, sums()), (state.beta, sums())]);
                }
                wanted.extend(residual.map(|residual| (residual, Tolerance::EXACT)));
                probe.check_gradients(y, &wanted)
            }
            Then::InPlace => {
                let half = probe.tape.scale(y, 0.5);
                probe.check_gradients(half, &[(x, tolerance)])
            }
            _ => probe.check_gradient_with_addend(y, x, tolerance),
        }
    }
}
