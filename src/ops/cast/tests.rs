use half::bf16;

use crate::tape::{Arena, Plan, StateLayout, Tape};
use crate::tensor::DType;

/// Roundings to nearest, to even on a tie, up into infinity, and what is no number; and back without a change.
#[test]
fn rounds_to_nearest_even_and_back_exactly() {
    let step = 1.0f32 / 256.0;
    let given = [1.0, 1.0 + step, 1.0 + 3.0 * step, -1.004, 0.0, -0.0, 3.4e38, f32::INFINITY, f32::NAN, 1e-40];
    let mut layout = StateLayout::new();
    let x = layout.declare("x", DType::F32, [given.len()]);
    let mut tape = Tape::with_storage(DType::F32, DType::BF16);
    let value = tape.state(&layout, x);
    let narrow = tape.cast(value, DType::BF16).unwrap();
    let wide = tape.cast(narrow, DType::F32).unwrap();
    tape.keep(narrow);
    tape.keep(wide);
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    state.get_mut::<f32>(x).copy_from_slice(&given);
    let mut arena = Arena::new(plan.bytes());
    plan.run(&mut arena, &mut state).unwrap();
    // 1 + 2^-8 is a tie and becomes 1; 1 + 3 * 2^-8 is one and becomes 1 + 2^-6; what is beyond the largest is infinite.
    let expected = [0x3f80u16, 0x3f80, 0x3f82, 0xbf81, 0, 0x8000, 0x7f80, 0x7f80, 0x7fc0, 0x0001];
    let narrow = plan.read::<bf16>(&arena, &state, narrow).unwrap();
    assert_eq!(narrow.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), expected);
    let wide = plan.read::<f32>(&arena, &state, wide).unwrap();
    let widened = expected.map(|bits| u32::from(bits) << 16);
    assert_eq!(wide.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), widened);
}

#[test]
fn what_has_the_type_already_stays_itself_and_the_rest_shares_one_pass() {
    let mut layout = StateLayout::new();
    let types = [DType::F32, DType::BF16, DType::F32];
    let ids = types.map(|dtype| layout.declare(format!("{dtype}"), dtype, [3]));
    let mut tape = Tape::with_storage(DType::F32, DType::BF16);
    let values = ids.map(|id| tape.state(&layout, id));
    let cast = tape.cast_all(&values, DType::BF16).unwrap();
    assert_eq!(cast[1], values[1]);
    assert!(cast.iter().all(|id| tape.dtype(*id) == DType::BF16));
    assert_eq!(tape.nodes().len(), 1);
    assert_eq!(tape.nodes()[0].outputs, [cast[0], cast[2]]);
    assert_eq!(tape.cast_all(&values[..1], DType::F32).unwrap(), values[..1]);
    assert_eq!(tape.nodes().len(), 1, "there was nothing to do");
}

#[test]
fn only_f32_and_bf16_are_cast() {
    let mut layout = StateLayout::new();
    let types = [DType::F32, DType::F64, DType::U32];
    let ids = types.map(|dtype| layout.declare(format!("{dtype}"), dtype, [3]));
    let mut tape = Tape::new(DType::F32);
    let values = ids.map(|id| tape.state(&layout, id));
    for (values, dtype) in [(&values[..1], DType::F64), (&values[1..2], DType::BF16), (&values[..2], DType::BF16)] {
        let message = tape.cast_all(values, dtype).unwrap_err().to_string();
        assert!(message.contains(&dtype.to_string()) && message.contains("cannot cast f"), "{message}");
    }
    assert!(tape.cast(values[2], DType::F32).unwrap_err().to_string().contains("u32"));
}

/// A gradient that has the input's type passes as it is; another one is cast.
#[test]
fn the_gradient_has_the_type_of_the_input() {
    let mut layout = StateLayout::new();
    let ids = [DType::F32, DType::BF16].map(|dtype| layout.declare(format!("{dtype}"), dtype, [3]));
    let mut tape = Tape::with_storage(DType::F32, DType::BF16);
    let [weight, upstream] = ids.map(|id| tape.state(&layout, id));
    let used = tape.cast(weight, DType::BF16).unwrap();
    let passed = tape.backward(&[(used, weight)], &[weight]).unwrap();
    assert_eq!(passed, [Some(weight)]);
    let cast = tape.backward(&[(used, upstream)], &[weight]).unwrap()[0].expect("a gradient flows");
    assert_eq!(tape.dtype(cast), DType::F32);
    assert_eq!(tape.nodes().last().expect("a cast").inputs, [upstream]);
}
