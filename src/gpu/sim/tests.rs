//! Captured streams: their rules, the races between launches, the orders of replays, and the counted calls.

use super::*;
use crate::gpu::{Buffer, Graph, Task, View};

const COUNT: usize = 300;

fn device(options: SimOptions) -> (Arc<Sim>, Arc<dyn Device>) {
    let sim = Arc::new(Sim::new(options));
    (sim.clone(), sim)
}

/// A buffer of floats that are all `value`.
fn buffer(device: &Arc<dyn Device>, value: f32) -> Buffer {
    let buffer = Buffer::new(device, 4 * COUNT, "floats").unwrap();
    device.upload(buffer.address(), &value.to_le_bytes().repeat(COUNT)).unwrap();
    buffer
}

fn floats(device: &Arc<dyn Device>, buffer: &Buffer) -> Vec<f32> {
    let mut bytes = vec![0; 4 * COUNT];
    device.download(buffer.address(), &mut bytes).unwrap();
    bytemuck::pod_collect_to_vec(&bytes)
}

/// y = a + b
fn add(a: &Buffer, b: &Buffer, y: &Buffer) -> Launch {
    let mut parameters = [a, b, y].map(|buffer| buffer.address().to_le_bytes()).concat();
    parameters.extend((COUNT as u32).to_le_bytes());
    let view = |buffer: &Buffer, label: &str| View {
        address: buffer.address(),
        bytes: buffer.bytes(),
        writable: label == "the sum",
        label: label.to_string(),
    };
    Launch {
        kernel: "add_f32".to_string(),
        grid: [1, 1, 1],
        block: [256, 1, 1],
        shared: 0,
        parameters,
        views: vec![view(a, "the left side"), view(b, "the right side"), view(y, "the sum")],
        undefined: Vec::new(),
    }
}

/// Three lanes: x = 1 + 2 and y = x + 1 in the first, z = x + 2 in the second, sum = y + z in the third. The sum comes
/// first among the buffers.
fn diamond(device: &Arc<dyn Device>, waits: [&[usize]; 4]) -> (Result<Graph>, [Buffer; 6]) {
    let [one, two] = [1.0, 2.0].map(|value| buffer(device, value));
    let [x, y, z, sum] = [0.0; 4].map(|value| buffer(device, value));
    let launches = [add(&one, &two, &x), add(&x, &one, &y), add(&x, &two, &z), add(&y, &z, &sum)];
    let lanes = [0, 0, 1, 2];
    let tasks: Vec<Task<'_>> = (0..4)
        .map(|index| Task { lane: lanes[index], waits: waits[index], launches: &launches[index..=index] })
        .collect();
    (Graph::of_tasks(device, &tasks), [sum, x, y, z, one, two])
}

#[test]
fn graphs_of_several_lanes_give_the_same_in_every_order() {
    for seed in [None, Some(1), Some(2), Some(3)] {
        let (_, device) = device(SimOptions::strict(seed));
        let (graph, buffers) = diamond(&device, [&[], &[], &[0], &[1, 2]]);
        let graph = graph.unwrap();
        for _ in 0..4 {
            graph.replay().unwrap();
            assert_eq!(floats(&device, &buffers[0]), [9.0; COUNT]);
            device.fill(buffers[0].address(), 4 * COUNT, 0).unwrap();
        }
    }
}

#[test]
fn launches_that_nothing_orders_must_not_touch_the_same_bytes() {
    let missing: [([&[usize]; 4], &str); 4] = [
        ([&[], &[], &[], &[1, 2]], "launch 0"),
        ([&[], &[], &[0], &[2]], "launch 1"),
        ([&[], &[], &[0], &[1]], "launch 2"),
        ([&[], &[], &[0], &[]], "launch 3"),
    ];
    for (waits, named) in missing {
        let (_, device) = device(SimOptions::strict(None));
        let error = diamond(&device, waits).0.unwrap_err().to_string();
        assert!(error.starts_with("race between launches: nothing orders add_f32 (launch "), "{error}");
        assert!(error.contains("writes the sum") && error.contains("reads the "), "{error}");
        assert!(error.contains(named) && error.contains("1200 bytes"), "{error}");
    }
    // A wait that follows from others is not missed.
    let (_, device) = device(SimOptions::strict(None));
    diamond(&device, [&[], &[], &[0], &[0, 1, 2]]).0.unwrap();
    // Undefined bytes are as good as written.
    let [a, b, x, y] = [1.0; 4].map(|value| buffer(&device, value));
    let undefined = Launch { undefined: vec![(a.address() + 1196, 4)], ..add(&b, &b, &y) };
    let launches = [add(&a, &b, &x), undefined];
    let task = |lane: usize| Task { lane, waits: &[], launches: &launches[lane..=lane] };
    let error = Graph::of_tasks(&device, &[task(0), task(1)]).unwrap_err().to_string();
    assert!(error.contains("reads the left side") && error.contains("; 4 bytes"), "{error}");
}

#[test]
fn a_missing_wait_shows_in_the_result_of_some_order() {
    let checks = Checks { races: false, ..Checks::all() };
    let results = (0..20).map(|seed| {
        let (_, device) = device(SimOptions { checks, seed: Some(seed), ..SimOptions::default() });
        let (graph, buffers) = diamond(&device, [&[], &[], &[0], &[1]]);
        graph.unwrap().replay().unwrap();
        floats(&device, &buffers[0])[0]
    });
    let results: Vec<f32> = results.collect();
    // Either z is there, or it is still 0.
    assert!(results.contains(&9.0) && results.contains(&4.0), "{results:?}");
}

#[test]
fn captures_follow_the_manual() {
    let (_, device) = device(SimOptions::default());
    let (first, second) = (device.main_stream(), device.stream(0).unwrap());
    assert_eq!(device.stream(0).unwrap(), second, "a stream is made once");
    assert_ne!(device.stream(1).unwrap(), second);
    let [a, b, x, y] = [1.0; 4].map(|value| buffer(&device, value));
    let text = |error: Result<GraphId>| error.unwrap_err().to_string();
    // What was forked has to be joined; the error ends the capture all the same.
    device.begin_capture(first).unwrap();
    let fork = device.record(first).unwrap();
    device.wait(second, fork).unwrap();
    device.launch(second, &add(&a, &b, &x)).unwrap();
    let join = device.record(second).unwrap();
    device.wait(first, join).unwrap();
    // This one comes after the event that is waited for.
    device.launch(second, &add(&a, &b, &y)).unwrap();
    assert!(device.begin_capture(second).is_err());
    assert!(device.upload(a.address(), &[0; 4]).is_err() && device.synchronize().is_err());
    assert!(text(device.end_capture(first)).contains("joined"));
    // Events of a capture are of no use after it, nor others during one.
    assert!(device.wait(first, join).is_err());
    let outside = device.record(second).unwrap();
    device.begin_capture(first).unwrap();
    assert!(device.wait(first, outside).is_err());
    assert!(text(device.end_capture(second)).contains("on which it began"));
    assert!(text(device.end_capture(first)).contains("no graph is being recorded"));
    // A stream that takes no part goes on working.
    device.begin_capture(first).unwrap();
    device.launch(second, &add(&a, &b, &x)).unwrap();
    device.launch(first, &add(&x, &b, &x)).unwrap();
    let graph = device.end_capture(first).unwrap();
    assert_eq!(floats(&device, &x), [2.0; COUNT]);
    device.replay(graph, first).unwrap();
    assert_eq!(floats(&device, &x), [3.0; COUNT]);
}

#[test]
fn calls_are_counted() {
    let (sim, device) = device(SimOptions::default());
    let [a, b] = [1.0; 2].map(|value| buffer(&device, value));
    let before = sim.calls();
    assert_eq!(before, Calls { allocations: 2, uploads: 2, ..Calls::default() });
    let graph = Graph::of(&device, &[add(&a, &b, &b), add(&a, &b, &b)]).unwrap();
    (0..5).for_each(|_| graph.replay().unwrap());
    assert_eq!(sim.calls() - before, Calls { captures: 1, replays: 5, ..Calls::default() });
    device.launch(device.main_stream(), &add(&a, &b, &b)).unwrap();
    device.fill(a.address(), 4, 0).unwrap();
    device.synchronize().unwrap();
    floats(&device, &b);
    let expected =
        Calls { captures: 1, replays: 5, launches: 1, fills: 1, synchronisations: 1, downloads: 1, ..before };
    assert_eq!(sim.calls(), expected);
}
