//! Data sets: from a user's files, as they are, to images in memory.
//!
//! Every reader takes a folder or an archive, streams through it once, and leaves nothing but the pixels. A file that
//! is truncated, damaged or mislabelled is an error that names file and byte; nothing is executed, skipped or guessed.

mod archive;
mod cifar;
mod dataset;
mod embedded;
mod folder;
mod idx;
mod normalisation;
mod order;
mod pickled;
mod source;
mod split;
#[cfg(test)]
mod tests;

pub use dataset::{Dataset, Split};
pub use embedded::EMBEDDED_LICENSE;
pub use normalisation::Normalisation;
pub use source::{open, open_named};
pub use split::split_validation;
