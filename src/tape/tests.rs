//! The tape's own promises, with additions alone.

use super::check::check_gradients;
use super::order::Order;
use super::*;
use crate::gpu::Processor;
use crate::gpu::sim::{Sim, SimOptions};

/// `y = a + b` into whatever the output is, state too.
#[derive(Debug)]
struct AddInto;

impl Operation for AddInto {
    fn name(&self) -> &'static str {
        "add_into"
    }

    fn run(&self, frame: &Frame<'_>) {
        let (a, b) = (frame.input_ptr::<f32>(0), frame.input_ptr::<f32>(1));
        for index in 0..frame.output_shape(0).count() {
            // SAFETY: all three have as many elements, and element by element it does not matter which are one.
            unsafe { *frame.output_ptr::<f32>(0).add(index) = *a.add(index) + *b.add(index) };
        }
    }

    fn launch(&self, launcher: &mut Launcher<'_>) -> Result<()> {
        let count = launcher.output_shape(0).count();
        let arguments = vec![launcher.input(0), launcher.input(1), launcher.output(0), count.into()];
        launcher.launch("add_f32", [count.div_ceil(1024), 1, 1], 256, arguments);
        Ok(())
    }
}

/// Two pieces of state that three lanes read and update in turn, and what of them is kept.
fn in_turn() -> (Tape, StateLayout, Vec<ValueId>) {
    let mut layout = StateLayout::new();
    let [x, y] = ["x", "y"].map(|name| layout.declare(name, DType::F32, [200]));
    let mut tape = Tape::new(DType::F32);
    let (x, y, one) = (tape.state(&layout, x), tape.state(&layout, y), tape.fill([200], 1.0));
    let mut kept = Vec::new();
    for (lane, updated) in [(1, x), (2, x), (1, y), (0, x), (2, x), (1, x)] {
        tape.set_lane((lane + 1) % 3);
        let before = tape.add(x, y).unwrap();
        tape.set_lane(lane);
        tape.record_into(AddInto, &[updated, one], &[updated]);
        kept.push(before);
    }
    kept.iter().for_each(|id| tape.keep(*id));
    (tape, layout, kept)
}

#[test]
fn lanes_read_and_update_state_in_recorded_order() {
    let (tape, layout, kept) = in_turn();
    let nodes: Vec<usize> = (0..tape.nodes.len()).collect();
    let order = Order::new(&tape, &nodes, Lanes::Overlapping);
    // Node 0 makes the one, then readers (odd) and updates (even) alternate. The update of y (6) needs not wait for those of
    // x, but for all that read y before: nodes 1, 3 and 5, of which 1 and 3 come before updates of x that 5 waits for.
    assert_eq!((order.waits(2), order.waits(4)), (&[1, 0][..], &[3][..]));
    assert_eq!((order.lane(5), order.lane(6), order.waits(6)), (order.lane(4), order.lane(2), &[5][..]));

    let run = |processor: &Processor, lanes| -> Vec<Vec<f32>> {
        let plan = Plan::with(processor, &tape, &layout, lanes).unwrap();
        let mut state = layout.clone().allocate_on(processor).unwrap();
        let mut arena = Arena::on(processor, plan.bytes()).unwrap();
        plan.run(&mut arena, &mut state).unwrap();
        kept.iter().map(|id| plan.read::<f32>(&arena, &state, *id).unwrap()).collect()
    };
    let expected: Vec<Vec<f32>> = (0..6u8).map(|updates| vec![f32::from(updates); 200]).collect();
    assert_eq!(run(&Processor::Cpu, Lanes::Overlapping), expected);
    for seed in 0..10 {
        let sim = Processor::of(Arc::new(Sim::new(SimOptions::strict(Some(seed)))));
        assert_eq!(run(&sim, Lanes::Overlapping), expected, "seed {seed}");
        assert_eq!(run(&sim, Lanes::Sequential), expected, "seed {seed}");
    }
}

fn sum_of_three(tape: &mut Tape, x: &[ValueId]) -> Result<ValueId> {
    let pair = tape.add(x[0], x[1])?;
    let again = tape.add(pair, x[0])?;
    tape.add(again, pair)
}

#[test]
fn gradients_of_a_value_with_several_users_are_summed() {
    let shape = Shape::from([3, 5]);
    check_gradients(1, &[shape, shape], |tape, _, x| sum_of_three(tape, x));
}

#[test]
fn views_pass_gradients_through() {
    check_gradients(2, &[Shape::from([2, 3, 4]), Shape::from([6, 4])], |tape, _, x| {
        let flat = tape.view(x[0], [6, 4])?;
        tape.add(flat, x[1])
    });
}

#[test]
fn work_that_nobody_reads_is_left_out_and_buffers_are_shared() {
    let mut layout = StateLayout::new();
    let id = layout.declare("x", DType::F32, [1000]);
    let mut tape = Tape::new(DType::F32);
    let x = tape.state(&layout, id);
    let mut last = tape.add(x, x).unwrap();
    tape.add(x, last).unwrap();
    for _ in 0..10 {
        last = tape.add(last, x).unwrap();
    }
    tape.keep(last);
    let plan = Plan::new(&tape, &layout);
    assert_eq!(plan.len(), 11, "the unread addition is gone");
    assert_eq!(plan.bytes(), 4032, "a chain updated in place needs one buffer");
    let mut state = layout.allocate();
    state.set_f64(id, &[1.5; 1000]);
    let mut arena = Arena::new(plan.bytes());
    plan.run(&mut arena, &mut state).unwrap();
    assert!(plan.read::<f32>(&arena, &state, last).unwrap().iter().all(|x| *x == 18.0));
}

#[test]
fn a_view_of_another_count_is_refused() {
    let mut layout = StateLayout::new();
    let id = layout.declare("x", DType::F32, [4, 3]);
    let mut tape = Tape::new(DType::F32);
    let x = tape.state(&layout, id);
    assert!(tape.view(x, [5]).unwrap_err().to_string().contains("12 elements are not 5"));
}

#[test]
fn tensors_that_kernels_cannot_count_are_refused() {
    let device = std::sync::Arc::new(crate::gpu::sim::Sim::new(crate::gpu::sim::SimOptions::default()));
    let processor = crate::gpu::Processor::of(device);
    let plan = |count: usize| {
        let mut layout = StateLayout::new();
        let id = layout.declare("x", DType::F32, [1 << 10, count]);
        let mut tape = Tape::new(DType::F32);
        let x = tape.state(&layout, id);
        let sum = tape.add(x, x).unwrap();
        tape.keep(sum);
        Plan::on(&processor, &tape, &layout).map(|_| ())
    };
    plan((1 << 21) - 1).unwrap();
    let error = plan(1 << 21).unwrap_err();
    assert!(error.to_string().contains("[1024, 2097152]"), "{error}");
    assert_eq!(error.exit_status(), 2);
}

/// No gradient flows through a constant, nor through a view of one; through the value itself it does.
#[test]
fn a_detached_value_is_a_constant() {
    let mut layout = StateLayout::new();
    let x = layout.declare("x", DType::F64, [4]);
    let mut tape = Tape::new(DType::F64);
    let x = tape.state(&layout, x);
    let doubled = tape.scale(x, 2.0);
    let constant = tape.detach(doubled);
    let view = tape.view(constant, [2, 2]).unwrap();
    let through = tape.scale(view, 3.0);
    let one = tape.fill([2, 2], 1.0);
    assert_eq!(tape.backward(&[(through, one)], &[x]).unwrap(), [None]);

    let both = tape.add(doubled, constant).unwrap();
    let one = tape.fill([4], 1.0);
    let gradient = tape.backward(&[(both, one)], &[x]).unwrap()[0].expect("the value itself passes gradients on");
    tape.keep(gradient);
    let plan = Plan::on(&Processor::Cpu, &tape, &layout).unwrap();
    let mut arena = Arena::on(&Processor::Cpu, plan.bytes()).unwrap();
    let mut state = layout.allocate();
    plan.run(&mut arena, &mut state).unwrap();
    assert_eq!(plan.read_f64(&arena, &state, gradient).unwrap(), [2.0; 4]);
}
