//! Networks as data: `models/*.toml` read into a [`Network`], which whoever records a step walks node by node.

mod family;
mod initial;
mod layer;
mod model;
mod network;
mod record;
pub mod zoo;

pub use initial::{Distribution, Initialisation, Rule};
pub use layer::{LayerKind, Map};
pub use model::{Model, ModelParameter, engine_shape, to_engine, to_pytorch};
pub use network::{Layer, Network, Parameter, Role};
pub use record::{Forward, Mode};

use crate::error::Result;

/// Builds the model that `name` means ([`zoo::find`]) for so many classes and images of `[height, width, in_channels]`.
///
/// # Errors
/// For an unknown name, a wrong file, or a size that the model's strides do not allow.
pub fn build(name: &str, classes: usize, in_channels: usize, height: usize, width: usize) -> Result<Network> {
    zoo::find(name)?.build(classes, in_channels, height, width)
}
