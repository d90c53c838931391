//! Networks as data: `models/*.toml` read into a [`Network`], which whoever records a step walks node by node.

mod family;
mod initial;
mod joined;
mod layer;
mod model;
mod network;
mod record;
mod sized;
pub mod zoo;

pub use initial::{Distribution, Initialisation, Rule};
pub use joined::{FACTOR, PROJECTED};
pub use layer::{LayerKind, Map};
pub use model::{Model, ModelParameter, engine_shape, to_engine, to_pytorch};
pub use network::{Layer, Network, Parameter, Role};
pub use record::{Forward, Mode};
pub use sized::build_for;

use std::path::Path;

use crate::error::Result;

/// Builds the model that `name` means ([`zoo::find`]) for so many classes and images of `[height, width, in_channels]`.
///
/// # Errors
/// For an unknown name, a wrong file, or a size that the model's strides do not allow.
pub fn build(name: &str, classes: usize, in_channels: usize, height: usize, width: usize) -> Result<Network> {
    build_from(Path::new(""), name, [classes, in_channels, height, width])
}

/// As [`build`], for `[classes, in_channels, height, width]`, with files relative to `folder`. A name may also join two
/// models: [`Network::joined_with`].
///
/// # Errors
/// As [`build`].
pub fn build_from(folder: &Path, name: &str, size: [usize; 4]) -> Result<Network> {
    if let Some((student, teacher, factor)) = joined::parts(name) {
        return build_from(folder, student, size)?.joined_with(&build_from(folder, teacher, size)?, factor);
    }
    let [classes, in_channels, height, width] = size;
    zoo::find_from(folder, name)?.build(classes, in_channels, height, width)
}
