//! The printed plan is what is used.
