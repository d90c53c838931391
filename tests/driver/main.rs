//! The driver device against a stand-in for the driver (`libcuda.c`, compiled here): every call it makes is checked by
//! the manual's rules, and every fault a GPU can have is met, on a machine that has none. It says nothing of what a real
//! driver does beyond the manual; `doctor --device cuda` does, on a machine with a GPU.
#![cfg(target_os = "linux")]

mod faults;
mod stand_in;
mod work;
