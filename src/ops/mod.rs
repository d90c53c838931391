//! Operations: everything about one op in one place, its meaning, its gradient and its kernels.

pub mod conv2d;
