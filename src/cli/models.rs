//! `kd-engine models`: the zoo, at a given image size.

use clap::Args;
use serde_json::{Value, json};

use super::output::{print, print_json, wrapped_table};
use crate::error::Result;
use crate::nn::{Network, zoo};
use crate::words::thousands;

/// List the models: name, parameters, multiply-adds and feature maps at a resolution
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only these models; names of the zoo, or TOML files that describe models
    names: Vec<String>,
    /// Height and width of the images in pixels
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    resolution: u32,
    /// Classes to tell apart
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    classes: u32,
    /// Channels of the images: 1 for grey, 3 for colour
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    channels: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Lists the models.
///
/// # Errors
/// For an unknown model, and for one that was asked for by name and does not fit the images.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { resolution, classes, channels, .. } = *arguments;
    let build = |model: &zoo::Model| {
        let side = resolution as usize;
        model.build(classes as usize, channels as usize, side, side)
    };
    let mut networks = Vec::new();
    if arguments.names.is_empty() {
        for model in zoo::models() {
            networks.push((model.name().to_string(), build(&model)));
        }
    } else {
        for name in &arguments.names {
            let model = zoo::find(name)?;
            networks.push((model.name().to_string(), Ok(build(&model)?)));
        }
    }
    if arguments.json {
        let models: Vec<Value> = networks.iter().map(|(name, network)| document(name, network)).collect();
        let sizes = json!({ "resolution": resolution, "classes": classes, "channels": channels, "models": models });
        return print_json(&sizes);
    }
    let heading = ["model", "parameters", "MACs", "feature maps (channels x height x width)"];
    let rows = networks.iter().map(|(name, network)| row(name, network));
    print(&wrapped_table(std::iter::once(heading.map(String::from).to_vec()).chain(rows)))
}

/// Name and `[channels, height, width]` of each feature map.
fn features(network: &Network) -> impl Iterator<Item = (&str, [usize; 3])> {
    network.taps.iter().map(|(name, node)| {
        let [height, width, channels] = network.nodes[*node].shape;
        (name.as_str(), [channels, height, width])
    })
}

fn document(name: &str, network: &Result<Network>) -> Value {
    match network {
        Ok(network) => {
            let features: Vec<Value> =
                features(network).map(|(name, shape)| json!({ "name": name, "shape": shape })).collect();
            let (params, macs) = (network.parameter_count(), network.macs());
            json!({ "name": name, "params": params, "macs": macs, "features": features })
        }
        Err(error) => json!({ "name": name, "error": error.to_string() }),
    }
}

fn row(name: &str, network: &Result<Network>) -> Vec<String> {
    match network {
        Ok(network) => {
            let maps = features(network).map(|(name, shape)| match shape {
                [channels, 1, 1] => format!("{name} {channels}"),
                [channels, height, width] => format!("{name} {channels}x{height}x{width}"),
            });
            vec![
                name.to_string(),
                thousands(network.parameter_count() as u64),
                thousands(network.macs()),
                maps.collect::<Vec<_>>().join(", "),
            ]
        }
        Err(error) => vec![name.to_string(), "-".into(), "-".into(), error.to_string()],
    }
}
