//! The command line of kd-engine.

fn main() {}
