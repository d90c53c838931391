//! `kd-engine import`: weights out of a checkpoint of PyTorch.

use std::path::PathBuf;

use clap::Args;

use super::output::{expect_place, print};
use crate::error::Result;
use crate::nn;
use crate::train::weights;

/// Convert a checkpoint that torch.save wrote to safetensors, without executing anything in it
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The checkpoint: a state dict, a dictionary with one, or a module that was saved whole
    #[arg(value_name = "FILE.pth")]
    pub file: PathBuf,
    /// A name of the zoo, or a TOML file that describes a model: what the weights are of
    #[arg(long)]
    pub model: String,
    /// Where to write the weights, under PyTorch's names
    #[arg(short, long, value_name = "OUT.safetensors")]
    pub out: PathBuf,
    /// Where in the checkpoint the state dict is, such as model or ema.state_dict; needed where there are several
    #[arg(long)]
    pub key: Option<String>,
    /// Height and width of the images, where the classifier's size depends on them
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub resolution: u32,
}

/// Runs the command.
///
/// # Errors
/// If the file cannot be read or is damaged, holds no state dict or one of another model, or cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { file, model, out, key, resolution } = arguments;
    expect_place(out, "the weights", "model.safetensors")?;
    let found = weights::checkpoint(file, key.as_deref())?;
    let shapes = found.iter().map(|one| (one.name.clone(), one.shape.clone())).collect();
    let network = nn::build_for(model, *resolution as usize, &shapes)?;
    let parameters = network.parameters();
    let expected: Vec<(&str, &[usize])> = parameters.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
    let tensors = weights::chosen(file, &found, &expected, None)?;
    let views: Vec<_> = expected.iter().map(|(name, shape)| (*name, *shape, tensors[*name].as_slice())).collect();
    weights::save(out, &views, None)?;
    let elements: usize = views.iter().map(|(.., elements)| elements.len()).sum();
    print(&format!(
        "{}: {model} with {} classes on images of {} channels, {} tensors, {elements} numbers\n",
        out.display(),
        network.classes,
        network.in_channels,
        views.len()
    ))
}
