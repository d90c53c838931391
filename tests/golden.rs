//! Every wrapper of `kernels/prims.cuh` gives its golden values on the simulator, and golden values catch a wrong device.

use std::sync::Arc;

use kd_engine::doctor::golden::{self, Book, Finding};
use kd_engine::gpu::Device;
use kd_engine::gpu::sim::{Sim, SimOptions};

fn simulated(seed: Option<u64>) -> Arc<dyn Device> {
    Arc::new(Sim::new(SimOptions::strict(seed)))
}

#[test]
fn every_wrapper_gives_its_golden_values_on_the_simulator() {
    let values = golden::select(None).unwrap();
    let findings = golden::examine_all(&values, |again| Ok(simulated(again.then_some(7)))).unwrap();
    let wrong: Vec<String> = findings
        .iter()
        .filter_map(|finding| Some(format!("{}: {}", finding.golden.kernel, finding.fault.as_ref()?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(findings.len(), Book::committed().unwrap().cases.len());
}

#[test]
fn another_output_is_found_whatever_the_wrapper() {
    for case in &Book::committed().unwrap().cases {
        let mut other = case.clone();
        // The top bit but one of the last element: a NaN never becomes another NaN by it, and no bound is so wide.
        *other.output.last_mut().unwrap() ^= 0x40;
        let finding: Finding = golden::examine(&other, |_| Ok(simulated(None))).unwrap();
        assert!(!finding.passed(), "{} ({})", case.kernel, case.about);
    }
}
