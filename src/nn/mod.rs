//! Networks as data: `models/*.toml` read into a [`Network`], which whoever records a step walks node by node.

mod initial;
mod layer;
mod network;

pub use initial::{Distribution, Initialisation, Rule};
pub use layer::{LayerKind, Map};
pub use network::{Layer, Network, Parameter, Role};
