//! Finite differences in f64 against recorded gradients: the test every differentiable operation passes.

use super::{Arena, Frame, Operation, Plan, State, StateId, StateLayout, Tape, ValueId};
use crate::error::Result;
use crate::random::{Philox, Stream};
use crate::tensor::{DType, Shape};

/// A random number for element `index` of tensor `tensor`, away from zero so that no ReLU's kink is near.
pub(crate) fn random(seed: u64, tensor: u64, index: u64) -> f64 {
    let value = Philox::new(seed, Stream::Weights).normal(tensor, index);
    value + 0.05 * value.signum()
}

/// Checks the gradient of every input of what `build` records.
///
/// `build` gets the tape, the layout (to declare state of its own) and one value per shape of `inputs`, and returns
/// the output. All inputs are random; the loss is the output times fixed random weights.
pub(crate) fn check_gradients(
    seed: u64,
    inputs: &[Shape],
    build: impl Fn(&mut Tape, &mut StateLayout, &[ValueId]) -> Result<ValueId>,
) {
    check_gradients_from(seed, inputs, |tensor, index| random(seed, tensor, index), build);
}

/// As [`check_gradients`], with inputs of the caller's making.
pub(crate) fn check_gradients_from(
    seed: u64,
    inputs: &[Shape],
    make: impl Fn(u64, u64) -> f64,
    build: impl Fn(&mut Tape, &mut StateLayout, &[ValueId]) -> Result<ValueId>,
) {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F64);
    let ids: Vec<StateId> =
        inputs.iter().enumerate().map(|(i, shape)| layout.declare(format!("input {i}"), DType::F64, *shape)).collect();
    let values: Vec<ValueId> = ids.iter().map(|id| tape.state(&layout, *id)).collect();
    let output = build(&mut tape, &mut layout, &values).expect("the operation records");
    let weights_id = layout.declare("weights", DType::F64, tape.shape(output));
    let weights = tape.state(&layout, weights_id);
    tape.keep(output);
    let forward = Plan::new(&tape, &layout);
    let gradients = tape.backward(&[(output, weights)], &values).expect("the operation has a gradient");
    let gradients: Vec<ValueId> = gradients.into_iter().map(|g| g.expect("a gradient flows to every input")).collect();
    gradients.iter().for_each(|id| tape.keep(*id));
    let both = Plan::new(&tape, &layout);

    let mut state: State = layout.allocate();
    for (tensor, id) in ids.iter().chain([&weights_id]).enumerate() {
        let made: Vec<f64> =
            (0..state.layout().entry(*id).shape.count())
                .map(|index| {
                    if *id == weights_id { random(seed, 1000, index as u64) } else { make(tensor as u64, index as u64) }
                })
                .collect();
        state.set_f64(*id, &made);
    }
    // Operations may update state (running statistics): every run starts from the same.
    let start: Vec<Vec<u8>> = state.layout().entries().map(|(id, _)| state.bytes(id).to_vec()).collect();
    let all: Vec<StateId> = state.layout().entries().map(|(id, _)| id).collect();
    let reset = |state: &mut State| all.iter().zip(&start).for_each(|(id, b)| state.bytes_mut(*id).copy_from_slice(b));

    let mut arena = Arena::new(both.bytes().max(forward.bytes()));
    both.run(&mut arena, &mut state).unwrap();
    let exact: Vec<Vec<f64>> = gradients.iter().map(|id| both.read_f64(&arena, &state, *id).unwrap()).collect();
    let largest = exact.iter().flatten().fold(1.0f64, |most, g| most.max(g.abs()));
    let mut loss_at = |id: StateId, element: usize, x: f64| {
        reset(&mut state);
        state.get_mut::<f64>(id)[element] = x;
        forward.run(&mut arena, &mut state).unwrap();
        let output = forward.read_f64(&arena, &state, output).unwrap();
        output.iter().zip(state.get::<f64>(weights_id)).map(|(a, b)| a * b).sum::<f64>()
    };
    for (tensor, id) in ids.iter().enumerate() {
        for (element, exact) in exact[tensor].iter().enumerate() {
            let x = bytemuck::pod_read_unaligned::<f64>(&start[id_index(&all, *id)][element * 8..element * 8 + 8]);
            let step = 1e-5 * x.abs().max(0.1);
            let numeric = (loss_at(*id, element, x + step) - loss_at(*id, element, x - step)) / (2.0 * step);
            let error = (numeric - exact).abs();
            assert!(
                error <= 1e-7 * largest + 1e-6 * exact.abs(),
                "seed {seed}: gradient of input {tensor}, element {element}: {exact} recorded, {numeric} by differences"
            );
        }
    }
}

fn id_index(all: &[StateId], id: StateId) -> usize {
    all.iter().position(|other| *other == id).expect("the state is declared")
}

/// A value as it was in another run: takes the place of what a recording detaches, so that differences see it as the
/// constant that gradients take it for.
#[derive(Debug)]
pub(crate) struct Constant(pub Vec<f64>);

impl Operation for Constant {
    fn name(&self) -> &'static str {
        "constant of a check"
    }

    fn run(&self, frame: &Frame<'_>) {
        frame.output::<f64>(0).copy_from_slice(&self.0);
    }
}
