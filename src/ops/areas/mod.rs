//! Distinctive areas of a map (SoKD: Shen, Huang, Zhu, Fan, Zhang, arXiv 2409.18785, "distinctive area detection"; the
//! decoding is that of CenterNet: Zhou, Wang, Krähenbühl, "Objects as points", 2019, section 4.1): boxes around the peaks of
//! a heatmap, and the mask that they make. No gradient flows through either.

pub(super) mod cases;
mod cuda;
mod mask;
mod peaks;
pub(super) mod workloads;

pub use mask::Overlap;

#[cfg(test)]
mod tests;
