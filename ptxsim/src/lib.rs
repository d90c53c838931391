//! A strict PTX interpreter: runs CUDA kernels on the CPU and checks them as a compute sanitizer does.
//!
//! A [`Module`] is what the text says, a [`Program`] what can be run; [`Kernel::launch`] runs it on a [`GlobalMemory`] and
//! gives [`Counters`], or the first [`Fault`].
//!
//! ```
//! use ptxsim::{Checks, FaultKind, GlobalMemory, Launch, Module, Options, Program};
//!
//! let text = r#"
//! .version 8.0
//! .target sm_80
//! .address_size 64
//! .visible .entry double_all(.param .u64 values, .param .u32 count)
//! {
//!     .reg .pred %p<2>; .reg .b32 %r<6>; .reg .f32 %f<3>; .reg .b64 %rd<4>;
//!     ld.param.u64 %rd1, [values];
//!     ld.param.u32 %r1, [count];
//!     mov.u32 %r2, %ctaid.x;
//!     mov.u32 %r3, %ntid.x;
//!     mov.u32 %r4, %tid.x;
//!     mad.lo.s32 %r5, %r2, %r3, %r4;
//!     setp.ge.u32 %p1, %r5, %r1;
//!     @%p1 bra DONE;
//!     mul.wide.u32 %rd2, %r5, 4;
//!     add.s64 %rd3, %rd1, %rd2;
//!     ld.global.f32 %f1, [%rd3];
//!     add.f32 %f2, %f1, %f1;
//!     st.global.f32 [%rd3], %f2;
//! DONE:
//!     ret;
//! }"#;
//! let program = Program::decode(&Module::parse(text)?)?;
//! let kernel = program.kernel("double_all")?;
//!
//! let memory = GlobalMemory::new();
//! let values = memory.allocate(400, "values")?;
//! memory.write(values, &1.5f32.to_le_bytes().repeat(100))?;
//!
//! // The parameter block: each parameter at its offset.
//! let parameters = |count: u32| {
//!     let mut block = vec![0; kernel.parameter_bytes()];
//!     block[..8].copy_from_slice(&values.to_le_bytes());
//!     block[8..12].copy_from_slice(&count.to_le_bytes());
//!     block
//! };
//! let launch = Launch { grid: [4, 1, 1], block: [32, 1, 1], parameters: parameters(100), ..Launch::default() };
//! let options = Options { checks: Checks::all(), counters: true, ..Options::default() };
//! let counters = kernel.launch(&memory, &launch, &options)?;
//! assert_eq!(counters.global_loads.bytes, 400);
//!
//! let mut first = [0; 4];
//! memory.read(values, &mut first)?;
//! assert_eq!(f32::from_le_bytes(first), 3.0);
//!
//! // One element too many.
//! let launch = Launch { parameters: parameters(101), ..launch };
//! let fault = kernel.launch(&memory, &launch, &options).unwrap_err();
//! assert_eq!((fault.kind, fault.thread), (FaultKind::OutOfBounds, Some([4, 0, 0])));
//! assert!(fault.to_string().contains("at byte 400 of values (400 bytes)"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
pub use fault::{Fault, FaultKind, Report};
pub use launch::{Launch, Options, View};
pub use memory::global::{GlobalMemory, MemoryError};
pub use parse::ParseError;
