//! The command line of kd-engine.

use std::process::ExitCode;

fn main() -> ExitCode {
    kd_engine::cli::main()
}
