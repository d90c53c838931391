//! `kd-engine doctor`: every kernel of the binary is checked, on the simulator with all checks on.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn doctor(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kd-engine"));
    command.arg("doctor").args(arguments).env_remove("RUST_BACKTRACE").stdin(Stdio::null()).output().unwrap()
}

#[test]
fn every_kernel_passes_and_none_is_left_out() {
    let output = doctor(&["--device", "sim", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kernels = document["kernels"].as_array().unwrap();
    let failed: Vec<&Value> = kernels.iter().filter(|kernel| kernel["passed"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(document["uncovered"].as_array().unwrap().len(), 0, "{}", document["uncovered"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let embedded = kd_engine::gpu::kernels::kernel_names().map(|(kernel, _)| kernel);
    for kernel in embedded.filter(|kernel| !kernel.starts_with("golden_")) {
        assert!(kernels.iter().any(|one| one["name"] == kernel), "{kernel} was not checked");
    }
    for kernel in kernels {
        assert!(!kernel["cases"].as_array().unwrap().is_empty());
    }
}

#[test]
fn requests_that_cannot_be_met_are_refused() {
    for (arguments, words) in [
        (["--device", "cpu"], "doctor checks the kernels of GPUs"),
        (["no-such-kernel", "--device=sim"], "no kernel, no case and no wrapper has a name with `no-such-kernel`"),
    ] {
        let output = doctor(&arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words), "{message}");
    }
}
