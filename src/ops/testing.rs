//! What the operations' tests share: random numbers, thread pools, and a tape that runs once.

use crate::error::Result;
use crate::random::{Philox, Stream};
use crate::simd::Element;
use crate::tape::{Arena, Plan, StateLayout, Tape, ValueId};
use crate::tensor::Shape;

/// `count` standard normal numbers, shifted by `mean`.
pub(crate) fn normal<T: Element>(seed: u64, tensor: u64, count: usize, mean: f64) -> Vec<T> {
    let generator = Philox::new(seed, Stream::Weights);
    (0..count).map(|index| T::from_f64(mean + generator.normal(tensor, index as u64))).collect()
}

/// Runs `work` on a pool of `threads`.
pub(crate) fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool starts").install(work)
}

/// Asserts that `actual` is within `tolerance` of `expected`, relative to the largest expected value.
#[track_caller]
pub(crate) fn assert_close<T: Element>(what: &str, actual: &[T], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: count");
    let largest = expected.iter().fold(1e-300f64, |most, x| most.max(x.abs()));
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (actual.to_f64() - expected).abs() / largest;
        assert!(error <= tolerance, "{what}, element {index}: {actual}, expected {expected}, tolerance {tolerance}");
    }
}

/// Records `build` on values of the given shapes and contents, runs it once, and reads its results.
pub(crate) fn run_tape<T: Element>(
    inputs: &[(Shape, Vec<T>)],
    build: impl Fn(&mut Tape, &[ValueId]) -> Result<Vec<ValueId>>,
) -> Vec<Vec<T>> {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(T::DTYPE);
    let ids: Vec<_> =
        inputs.iter().enumerate().map(|(i, (shape, _))| layout.declare(format!("{i}"), T::DTYPE, *shape)).collect();
    let values: Vec<_> = ids.iter().map(|id| tape.state(&layout, *id)).collect();
    let results = build(&mut tape, &values).expect("the operations record");
    results.iter().for_each(|id| tape.keep(*id));
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    for (id, (_, contents)) in ids.iter().zip(inputs) {
        state.get_mut::<T>(*id).copy_from_slice(contents);
    }
    let mut arena = Arena::new(plan.bytes());
    plan.run(&mut arena, &mut state).unwrap();
    results.iter().map(|id| plan.read::<T>(&arena, &state, *id).unwrap().to_vec()).collect()
}
