//! Why a module cannot be run.

use std::fmt;

/// A module that cannot be run: what is in it that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The kernel; empty for variables of the module.
    pub kernel: String,
    /// The instruction as the PTX has it.
    pub instruction: String,
    /// Line in the PTX text, from 1; 0 if no instruction is at fault.
    pub ptx_line: u32,
    /// Source file and line, where known.
    pub source: Option<(String, u32)>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.kernel)?;
        if let Some((file, line)) = &self.source {
            write!(f, " at {file}:{line}")?;
        }
        if self.ptx_line > 0 {
            write!(f, " (PTX line {}: {})", self.ptx_line, self.instruction)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for DecodeError {}
