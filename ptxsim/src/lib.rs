//! A strict PTX interpreter: runs CUDA kernels on the CPU and checks them as a compute sanitizer does.

pub mod ast;
mod parse;

pub use parse::ParseError;
