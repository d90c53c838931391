//! Networks as data: `models/*.toml` read into a [`Network`], which whoever records a step walks node by node.

mod family;
mod initial;
mod joined;
mod layer;
mod model;
mod network;
mod record;
pub mod zoo;

pub use initial::{Distribution, Initialisation, Rule};
pub use joined::PROJECTED;
pub use layer::{LayerKind, Map};
pub use model::{Model, ModelParameter, engine_shape, to_engine, to_pytorch};
pub use network::{Layer, Network, Parameter, Role};
pub use record::{Forward, Mode};

use std::path::Path;

use crate::error::Result;

/// Builds the model that `name` means ([`zoo::find`]) for so many classes and images of `[height, width, in_channels]`.
///
/// # Errors
/// For an unknown name, a wrong file, or a size that the model's strides do not allow.
pub fn build(name: &str, classes: usize, in_channels: usize, height: usize, width: usize) -> Result<Network> {
    build_from(Path::new(""), name, [classes, in_channels, height, width])
}

/// As [`build`], with as many classes and channels as weights of these shapes are for, in PyTorch's order: the rows of the
/// classifier, and what the first convolution reads. Where the weights do not tell, 10 and 3.
///
/// # Errors
/// As [`build`].
pub fn build_for<'a>(name: &str, resolution: usize, shape: impl Fn(&str) -> Option<&'a [usize]>) -> Result<Network> {
    let trial = build(name, 10, 3, resolution, resolution)?;
    let parameters = trial.parameters();
    let of_layer = |layer: usize| parameters.iter().find(|one| one.layer == layer).and_then(|one| shape(&one.name));
    let classes = of_layer(trial.logits).and_then(|shape| shape.first()).map_or(10, |classes| *classes);
    let first = trial.nodes.iter().position(|layer| layer.inputs == [0]);
    let channels = match first.and_then(of_layer) {
        Some([_, channels, _, _]) => *channels,
        _ => 3,
    };
    build(name, classes, channels, resolution, resolution)
}

/// As [`build`], for `[classes, in_channels, height, width]`, with files relative to `folder`. A name may also join two
/// models: [`Network::joined_with`].
///
/// # Errors
/// As [`build`].
pub fn build_from(folder: &Path, name: &str, size: [usize; 4]) -> Result<Network> {
    if let Some((student, teacher)) = joined::parts(name) {
        return build_from(folder, student, size)?.joined_with(&build_from(folder, teacher, size)?);
    }
    let [classes, in_channels, height, width] = size;
    zoo::find_from(folder, name)?.build(classes, in_channels, height, width)
}
