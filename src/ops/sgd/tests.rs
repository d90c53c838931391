//! Several steps against PyTorch's formula written down once more.

use super::*;
use crate::tape::check::random;
use crate::tape::{Arena, Plan, StateLayout};

#[test]
fn steps_follow_the_formula() {
    for (momentum, weight_decay, nesterov) in [(0.0, 0.0, false), (0.9, 5e-4, false), (0.9, 1e-2, true)] {
        let options = SgdOptions { momentum, weight_decay, nesterov };
        let counts = [7, 70_001];
        let mut layout = StateLayout::new();
        let rate = layout.declare("rate", DType::F64, []);
        let loss = layout.declare("loss", DType::F64, []);
        let number = layout.declare("number", DType::U32, [1]);
        let broken = layout.declare("broken", DType::U32, [1]);
        let ids: Vec<_> = counts
            .iter()
            .map(|count| ["weight", "gradient", "velocity"].map(|name| layout.declare(name, DType::F64, [*count])))
            .collect();
        let mut tape = Tape::new(DType::F64);
        let parameters: Vec<SgdParameter> = ids
            .iter()
            .map(|[weight, gradient, velocity]| SgdParameter {
                weight: tape.state(&layout, *weight),
                gradient: tape.state(&layout, *gradient),
                velocity: tape.state(&layout, *velocity),
            })
            .collect();
        let rate_value = tape.state(&layout, rate);
        let [loss_value, number_value, broken_value] = [loss, number, broken].map(|id| tape.state(&layout, id));
        let watch = Watch { loss: loss_value, number: number_value, broken: broken_value };
        tape.sgd(&parameters, rate_value, watch, options).unwrap();
        let plan = Plan::new(&tape, &layout);
        let mut state = layout.allocate();
        let mut arena = Arena::new(plan.bytes());
        let mut expected: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
        for (tensor, ([weight, ..], count)) in ids.iter().zip(counts).enumerate() {
            let weights: Vec<f64> = (0..count).map(|index| random(4, tensor as u64, index as u64)).collect();
            state.set_f64(*weight, &weights);
            expected.push((weights, vec![0.0; count]));
        }
        for step in 0..3 {
            let lr = 0.1 / f64::from(step + 1);
            state.set_f64(rate, &[lr]);
            for (tensor, [_, gradient, _]) in ids.iter().enumerate() {
                let g: Vec<f64> =
                    (0..counts[tensor]).map(|i| random(5, (10 * step) as u64 + tensor as u64, i as u64)).collect();
                state.set_f64(*gradient, &g);
                let (w, v) = &mut expected[tensor];
                for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
                    let g = g + weight_decay * *w;
                    *v = momentum * *v + g;
                    *w -= lr * if nesterov { g + momentum * *v } else { *v };
                }
            }
            plan.run(&mut arena, &mut state).unwrap();
        }
        for ([weight, ..], (expected, _)) in ids.iter().zip(&expected) {
            let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-14 * (1.0 + b.abs());
            assert!(state.get::<f64>(*weight).iter().zip(expected).all(close));
        }
        assert_eq!(state.get::<u32>(broken), [0]);
        state.get_mut::<u32>(number)[0] = 6;
        state.set_f64(loss, &[f64::NAN]);
        plan.run(&mut arena, &mut state).unwrap();
        assert_eq!(state.get::<u32>(broken), [7], "a loss that is not a number is seen");
        state.set_f64(loss, &[1.0]);
        state.clear(broken);
        state.get_mut::<f64>(ids[1][1])[69_999] = f64::INFINITY;
        for now in 6..9 {
            state.get_mut::<u32>(number)[0] = now;
            plan.run(&mut arena, &mut state).unwrap();
            assert_eq!(state.get::<u32>(broken), [7], "an infinite weight is seen, and the first step stays");
        }
    }
}
