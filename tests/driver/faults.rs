//! No GPU, a GPU or a driver that is too old, memory that runs out, a device that is lost: a clear error each.

use std::sync::Arc;

use kd_engine::Kind;
use kd_engine::gpu::driver::{Driver, survey};
use kd_engine::gpu::{Buffer, Device, Graph, Launch, kernels, nvrtc};

use super::stand_in::{Machine, StandIn};
use super::work::{add, open};

fn refused(machine: Machine, ordinal: usize) -> String {
    let stand_in = StandIn::new(machine);
    let error = Driver::open(ordinal).unwrap_err();
    assert_eq!(error.kind(), Kind::Request, "{error}");
    assert_eq!(stand_in.live(), 0, "{error}");
    error.to_string()
}

#[test]
fn what_cannot_be_opened_is_said_before_anything_runs() {
    let machine = Machine::default();
    assert_eq!(
        refused(Machine { gpus: 0, ..machine }, 0),
        "no GPU can be used: there is no GPU (CUDA_ERROR_NO_DEVICE)"
    );
    assert_eq!(refused(Machine { gpus: 2, ..machine }, 2), "there is no GPU `cuda:2`");
    assert_eq!(
        refused(Machine { capability: (7, 5), ..machine }, 0),
        "Stand-in 0 is too old: its compute capability is 7.5, and the kernels need 8.0 or later"
    );
    assert_eq!(
        refused(Machine { version: 11_080, ..machine }, 0),
        "NVIDIA's driver is too old: it is for CUDA 11.8, and the kernels need one for CUDA 12.0 (release 525 or later)"
    );
    // A GPU without machine code of its own needs a driver that knows the compiler's PTX.
    let (major, minor) = kernels::nvrtc_version().expect("a build with NVRTC");
    let older = Machine { version: 12_000, capability: (13, 0), ..machine };
    assert!(
        refused(older, 0).contains(&format!("for CUDA 12.0, and the kernels need one for CUDA {major}.{minor}")),
        "{}",
        refused(older, 0)
    );
}

#[test]
fn the_survey_names_driver_and_gpus() {
    let _stand_in = StandIn::new(Machine { version: 12_080, gpus: 2, ..Machine::default() });
    let survey = survey().unwrap();
    assert_eq!(survey.version, (12, 8));
    assert_eq!(survey.gpus.iter().map(|gpu| gpu.name.as_str()).collect::<Vec<_>>(), ["Stand-in 0", "Stand-in 1"]);
    assert_eq!((survey.gpus[1].capability, survey.gpus[1].memory), ((8, 0), 1 << 24));
}

#[test]
fn an_image_that_the_driver_refuses_is_replaced_by_ptx() {
    let stand_in = StandIn::new(Machine::default());
    let file = kernels::files().next().unwrap();
    let with_code = nvrtc::best(kernels::archs(file), Machine::default().capability).is_some();
    stand_in.fail("cuModuleLoadData", 0, 209, false);
    match Driver::open(0) {
        Ok(_) => assert!(with_code && stand_in.log()[0] == "load ptx"),
        // A debug build has PTX alone, so nothing is left to try.
        Err(error) => {
            assert!(!with_code, "{error}");
            assert!(error.to_string().ends_with("the kernel image is for another GPU (CUDA_ERROR_NO_BINARY_FOR_GPU)"));
        }
    }
    // Any other answer is an error, and what was loaded so far is given back.
    stand_in.fail("cuModuleGetFunction", 1, 2, false);
    let error = Driver::open(0).unwrap_err();
    assert!(error.to_string().contains("loading the kernel"), "{error}");
    assert_eq!(stand_in.live(), 0);
}

#[test]
fn memory_that_runs_out_is_told_in_numbers_and_the_device_goes_on() {
    let stand_in = StandIn::new(Machine::default());
    let device = open();
    let held = Buffer::new(&device, 10 << 20, "state").unwrap();
    let error = Buffer::new(&device, 7 << 20, "the arena").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Stand-in 0 has not enough memory: the arena takes 7.0 MiB, and of 16.0 MiB there are 6.0 MiB left"
    );
    drop(held);
    drop(Buffer::new(&device, 7 << 20, "the arena").unwrap());
    drop(device);
    assert_eq!(stand_in.live(), 0);
}

#[test]
fn a_launch_that_cannot_be_is_refused_by_name() {
    let _stand_in = StandIn::new(Machine::default());
    let device = open();
    let y = Buffer::new(&device, 16, "y").unwrap();
    let launch = add(y.address(), y.address(), y.address(), 4);
    let refused = |launch: &Launch| device.launch(device.main_stream(), launch).unwrap_err().to_string();
    assert_eq!(refused(&Launch { kernel: "add_f33".to_string(), ..launch.clone() }), "there is no kernel `add_f33`");
    assert_eq!(
        refused(&Launch { block: [2048, 1, 1], ..launch.clone() }),
        "Stand-in 0: launching add_f32 (grid [1, 1, 1], block [2048, 1, 1], 0 bytes of shared memory): a value is out \
         of range (CUDA_ERROR_INVALID_VALUE)"
    );
    // The stand-in's kernels have 1 KiB of their own of the 99 KiB there are.
    assert!(refused(&Launch { shared: 100_353, ..launch.clone() }).contains("there are 100352 bytes"));
    device.launch(device.main_stream(), &Launch { shared: 100_352, ..launch }).unwrap();
    device.synchronize().unwrap();
}

#[test]
fn a_lost_device_is_an_error_wherever_it_shows_and_ends_quietly() {
    // Which of the driver's functions meets the fault first.
    for function in
        ["cuStreamSynchronize", "cuGraphLaunch", "cuCtxSynchronize", "cuMemcpyHtoDAsync_v2", "cuCtxSetCurrent"]
    {
        let stand_in = StandIn::new(Machine::default());
        let device = open();
        let y = Buffer::new(&device, 64, "y").unwrap();
        let launch = add(y.address(), y.address(), y.address(), 4);
        let graph = Graph::of(&device, std::slice::from_ref(&launch)).unwrap();
        stand_in.fail(function, 0, 719, true);
        let step = |device: &Arc<dyn Device>| {
            device.upload(y.address(), &[0; 64])?;
            graph.replay()?;
            device.synchronize()
        };
        let error = step(&device).unwrap_err();
        assert_eq!(error.kind(), Kind::Failed);
        assert!(error.to_string().starts_with("Stand-in 0 is lost to this process: "), "{function}: {error}");
        assert!(error.to_string().ends_with("a kernel failed (CUDA_ERROR_LAUNCH_FAILED)"), "{function}: {error}");
        // Everything after is refused, nothing panics.
        let again = [
            device.memory().map(|_| ()),
            device.launch(device.main_stream(), &launch),
            device.download(y.address(), &mut [0; 64]),
            device.fill(y.address(), 64, 0),
            device.record(device.main_stream()).map(|_| ()),
            device.begin_capture(device.main_stream()),
            device.stream(0).map(|_| ()),
            Buffer::new(&device, 64, "z").map(|_| ()),
            step(&device),
        ];
        for answer in again {
            assert!(answer.unwrap_err().to_string().contains("is lost to this process"));
        }
        drop((graph, y, device));
    }
}

#[test]
fn a_kernel_that_reaches_beyond_its_memory_loses_the_device_at_the_next_wait() {
    let _stand_in = StandIn::new(Machine::default());
    let device = open();
    let y = Buffer::new(&device, 64, "y").unwrap();
    device.launch(device.main_stream(), &add(y.address(), y.address(), y.address(), 17)).unwrap();
    let error = device.synchronize().unwrap_err().to_string();
    assert_eq!(
        error,
        "Stand-in 0 is lost to this process: waiting for its work: a kernel accessed memory that it does not have \
         (CUDA_ERROR_ILLEGAL_ADDRESS)"
    );
}
