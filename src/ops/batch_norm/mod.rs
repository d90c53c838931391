//! BatchNorm.

pub mod cpu;
pub mod cpu_gradient;

#[cfg(test)]
mod tests;
