//! One decoded instruction, ready to run: a handler and the places of its operands.

use super::Context;

/// Runs one instruction for the lanes of `mask`; false when it faulted (the fault then stands in the context).
///
/// # Safety
/// The context's pointers must be those of a running warp of the kernel that the code was decoded for.
pub(crate) type Handler = unsafe fn(&mut Context, &Code, u32) -> bool;

/// No guard.
pub(crate) const NONE: u16 = u16::MAX;

/// What the warp's loop does with an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Calls the handler.
    Plain,
    /// Calls the handler after looking at the guard or at registers that may not be written yet.
    Guarded,
    /// `bra` to the instruction index in `immediate`.
    Branch,
    /// `ret`, `exit`.
    Exit,
    /// A block barrier: see [`super::barrier`].
    Barrier,
    /// `trap`.
    Trap,
}

/// A decoded instruction. One cache line.
#[repr(align(64))]
#[derive(Clone)]
pub(crate) struct Code {
    pub run: Handler,
    /// Address offset, or whatever the handler needs.
    pub immediate: i64,
    /// Operands: indices of register rows (of 32 lanes x 4 bytes), or of predicates. Destinations come first.
    pub r: [u16; 14],
    /// Predicate of the guard, or `NONE`.
    pub guard: u16,
    /// Whether the guard is negated.
    pub negated: bool,
    pub kind: Kind,
    /// Whether registers have to be looked at (read or noted as written): see `decode/flow.rs`.
    pub tracked: bool,
    /// A small choice of the handler.
    pub choice: u8,
    /// What an atomic orders: `ACQUIRE`, `RELEASE`, both or nothing.
    pub order: u8,
    /// Index of the instruction in the kernel.
    pub index: u32,
}
