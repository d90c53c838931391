//! Memory, launches, streams, events, graphs, and which image a GPU gets.

use std::sync::Arc;
use std::thread;

use kd_engine::gpu::driver::Driver;
use kd_engine::gpu::{Buffer, Device, Graph, Launch, Task, kernels, nvrtc};

use super::stand_in::{Machine, StandIn};

/// y = a + b over `count` floats.
pub fn add(a: u64, b: u64, y: u64, count: u32) -> Launch {
    let mut parameters = [a, b, y].map(u64::to_le_bytes).concat();
    parameters.extend(count.to_le_bytes());
    Launch {
        kernel: "add_f32".to_string(),
        grid: [count.div_ceil(1024), 1, 1],
        block: [256, 1, 1],
        shared: 0,
        parameters,
        views: Vec::new(),
        undefined: Vec::new(),
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(device: &dyn Device, buffer: &Buffer, count: usize) -> Vec<f32> {
    let mut bytes = vec![0; count * 4];
    device.download(buffer.address(), &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap())).collect()
}

/// `count` floats: `from`, `from + 1`, ...
fn ramp(device: &Arc<dyn Device>, count: usize, from: f32) -> Buffer {
    let buffer = Buffer::new(device, count * 4, "ramp").unwrap();
    let values: Vec<f32> = (0..count).map(|index| from + index as f32).collect();
    device.upload(buffer.address(), &bytes(&values)).unwrap();
    buffer
}

pub fn open() -> Arc<dyn Device> {
    Arc::new(Driver::open(0).unwrap())
}

#[test]
fn bytes_go_there_and_come_back_and_kernels_get_their_parameters() {
    let stand_in = StandIn::new(Machine::default());
    let device = open();
    assert_eq!(device.name(), "Stand-in 0");
    let count = 1029;
    let (a, b) = (ramp(&device, count, 0.5), ramp(&device, count, 100.0));
    let y = Buffer::new(&device, count * 4, "y").unwrap();
    device.fill(y.address(), count * 4, 0).unwrap();
    assert_eq!(floats(&*device, &y, count), vec![0.0; count]);
    device.launch(device.main_stream(), &add(a.address(), b.address(), y.address(), count as u32)).unwrap();
    let sums: Vec<f32> = (0..count).map(|index| 100.5 + 2.0 * index as f32).collect();
    assert_eq!(floats(&*device, &y, count), sums);
    assert_eq!(stand_in.kernels(), ["add_f32 grid 2 1 1 block 256 1 1 shared 0 parameters 28"]);
    // Nothing is no work, and no error.
    device.upload(y.address(), &[]).unwrap();
    device.download(y.address(), &mut []).unwrap();
    device.fill(y.address(), 0, 1).unwrap();
    let memory = device.memory().unwrap();
    assert_eq!((memory.total, memory.total - memory.free), (1 << 24, 3 * 4 * count as u64));
    drop((a, b, y, device));
    assert_eq!(stand_in.live(), 0, "everything was given back");
}

#[test]
fn any_thread_may_use_the_device() {
    let stand_in = StandIn::new(Machine::default());
    let device = open();
    let a = ramp(&device, 7, 1.0);
    thread::scope(|scope| {
        scope.spawn(|| {
            device.launch(device.main_stream(), &add(a.address(), a.address(), a.address(), 7)).unwrap();
            device.synchronize().unwrap();
        });
    });
    assert_eq!(floats(&*device, &a, 7), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]);
    let moved = (device, a);
    thread::spawn(move || drop(moved)).join().unwrap();
    assert_eq!(stand_in.live(), 0);
}

#[test]
fn a_graph_does_its_work_when_it_is_replayed_and_not_before() {
    let stand_in = StandIn::new(Machine::default());
    let device = open();
    let (a, b) = (ramp(&device, 4, 0.0), ramp(&device, 4, 1.0));
    let step = add(a.address(), b.address(), a.address(), 4);
    let graph = Graph::of(&device, &[step.clone(), step.clone()]).unwrap();
    device.synchronize().unwrap();
    assert_eq!(floats(&*device, &a, 4), [0.0, 1.0, 2.0, 3.0]);
    for _ in 0..3 {
        graph.replay().unwrap();
    }
    assert_eq!(floats(&*device, &a, 4), [6.0, 13.0, 20.0, 27.0]);
    assert_eq!(stand_in.kernels().len(), 6);
    // A launch that is refused ends the recording; the next one works.
    assert!(Graph::of(&device, &[step.clone(), Launch { kernel: "no_such".to_string(), ..step.clone() }]).is_err());
    let other = Graph::of(&device, &[step]).unwrap();
    drop(graph);
    other.replay().unwrap();
    assert_eq!(floats(&*device, &a, 4), [7.0, 15.0, 23.0, 31.0]);
    drop((a, b, other, device));
    assert_eq!(stand_in.live(), 0);
}

#[test]
fn streams_wait_for_each_other_by_events() {
    let stand_in = StandIn::new(Machine::default());
    let device = open();
    let (first, second) = (device.main_stream(), device.stream(0).unwrap());
    let (a, b) = (ramp(&device, 3072, 0.0), ramp(&device, 3072, 1.0));
    let launch = |count| add(a.address(), b.address(), a.address(), count);
    let order = |stand_in: &StandIn| -> Vec<usize> {
        let kernels = stand_in.kernels();
        kernels.iter().map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect()
    };
    // Numbered by their grids. The stand-in does the first stream's work first unless an event says otherwise.
    for round in 0..2 {
        device.launch(second, &launch(1024)).unwrap();
        let event = device.record(second).unwrap();
        device.launch(second, &launch(2048)).unwrap();
        device.wait(first, event).unwrap();
        device.launch(first, &launch(3072)).unwrap();
        device.synchronize().unwrap();
        assert_eq!(order(&stand_in)[round * 3..], [1, 3, 2]);
    }
    // An event of before the last synchronisation has happened.
    let event = device.record(second).unwrap();
    device.synchronize().unwrap();
    device.wait(first, event).unwrap();
    drop((a, b, device));
    assert_eq!(stand_in.live(), 0);
}

#[test]
fn a_capture_goes_over_to_streams_that_wait_for_its_events() {
    let stand_in = StandIn::new(Machine::default());
    let device = open();
    let (first, second) = (device.main_stream(), device.stream(0).unwrap());
    let (a, b) = (ramp(&device, 4, 0.0), ramp(&device, 4, 1.0));
    let launch = add(a.address(), b.address(), a.address(), 4);
    let capture = |joined: bool| {
        device.begin_capture(first)?;
        let fork = device.record(first)?;
        device.wait(second, fork)?;
        device.launch(second, &launch)?;
        if joined {
            let join = device.record(second)?;
            device.wait(first, join)?;
        }
        device.launch(first, &launch)?;
        device.end_capture(first)
    };
    let error = capture(false).unwrap_err();
    assert!(error.to_string().contains("recording a graph") && error.to_string().contains("904"), "{error}");
    let graph = capture(true).unwrap();
    device.replay(graph, first).unwrap();
    assert_eq!(floats(&*device, &a, 4), [2.0, 5.0, 8.0, 11.0]);
    device.release(graph);
    assert!(device.replay(graph, first).is_err());
    drop((a, b, device));
    assert_eq!(stand_in.live(), 0);
}

#[test]
fn a_capture_that_breaks_the_manuals_rules_is_an_error_and_the_next_one_works() {
    let stand_in = StandIn::new(Machine::default());
    let device = open();
    let (first, second) = (device.main_stream(), device.stream(0).unwrap());
    let (a, b) = (ramp(&device, 4, 0.0), ramp(&device, 4, 1.0));
    let launch = add(a.address(), b.address(), a.address(), 4);
    let fork = || {
        device.begin_capture(first).unwrap();
        let fork = device.record(first).unwrap();
        device.wait(second, fork).unwrap();
    };
    let join = || device.wait(first, device.record(second).unwrap()).unwrap();
    let expect_end = |code: &str| {
        let error = device.end_capture(first).unwrap_err().to_string();
        assert!(error.contains("recording a graph") && error.contains(code), "{error}");
    };
    // A fork that is never joined, even one without work.
    fork();
    expect_end("904");
    // Work after the event by which its stream was joined.
    fork();
    join();
    device.launch(second, &launch).unwrap();
    expect_end("904");
    // Joined to a stream that is not joined itself.
    let third = device.stream(1).unwrap();
    fork();
    device.launch(second, &launch).unwrap();
    device.wait(third, device.record(second).unwrap()).unwrap();
    expect_end("904");
    // Waiting for what happens outside of the capture.
    let outside = device.record(third).unwrap();
    fork();
    assert!(device.wait(second, outside).unwrap_err().to_string().contains("905"));
    expect_end("901");
    // Waiting for the device.
    fork();
    join();
    assert!(device.synchronize().unwrap_err().to_string().contains("900"));
    assert!(device.launch(first, &launch).unwrap_err().to_string().contains("901"));
    expect_end("901");
    // An event of a capture that is over.
    fork();
    device.launch(second, &launch).unwrap();
    let inside = device.record(second).unwrap();
    device.wait(first, inside).unwrap();
    let graph = device.end_capture(first).unwrap();
    assert!(device.wait(first, inside).unwrap_err().to_string().contains("907"));
    device.replay(graph, first).unwrap();
    assert_eq!(floats(&*device, &a, 4), [1.0, 3.0, 5.0, 7.0]);
    device.release(graph);
    drop((a, b, device));
    assert_eq!(stand_in.live(), 0);
}

#[test]
fn lanes_of_a_graph_wait_for_each_other_and_for_nothing_else() {
    let stand_in = StandIn::new(Machine::default());
    let device = open();
    let buffers: Vec<Buffer> = (0..5).map(|index| ramp(&device, 4, index as f32)).collect();
    let add = |a: usize, b: usize, y: usize| add(buffers[a].address(), buffers[b].address(), buffers[y].address(), 4);
    // y = x + 1 in the first lane, z = x + 2 in the second after it, sum = y + z in a third.
    let launches = [add(0, 1, 2), add(2, 0, 2), add(2, 1, 3), add(2, 3, 4)];
    let task = |lane, waits, range: std::ops::Range<usize>| Task { lane, waits, launches: &launches[range] };
    let tasks = [task(0, &[], 0..2), task(1, &[0], 2..3), task(2, &[0, 1], 3..4)];
    let graph = Graph::of_tasks(&device, &tasks).unwrap();
    let made = stand_in.calls("cuStreamCreate");
    let again = Graph::of_tasks(&device, &tasks).unwrap();
    assert_eq!((made, stand_in.calls("cuStreamCreate")), (3, 3), "streams are used again");
    // Replays neither allocate nor copy nor wait.
    let calls = |functions: &[&str]| functions.iter().map(|function| stand_in.calls(function)).sum::<i64>();
    let costly = [
        "cuMemAlloc_v2",
        "cuMemcpyHtoDAsync_v2",
        "cuMemcpyDtoHAsync_v2",
        "cuMemsetD8Async",
        "cuStreamSynchronize",
        "cuCtxSynchronize",
        "cuLaunchKernel",
        "cuEventCreate",
    ];
    let before = calls(&costly);
    for _ in 0..7 {
        graph.replay().unwrap();
    }
    assert_eq!((calls(&costly) - before, stand_in.calls("cuGraphLaunch")), (0, 7));
    let sums: Vec<f32> = (0..4).map(|index| index as f32).map(|i| 2.0 * (i + i + 1.0 + i) + i + 1.0).collect();
    assert_eq!(floats(&*device, &buffers[4], 4), sums);
    // Without its wait the third lane reads what was there before.
    let blind = [tasks[0], tasks[1], task(2, &[], 3..4)];
    let blind = Graph::of_tasks(&device, &blind).unwrap();
    device.fill(buffers[3].address(), 16, 0).unwrap();
    blind.replay().unwrap();
    assert_ne!(floats(&*device, &buffers[4], 4), sums);
    drop((graph, again, blind, buffers, device));
    assert_eq!(stand_in.live(), 0);
}

#[test]
fn a_gpu_gets_machine_code_made_for_it_and_else_ptx() {
    let files = kernels::files().count();
    assert!(files > 0);
    for capability in [(8, 0), (8, 7), (9, 0), (10, 3), (13, 0)] {
        let stand_in = StandIn::new(Machine { capability, ..Machine::default() });
        drop(open());
        let expected: Vec<&str> = kernels::files()
            .map(|file| nvrtc::best(kernels::archs(file), capability).map_or("load ptx", |_| "load cubin"))
            .collect();
        assert_eq!(stand_in.log(), expected, "{capability:?}");
        assert_eq!(stand_in.live(), 0);
    }
}

#[test]
fn events_tell_the_time_between_them() {
    let _stand_in = StandIn::new(Machine::default());
    let device = open();
    let a = ramp(&device, 7, 1.0);
    let stream = device.main_stream();
    let start = device.record(stream).unwrap();
    for _ in 0..3 {
        device.launch(stream, &add(a.address(), a.address(), a.address(), 7)).unwrap();
    }
    let end = device.record(stream).unwrap();
    // Nobody has waited: the work is not done.
    let error = device.elapsed(start, end).unwrap_err();
    assert!(error.to_string().contains("time between two events"), "{error}");
    device.synchronize().unwrap();
    // The stand-in takes half a microsecond for each.
    assert!((device.elapsed(start, end).unwrap().as_secs_f64() - 1.5e-6).abs() < 1e-12);
    assert!(device.elapsed(start, kd_engine::gpu::EventId(99)).is_err());
}

#[test]
fn limits_follow_from_clocks() {
    let _stand_in = StandIn::new(Machine::default());
    let limits = open().limits().unwrap().unwrap();
    assert_eq!((limits.multiprocessors, limits.capability), (108, (8, 0)));
    // An A100: 1.41 GHz, HBM2 of 5120 bits at 1215 MHz; its data sheet says 1555 GB/s, 19.5 and 312 TFLOP/s.
    assert!((limits.bandwidth / 1e9 - 1555.2).abs() < 0.1, "{limits:?}");
    let machine = kd_engine::bench::machine::Machine::of_gpu("A100", limits);
    assert!((machine.peak_gflops / 1e3 - 19.5).abs() < 0.05, "{machine:?}");
    assert!((machine.tensor_gflops.unwrap() / 1e3 - 312.0).abs() < 0.5, "{machine:?}");
}
