//! Stochastic gradient descent over the parameters of resnet8.

use kd_engine::ops::sgd::{SgdOptions, SgdParameter, Watch};
use kd_engine::tensor::DType;

use crate::bench::Argument::{F32, In, Out, U32};
use crate::bench::{Bench, compare, eighths, of_f32, to_f32};
use crate::table::Family;

/// Elements of each parameter.
const COUNTS: [usize; 29] = [
    432, 16, 16, 2304, 16, 16, 2304, 16, 16, 4608, 32, 32, 9216, 32, 32, 512, 32, 32, 18432, 64, 64, 36864, 64, 64,
    2048, 64, 64, 6400, 100,
];
// Powers of two: every product is exact.
const RATE: f64 = 0.25;
const MOMENTUM: f64 = 0.5;
const WEIGHT_DECAY: f64 = 0.0625;

struct Parameter {
    weight: Vec<f64>,
    velocity: Vec<f64>,
    gradient: Vec<f64>,
}

impl Parameter {
    /// Velocity and weight after the step.
    fn expected(&self) -> [Vec<f64>; 2] {
        let decayed = self.weight.iter().zip(&self.gradient).map(|(weight, gradient)| gradient + WEIGHT_DECAY * weight);
        let velocity: Vec<f64> = decayed.zip(&self.velocity).map(|(g, velocity)| MOMENTUM * velocity + g).collect();
        let weight = self.weight.iter().zip(&velocity).map(|(weight, velocity)| weight - RATE * velocity).collect();
        [velocity, weight]
    }
}

pub fn sgd() -> Family {
    let drawn = (0..).zip(COUNTS).map(|(index, count)| {
        let [weight, velocity, gradient] = [0, 1, 2].map(|which| eighths(count, 3 * index + which));
        Parameter { weight, velocity, gradient }
    });
    let parameters: Vec<Parameter> = drawn.collect();
    let mut bench = Bench::new("sgd");
    let mut rungs = Vec::new();

    let rate = bench.input("rate", &to_f32(&[RATE]));
    for parameter in &parameters {
        let [weight, velocity, gradient] = [&parameter.weight, &parameter.velocity, &parameter.gradient]
            .map(|numbers| bench.input("a parameter", &to_f32(numbers)));
        let count = parameter.weight.len();
        let buffers = [Out(&weight), Out(&velocity), In(&gradient), In(&rate)];
        let numbers = [U32(count as u32), F32(WEIGHT_DECAY as f32), F32(MOMENTUM as f32)];
        let arguments: Vec<_> = buffers.into_iter().chain(numbers).collect();
        bench.launch("sgd_1_each", [count.div_ceil(256), 1], 256, &arguments);
        let [expected_velocity, expected_weight] = parameter.expected();
        compare("velocity", &of_f32(&bench.read(&velocity)), &expected_velocity, |_| 0.0);
        compare("weight", &of_f32(&bench.read(&weight)), &expected_weight, |_| 0.0);
    }
    rungs.push(("`sgd_1_each`".to_string(), bench.take_counts()));

    let (found, kernels) = bench.ship(|recorder| {
        let rate = recorder.state("rate", DType::F32, &[], &to_f32(&[RATE]));
        let watch = Watch {
            loss: recorder.state("loss", DType::F32, &[], &to_f32(&[1.0])),
            number: recorder.state("number", DType::U32, &[1], &[0; 4]),
            broken: recorder.state("broken", DType::U32, &[1], &[0; 4]),
        };
        let mut states: Vec<SgdParameter> = Vec::new();
        for Parameter { weight, velocity, gradient } in &parameters {
            let mut state = |name: &str, of: &[f64]| recorder.state(name, DType::F32, &[of.len()], &to_f32(of));
            let (weight, velocity) = (state("weight", weight), state("velocity", velocity));
            states.push(SgdParameter { weight, velocity, gradient: state("gradient", gradient) });
        }
        let options = SgdOptions { momentum: MOMENTUM, weight_decay: WEIGHT_DECAY, nesterov: false };
        recorder.tape.sgd(&states, rate, watch, options).unwrap();
        states.iter().flat_map(|state| [state.velocity, state.weight]).collect()
    });
    let expected: Vec<Vec<f64>> = parameters.iter().flat_map(Parameter::expected).collect();
    assert_eq!(found.len(), expected.len());
    found.iter().zip(&expected).for_each(|(found, expected)| compare(&kernels[0], found, expected, |_| 0.0));
    rungs.push((format!("`{}`", kernels.join("`, `")), bench.take_counts()));
    Family {
        heading: "Optimizer",
        multiply_adds: None,
        bytes: 5 * 4 * COUNTS.iter().sum::<usize>() as u64,
        rungs,
        nvrtc: bench.nvrtc,
    }
}
