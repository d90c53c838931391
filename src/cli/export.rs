//! `kd-engine export`: a trained model as ONNX.

use std::path::PathBuf;

use clap::Args;

use super::output::{expect_place, print};
use super::trained::Trained;
use crate::error::{Error, Result};
use crate::export::Source;

/// Write a trained model as ONNX: `images` [batch, C, H, W] in, `logits` [batch, classes] out
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Which model, and whose weights.
    #[command(flatten)]
    pub trained: Trained,
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
    /// Let the graph take pixels from 0 to 255 and normalise them itself, as the weights were trained
    #[arg(long)]
    pub normalise: bool,
    /// Height and width of the images; otherwise those the weights were trained on, or 32 where they do not say
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub resolution: Option<u32>,
}

/// Runs the command.
///
/// # Errors
/// If there is no such model or file, the weights do not fit, or the file cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (file, out) = (arguments.trained.file()?, &arguments.out);
    expect_place(out, "the model", "model.onnx")?;
    if let (Ok(weights), Ok(out)) = (file.canonicalize(), out.canonicalize())
        && weights == out
    {
        return Err(Error::request(format!("{} holds the weights: write to another file", file.display())));
    }
    let resolution = arguments.resolution.map(|side| side as usize);
    let source = Source::read(&arguments.trained.model(&file)?, &file, resolution)?;
    source.write(out, arguments.normalise)?;
    print(&format!("model: {}\n", out.display()))
}
