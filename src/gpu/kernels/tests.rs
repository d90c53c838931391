//! What the binary holds. These tests need a build with NVRTC: `./test` makes one.

use super::*;

#[test]
fn every_kernel_file_is_embedded_with_its_kernels() {
    assert_eq!(absent(), None, "built without NVRTC: run ./test, or set KD_NVRTC_DIR");
    for file in files() {
        let ptx = ptx(file).unwrap();
        assert!(ptx.contains(".target sm_80"), "{file}");
        let own: Vec<&str> = kernel_names().filter(|(_, of)| *of == file).map(|(name, _)| name).collect();
        assert!(!own.is_empty(), "{file}");
        for kernel in own {
            assert!(ptx.contains(&format!(".visible .entry {kernel}(")), "{kernel}");
        }
    }
    assert!(sources().iter().any(|source| source.name == "prims.cuh" && source.text.contains("#pragma once")));
}

#[test]
fn machine_code_comes_with_what_each_kernel_takes() {
    for (kernel, file) in kernel_names() {
        let with_code: Vec<Arch> = archs(file).collect();
        let known: Vec<Arch> = resources(kernel).iter().map(|(arch, _)| *arch).collect();
        assert_eq!(known, with_code, "{kernel}");
        for (arch, resources) in resources(kernel) {
            assert!((1..=255).contains(&resources.registers), "{kernel} on {arch}: {resources:?}");
            assert!(resources.shared <= 48 * 1024, "{kernel} on {arch}: static shared memory ends at 48 KiB");
        }
    }
    for file in files() {
        for arch in archs(file) {
            // An ELF file for a machine of its own (EM_CUDA is 190).
            let cubin = cubin(file, arch).unwrap();
            assert_eq!((&cubin[..4], u16::from_le_bytes([cubin[18], cubin[19]])), (&b"\x7fELF"[..], 190), "{file}");
        }
    }
    assert!(resources("no_such_kernel").is_empty());
}

// Registers that spill are memory traffic that nobody planned; kernels are cut so that none does.
#[test]
fn no_kernel_spills_registers() {
    for (kernel, _) in kernel_names() {
        for (arch, resources) in resources(kernel) {
            assert_eq!((resources.spill_stores, resources.spill_loads), (0, 0), "{kernel} on {arch}");
        }
    }
}
