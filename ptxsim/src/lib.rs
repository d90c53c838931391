//! A strict PTX interpreter: runs CUDA kernels on the CPU and checks them as a compute sanitizer does.

pub mod ast;
pub mod mutate;
mod parse;
mod print;

pub use parse::ParseError;
