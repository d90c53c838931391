use crate::tape::{StateLayout, Tape};
use crate::tensor::DType;

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
    let mut tape = Tape::with_storage(DType::F32, DType::BF16);
    let values = ids.map(|id| tape.state(&layout, id));
    for (values, dtype) in [(&values[..1], DType::F64), (&values[1..2], DType::BF16), (&values[..2], DType::BF16)] {
        let message = tape.cast_all(values, dtype).unwrap_err().to_string();
        assert!(message.contains(&dtype.to_string()) && message.contains("cannot cast f"), "{message}");
    }
    assert!(tape.cast(values[2], DType::F32).unwrap_err().to_string().contains("u32"));
    // A tape without activations in bf16 may be for a CPU, which has none.
    let mut tape = Tape::new(DType::F32);
    let x = tape.state(&layout, ids[0]);
    assert!(tape.cast(x, DType::BF16).unwrap_err().to_string().contains("bf16"));
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
