//! Reads the checkpoints that `torch.save` writes, and executes nothing in them.
//!
//! A checkpoint is a pickle of an object, in which tensors are named views of storages, and the storages themselves. Since
//! PyTorch 1.6 it is a zip archive; before, three small pickles, the object's, the storages' keys and their content follow one
//! another (torch/serialization.py). What is wanted of it is a state dict: names and tensors.

mod archive;
mod state_dict;

use std::path::Path;

use safetensors::Dtype;

use crate::error::Result;

/// A tensor of a state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name, such as `layer1.0.conv1.weight`.
    pub name: String,
    /// Its type.
    pub dtype: Dtype,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its elements without gaps, the last axis innermost, least byte first.
    pub bytes: Vec<u8>,
}

/// Whether a file that begins with these bytes can be a checkpoint of PyTorch: a zip archive, or the number by which the
/// older kind begins.
pub fn is_checkpoint(start: &[u8]) -> bool {
    start.starts_with(b"PK\x03\x04") || start.starts_with(&archive::OLDER)
}

/// The tensors of the state dict in the checkpoint at `path`, in its order. Where it holds several, or a whole training's state,
/// `key` says which is meant (`model`, `state_dict`, or `ema.model` for one within another); without it the only one is taken,
/// or that under one of the usual names.
///
/// # Errors
/// If the file cannot be read, is damaged (with the byte), or holds no state dict (what it holds is listed).
pub fn read(path: &Path, key: Option<&str>) -> Result<Vec<Tensor>> {
    let mut archive = archive::Archive::open(path)?;
    let views = state_dict::find(&archive, key)?;
    let sizes = state_dict::sizes(&archive.object);
    views.into_iter().map(|view| state_dict::tensor(&mut archive, view, &sizes)).collect()
}

#[cfg(test)]
mod tests;
