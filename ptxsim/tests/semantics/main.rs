//! Instructions against what the PTX ISA manual says of them, above all where it says more than the obvious: shifts by
//! too much, fields that leave their value, comparisons with NaN, conversions out of range, lanes that read elsewhere.
//!
//! Each case is one lane of a warp that runs the instruction; the expected values are worked out by hand from the
//! manual's pseudo code, or by the functions here that follow it.

mod lane;
mod numbers;
mod warps;
