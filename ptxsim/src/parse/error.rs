//! What is wrong with a PTX text, and where.

use std::fmt;

/// A text that is not PTX, or PTX that this crate does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line in the PTX text, from 1.
    pub line: u32,
    /// What is wrong there, and what was expected.
    pub message: String,
}

impl ParseError {
    pub(super) fn new(line: u32, message: impl Into<String>) -> ParseError {
        ParseError { line, message: message.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTX line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}
