//! Nets of the size that weights are for.

use std::collections::BTreeMap;

use super::{LayerKind, Network, build};
use crate::error::Result;

/// The net with as many classes as the last layer with weights has outputs in `shapes`, in PyTorch's order by name, and as many
/// channels as the first convolution reads, on images of `side` by `side` pixels. What `shapes` do not hold stays as it is
/// guessed here, and is missed when the weights are loaded.
///
/// # Errors
/// As [`build`].
pub fn build_for(model: &str, side: usize, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Network> {
    let (mut classes, mut channels) = (10, 3);
    let network = build(model, classes, channels, side, side)?;
    let weight = |node: usize| shapes.get(&format!("{}.weight", network.nodes[node].name));
    let needed = network.needed(&[network.logits]);
    for node in (1..network.nodes.len()).filter(|node| needed[*node]) {
        let layer = &network.nodes[node];
        match (&layer.kind, weight(node).map(Vec::as_slice)) {
            (LayerKind::Conv2d { groups, .. }, Some([out, own, _, _])) => {
                classes = *out;
                if layer.inputs == [0] {
                    channels = own.saturating_mul(*groups);
                }
            }
            (LayerKind::Linear { .. }, Some([out, _])) => classes = *out,
            _ => {}
        }
    }
    // Files that were not meant for this are refused with the names and shapes that differ.
    build(model, classes.max(1), channels.max(1), side, side)
}
