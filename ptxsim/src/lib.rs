//! A strict PTX interpreter: runs CUDA kernels on the CPU and checks them as a compute sanitizer does.

pub mod ast;
mod checks;
mod counters;
mod decode;
mod exec;
mod fault;
mod launch;
mod memory;
pub mod mutate;
mod ops;
mod parse;
mod print;

pub use ast::Module;
pub use checks::Checks;
pub use counters::{Banks, Counters, Traffic, Work};
pub use decode::{DecodeError, Kernel, Parameter, Program};
pub use fault::{Fault, FaultKind};
pub use launch::{Launch, Options, View};
pub use memory::global::{GlobalMemory, MemoryError};
pub use parse::ParseError;
