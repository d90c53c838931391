//! What every kernel costs is committed in `benches/kernels.toml`; nothing of it gets worse unnoticed, and the bounds of each
//! class hold.

use std::path::Path;
use std::sync::LazyLock;

use kd_engine::bench::class::Class;
use kd_engine::bench::counts;
use kd_engine::bench::ledger::{Ledger, PINNED};
use kd_engine::gpu::kernels;

/// Everything counted anew.
static FOUND: LazyLock<Ledger> = LazyLock::new(|| Ledger::of(|_| true).unwrap());

fn committed() -> Ledger {
    Ledger::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kernels.toml")).unwrap()
}

#[test]
fn no_count_is_worse_than_committed() {
    let difference = FOUND.compare(&committed());
    if !difference.better.is_empty() {
        println!("better than committed:\n{}", difference.better.join("\n"));
    }
    assert!(
        difference.worse.is_empty(),
        "{}\nif that is meant: kd-engine bench --device sim --write benches/kernels.toml",
        difference.worse.join("\n")
    );
}

#[test]
fn every_kernel_of_the_binary_is_counted() {
    assert_eq!(kernels::absent(), None, "built without NVRTC: run ./test, or set KD_NVRTC_DIR");
    let names = counts::kernel_names();
    assert!(names.len() > 90, "{} kernels", names.len());
    for kernel in names {
        assert!(FOUND.kernels.contains_key(kernel), "{kernel} is in no workload of src/ops/workloads.rs");
    }
}

#[test]
fn every_class_keeps_its_bounds() {
    let faults: Vec<String> = FOUND.kernels.iter().flat_map(|(kernel, costs)| costs.counts.faults(kernel)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for class in [Class::Memory, Class::Tensor, Class::Arithmetic, Class::Small] {
        assert!(FOUND.kernels.values().any(|costs| costs.counts.class == class), "no kernel is {class}");
    }
}

#[test]
fn every_kernel_runs_on_every_architecture_without_spills() {
    for (kernel, costs) in &FOUND.kernels {
        // What this build made machine code for.
        for (arch, held) in &costs.held {
            assert_eq!(held.spills, 0, "{kernel} on {arch}");
            assert!(held.blocks >= 1, "{kernel} on {arch}: {held:?}");
        }
    }
    // The file has both that ./test builds, of every kernel.
    for (kernel, costs) in &committed().kernels {
        let archs: Vec<&str> = costs.held.keys().map(String::as_str).collect();
        assert_eq!(archs, PINNED, "{kernel}");
    }
}

#[test]
fn what_is_worse_is_named_and_what_is_better_is_told() {
    let before = committed();
    assert_eq!(before, toml_again(&before), "a file that is written reads as it was");
    let kernel = "conv_tensor_fprop_128x64_bf16";
    let mut worse = before.clone();
    let costs = worse.kernels.get_mut(kernel).unwrap();
    costs.counts.conflicts.ldmatrix += 8;
    costs.counts.loads.touched -= 1;
    costs.held.get_mut("sm_80").unwrap().registers += 1;
    costs.counts.barriers = 0;
    let difference = worse.compare(&before);
    assert_eq!(difference.worse.len(), 2, "{difference:?}");
    assert_eq!(difference.worse[0], format!("{kernel}: bank conflicts of ldmatrix: committed 0, found 8"));
    assert!(difference.worse[1].contains("registers on sm_80: committed"), "{difference:?}");
    assert_eq!(difference.better.len(), 2, "{difference:?}");
    // Another compiler's registers are no regression; its memory traffic is.
    worse.nvrtc = "13.0".to_string();
    assert_eq!(worse.compare(&before).worse.len(), 1);
    // Bounds.
    let faults = worse.kernels[kernel].counts.faults(kernel);
    assert!(faults.iter().any(|fault| fault.contains("8 of ldmatrix")), "{faults:?}");
    // Kernels come and go.
    let gone = worse.kernels.remove("add_f32").unwrap();
    worse.kernels.insert("add_f16".to_string(), gone);
    let words = worse.compare(&before).worse.join("\n");
    assert!(
        words.contains("add_f16 is not in the file") && words.contains("add_f32 is in the file and no more"),
        "{words}"
    );
}

/// Written and read.
fn toml_again(ledger: &Ledger) -> Ledger {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernels.toml");
    std::fs::write(&path, ledger.text()).unwrap();
    Ledger::read(&path).unwrap()
}
