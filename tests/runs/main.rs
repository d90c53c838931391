//! Whole runs through the real program: what a run leaves, coming back to it, the memory it takes, and bad input.

mod bad_input;
mod leaves;
mod memory;
mod resume;
mod school;
mod seeds;
mod sim;
