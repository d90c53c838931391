//! What a kernel did wrong, and where.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The launch itself is wrong: parameters, block size, memory.
    Launch,
    /// An address outside of every allocation, view, variable or parameter.
    OutOfBounds,
    /// A write where only reading is allowed.
    ReadOnly,
    /// An address that is no multiple of the access's size.
    Misaligned,
    /// Memory read before it was written.
    Uninitialised,
    /// A register read before it was written.
    UninitialisedRegister,
    /// Two threads of a block touch the same shared bytes with no barrier between, one writing.
    SharedRace,
    /// Two blocks touch the same global bytes, one writing.
    GlobalRace,
    /// The destination of a `cp.async` touched before it was waited for.
    AsyncCopy,
    /// A `.sync` instruction that not all lanes it names have reached together.
    DivergentCollective,
    /// A barrier that not all threads of the warp or block reach.
    DivergentBarrier,
    /// `trap`.
    Trap,
    /// More instructions than the budget allows.
    Budget,
    /// An operand whose result the PTX manual leaves undefined.
    Undefined,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            FaultKind::Launch => "launch",
            FaultKind::OutOfBounds => "out of bounds",
            FaultKind::ReadOnly => "write to read-only memory",
            FaultKind::Misaligned => "misaligned",
            FaultKind::Uninitialised => "uninitialised memory",
            FaultKind::UninitialisedRegister => "uninitialised register",
            FaultKind::SharedRace => "race in shared memory",
            FaultKind::GlobalRace => "race in global memory",
            FaultKind::AsyncCopy => "asynchronous copy not waited for",
            FaultKind::DivergentCollective => "divergent collective",
            FaultKind::DivergentBarrier => "divergent barrier",
            FaultKind::Trap => "trap",
            FaultKind::Budget => "budget",
            FaultKind::Undefined => "undefined",
        })
    }
}

/// A fault: the launch stopped here. What there is to know stands in the [`Report`] behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault(Box<Report>);

/// What was wrong, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What kind.
    pub kind: FaultKind,
    /// What was wrong, in words.
    pub message: String,
    /// The kernel.
    pub kernel: String,
    /// The instruction's text in the PTX, and its line from 1; empty and 0 for faults of the launch.
    pub instruction: String,
    /// Line in the PTX text, from 1.
    pub ptx_line: u32,
    /// Source file and line, where `.loc` tells.
    pub source: Option<(String, u32)>,
    /// The block, `%ctaid`.
    pub block: Option<[u32; 3]>,
    /// The thread, `%tid`.
    pub thread: Option<[u32; 3]>,
    /// The address, in the state space that the message names.
    pub address: Option<u64>,
    /// Label of the view, allocation or variable that is next to the address or holds it.
    pub buffer: Option<String>,
}

impl Deref for Fault {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

impl DerefMut for Fault {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.0
    }
}

impl From<Report> for Fault {
    fn from(report: Report) -> Fault {
        Fault(Box::new(report))
    }
}

impl Fault {
    /// A fault of the launch.
    pub(crate) fn launch(kernel: &str, message: impl Into<String>) -> Fault {
        Fault::from(Report {
            kind: FaultKind::Launch,
            message: message.into(),
            kernel: kernel.into(),
            instruction: String::new(),
            ptx_line: 0,
            source: None,
            block: None,
            thread: None,
            address: None,
            buffer: None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.kernel)?;
        if let Some((file, line)) = &self.source {
            write!(f, " at {file}:{line}")?;
        }
        if self.ptx_line > 0 {
            write!(f, " (PTX line {}: {})", self.ptx_line, self.instruction)?;
        }
        write!(f, ": {}: {}", self.kind, self.message)?;
        if let Some([x, y, z]) = self.block {
            write!(f, "; block ({x}, {y}, {z})")?;
        }
        if let Some([x, y, z]) = self.thread {
            write!(f, ", thread ({x}, {y}, {z})")?;
        }
        if let Some(address) = self.address {
            write!(f, ", address {address:#x}")?;
        }
        if let Some(buffer) = &self.buffer {
            write!(f, ", {buffer}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
