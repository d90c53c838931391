//! The operations, each in a directory of its own: its meaning and gradient (`mod.rs`), the CPU's code (`cpu.rs`), its
//! tests. Recording functions are methods of [`crate::tape::Tape`].

pub mod add;
