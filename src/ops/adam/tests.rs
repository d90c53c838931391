//! Steps against PyTorch, with parameters of one piece of work and of several.

use super::*;
use crate::tape::{Arena, Plan, State, StateId, StateLayout};

/// A tape that updates parameters of `counts` elements, and the state that it works on.
struct Bench {
    plan: Plan,
    arena: Arena,
    state: State,
    /// Of every parameter weight, gradient, first and second moment.
    parameters: Vec<[StateId; 4]>,
    rate: StateId,
    steps: StateId,
    loss: StateId,
    number: StateId,
    broken: StateId,
}

impl Bench {
    fn new(counts: &[usize], options: AdamOptions, fusion: bool) -> Self {
        let mut layout = StateLayout::new();
        let [rate, loss] = ["rate", "loss"].map(|name| layout.declare(name, DType::F64, []));
        let [steps, number, broken] = ["steps", "number", "broken"].map(|name| layout.declare(name, DType::U32, [1]));
        let four = |count: &usize| {
            ["weight", "gradient", "first", "second"].map(|name| layout.declare(name, DType::F64, [*count]))
        };
        let parameters: Vec<[StateId; 4]> = counts.iter().map(four).collect();
        let mut tape = Tape::new(DType::F64);
        tape.set_fusion(fusion);
        let values: Vec<AdamParameter> = parameters
            .iter()
            .map(|ids| {
                let [weight, gradient, first, second] = ids.map(|id| tape.state(&layout, id));
                AdamParameter { weight, gradient, first, second }
            })
            .collect();
        let [rate_value, steps_value] = [rate, steps].map(|id| tape.state(&layout, id));
        let [loss_value, number_value, broken_value] = [loss, number, broken].map(|id| tape.state(&layout, id));
        let watch = Watch { loss: loss_value, number: number_value, broken: broken_value };
        tape.adam(&values, rate_value, steps_value, watch, options).unwrap();
        let plan = Plan::new(&tape, &layout);
        let (arena, state) = (Arena::new(plan.bytes()), layout.allocate());
        Self { plan, arena, state, parameters, rate, steps, loss, number, broken }
    }

    fn step(&mut self, rate: f64) {
        self.state.set_f64(self.rate, &[rate]);
        self.plan.run(&mut self.arena, &mut self.state).unwrap();
    }
}

fn assert_near(found: &[f64], expected: &[f64]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-11, "{found}, expected {expected}");
    }
}

/// Computed with torch 2.15 in float64: `Adam([0.5, -1.25, 2], betas=(0.5, 0.999), eps=1e-8, weight_decay=0.01)` with rates
/// 0.1, 0.05, 0.1 / 3 and gradients `[0.3 (s + 1), -0.2 + 0.5 s, 1e-9 (s + 1)]` in step s.
#[test]
fn steps_are_those_of_pytorch() {
    let expected = [
        [0.400000003279, -1.150000004706, 1.90000005],
        [0.347303615081, -1.173975411641, 1.850443077893],
        [0.309852074818, -1.207468672789, 1.817662586735],
    ];
    // The elements again and again, in a parameter of several pieces of work.
    let (small, large) = (3, 2 * PIECE + 6);
    let large = large - large % 3;
    for fusion in [true, false] {
        let options = AdamOptions { betas: [0.5, 0.999], weight_decay: 0.01, ..AdamOptions::default() };
        let mut bench = Bench::new(&[small, large], options, fusion);
        let repeated = |values: [f64; 3], count: usize| values.into_iter().cycle().take(count).collect::<Vec<_>>();
        for [weight, ..] in bench.parameters.clone() {
            let count = bench.state.layout().entry(weight).shape.count();
            bench.state.set_f64(weight, &repeated([0.5, -1.25, 2.0], count));
        }
        for (step, expected) in (0u32..).zip(expected) {
            let s = f64::from(step);
            for [weight, gradient, ..] in bench.parameters.clone() {
                let count = bench.state.layout().entry(weight).shape.count();
                bench.state.set_f64(gradient, &repeated([0.3 * (s + 1.0), -0.2 + 0.5 * s, 1e-9 * (s + 1.0)], count));
            }
            bench.step(0.1 / (s + 1.0));
            for [weight, ..] in &bench.parameters {
                let found = bench.state.get::<f64>(*weight);
                found.chunks_exact(3).for_each(|found| assert_near(found, &expected));
            }
            assert_eq!(bench.state.get::<u32>(bench.steps), [step + 1], "one update is one step, fused or not");
        }
        for [_, _, first, second] in &bench.parameters {
            assert_near(&bench.state.get::<f64>(*first)[..3], &[0.640861518084, 0.43969262293, 0.016502217639]);
            assert_near(&bench.state.get::<f64>(*second)[..3], &[0.001273553754, 0.000749569216, 1.102254e-06]);
        }
        assert_eq!(bench.state.get::<u32>(bench.broken), [0]);
    }
}

#[test]
fn the_first_step_that_is_not_finite_is_kept() {
    for fusion in [true, false] {
        let mut bench = Bench::new(&[5, PIECE + 9], AdamOptions::default(), fusion);
        bench.state.get_mut::<u32>(bench.number)[0] = 6;
        bench.state.set_f64(bench.loss, &[f64::NAN]);
        bench.step(0.1);
        assert_eq!(bench.state.get::<u32>(bench.broken), [7], "a loss that is not a number is seen");
        bench.state.set_f64(bench.loss, &[1.0]);
        bench.state.clear(bench.broken);
        bench.state.get_mut::<f64>(bench.parameters[1][1])[PIECE + 8] = f64::NAN;
        for now in 6..9 {
            bench.state.get_mut::<u32>(bench.number)[0] = now;
            bench.step(0.1);
            assert_eq!(bench.state.get::<u32>(bench.broken), [7], "a broken weight is seen, and the first step stays");
        }
    }
}

#[test]
fn options_and_operands_are_looked_at() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let mut value = |dtype: DType, shape: &[usize]| {
        let id = layout.declare(format!("{dtype} {shape:?}"), dtype, crate::tensor::Shape::new(shape));
        tape.state(&layout, id)
    };
    let (rate, count) = (value(DType::F32, &[]), value(DType::U32, &[1]));
    let (three, four) = (value(DType::F32, &[3]), value(DType::F32, &[4]));
    let watch = Watch { loss: rate, number: count, broken: count };
    let of = |gradient: ValueId| AdamParameter { weight: three, gradient, first: three, second: three };
    for options in [
        AdamOptions { betas: [1.0, 0.9], ..AdamOptions::default() },
        AdamOptions { betas: [0.9, -0.1], ..AdamOptions::default() },
        AdamOptions { epsilon: 0.0, ..AdamOptions::default() },
    ] {
        let error = tape.adam(&[of(three)], rate, count, watch, options).unwrap_err().to_string();
        assert!(error.contains("Adam cannot work with"), "{error}");
    }
    let options = AdamOptions::default();
    assert!(tape.adam(&[of(four)], rate, count, watch, options).unwrap_err().to_string().contains("[4]"));
    assert!(tape.adam(&[of(three)], rate, three, watch, options).unwrap_err().to_string().contains("u32"));
}
