//! The tape's own promises, with additions alone.

use super::check::check_gradients;
use super::*;

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
    let processor = crate::gpu::Processor::Gpu(device);
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
