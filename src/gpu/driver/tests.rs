//! What can be known of the driver device without a driver. `tests/driver.rs` runs all of it against a stand-in.

use super::fault;
use super::modules::usable;
use super::*;
use crate::error::Kind;
use crate::gpu::nvrtc::Image;
use crate::gpu::nvrtc::target::Arch;
use miette::Diagnostic;

fn help(error: &Error) -> String {
    error.help().map(|help| help.to_string()).unwrap_or_default()
}

/// Reads the list as the driver does.
#[test]
fn parameters_are_given_as_one_block() {
    for parameters in [vec![], vec![7u8], (0..100).collect()] {
        let mut block = ParameterBlock::new(&parameters);
        let extra = block.extra();
        // SAFETY: five words, as the manual lists them: marker, bytes, marker, pointer to the size, end.
        let (markers, bytes, size) = unsafe {
            let word = |index: usize| *extra.add(index);
            let size = *word(3).cast::<usize>();
            ([word(0), word(2), word(4)].map(|word| word as usize), word(1), size)
        };
        assert_eq!(markers, [1, 2, 0]);
        assert_eq!(size, parameters.len());
        assert_eq!(bytes.cast::<u8>().cast_const(), parameters.as_ptr());
    }
}

#[test]
fn without_a_driver_there_is_an_error_and_no_panic() {
    // SAFETY: see `survey`.
    if unsafe { sys::is_culib_present() } {
        // A machine with a GPU: `doctor --device cuda` is the test.
        return;
    }
    for error in [survey().unwrap_err(), Driver::open(0).unwrap_err(), Driver::open(7).unwrap_err()] {
        assert_eq!(error.kind(), Kind::Request);
        assert!(error.to_string().contains("NVIDIA's driver is not installed"), "{error}");
        assert!(help(&error).contains("--device cpu"), "{error:?}");
    }
}

#[test]
fn a_driver_gets_the_best_image_it_can_read() {
    let cubin = |nvrtc| Image::Cubin { arch: Arch { major: 8, minor: 0, specific: false }, bytes: Vec::new(), nvrtc };
    let ptx = |nvrtc| Image::Ptx { text: String::new(), nvrtc };
    let both = |nvrtc| vec![cubin(nvrtc), ptx(nvrtc)];
    assert_eq!(usable(both((12, 8)), (13, 0)).unwrap(), both((12, 8)));
    assert_eq!(usable(both((12, 8)), (12, 8)).unwrap(), both((12, 8)));
    // Machine code runs on every driver of its major version, PTX is translated only from the compiler's version on.
    assert_eq!(usable(both((12, 8)), (12, 2)).unwrap(), [cubin((12, 8))]);
    let message = |images, driver| usable(images, driver).unwrap_err().to_string();
    assert_eq!(
        message(vec![ptx((12, 8))], (12, 2)),
        "NVIDIA's driver is too old: it is for CUDA 12.2, and the kernels need one for CUDA 12.8 (release 570 or later)"
    );
    assert_eq!(
        message(both((13, 0)), (12, 9)),
        "NVIDIA's driver is too old: it is for CUDA 12.9, and the kernels need one for CUDA 13.0 (release 580 or later)"
    );
}

#[test]
fn a_gpu_is_found_by_its_number_and_has_to_be_new_enough() {
    let gpu = |ordinal, name: &str, capability| Gpu {
        ordinal,
        name: name.to_string(),
        capability,
        memory: 1 << 34,
        shared_per_block: 101_376,
    };
    let survey = Survey { version: (12, 8), gpus: vec![gpu(0, "NVIDIA T4", (7, 5)), gpu(1, "NVIDIA A10", (8, 6))] };
    assert_eq!(survey.gpu(1).unwrap().name, "NVIDIA A10");
    let error = survey.gpu(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "NVIDIA T4 is too old: its compute capability is 7.5, and the kernels need 8.0 or later"
    );
    let error = survey.gpu(2).unwrap_err();
    assert_eq!(error.to_string(), "there is no GPU `cuda:2`");
    assert_eq!(help(&error), "there is cuda:0 (NVIDIA T4), cuda:1 (NVIDIA A10)");
}

#[test]
fn faults_say_what_happened_and_what_to_do() {
    let lost = fault::fault(700, "NVIDIA A10", "waiting for its work");
    assert_eq!(
        lost.to_string(),
        "NVIDIA A10 is lost to this process: waiting for its work: a kernel accessed memory that it does not have \
         (CUDA_ERROR_ILLEGAL_ADDRESS)"
    );
    assert!(help(&lost).contains("--resume") && help(&lost).contains("CUDA_LAUNCH_BLOCKING=1"));
    let hardware = fault::fault(214, "NVIDIA A10", "replaying a graph");
    assert!(hardware.to_string().contains("lost") && help(&hardware).contains("Xid"));
    let unknown = fault::fault(12345, "NVIDIA A10", "replaying a graph");
    assert_eq!(unknown.to_string(), "NVIDIA A10: replaying a graph: the driver refuses (CUDA error 12345)");
    // Every error has the exit status of what it is: the machine's state is no fault of the request.
    assert_eq!([lost.kind(), hardware.kind(), unknown.kind()], [Kind::Failed; 3]);
    for code in [3, 34, 100, 802, 803, 804] {
        let error = fault::no_start(code);
        assert_eq!(error.kind(), Kind::Request);
        assert!(!help(&error).is_empty() && error.to_string().starts_with("no GPU can be used: "), "{error}");
    }
    assert_eq!(fault::size(3 << 29), "1.5 GiB");
    assert_eq!(fault::size(1 << 20), "1.0 MiB");
}
