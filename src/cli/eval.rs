//! `kd-engine eval`: how well a model with weights does on the test split.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::output::{plain_table, print, print_json};
use super::progress::thread_pool;
use super::trained::Trained;
use crate::config::{Config, DeviceRequest, Overrides};
use crate::data::Normalisation;
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::ops::evaluate::Counts;
use crate::train::evaluation::evaluate;
use crate::train::folder::{CONFIG, expect_run};
use crate::train::material::Material;
use crate::train::records::LOADED;
use crate::train::weights::{self, ModelCard, Training};
use crate::words::counted;

/// Measure top-1, top-5 and loss of a model with weights on the test split
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Which model, and whose weights.
    #[command(flatten)]
    pub trained: Trained,
    /// A data source's name (embedded, fashion-mnist) or the path of an archive or folder; otherwise, of a run's folder, what
    /// it was trained on
    #[arg(long, value_name = "SRC")]
    pub data: Option<String>,
    /// Images of one step
    #[arg(long, visible_alias = "batch", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub batch_size: u32,
    /// Where to compute: auto, cpu, cuda, cuda:N or sim
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// How many threads compute; otherwise one for each core. Results do not depend on it
    #[arg(long, value_parser = super::progress::threads)]
    pub threads: Option<NonZeroUsize>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// If there is no such model, data or file, the weights do not fit, or the loss is not finite.
pub fn run(arguments: &Arguments) -> Result<()> {
    let processor = arguments.device.open()?;
    let pool = thread_pool(arguments.threads)?;
    let measured = pool.install(|| measure(arguments, &processor))?;
    if arguments.json {
        return print_json(&measured.document());
    }
    print(&measured.text())
}

/// What was measured, on what.
struct Measured {
    model: String,
    data: String,
    file: PathBuf,
    card: Option<ModelCard>,
    normalisation: Normalisation,
    classes: usize,
    /// Fractions of the test split, and the mean cross-entropy.
    images: usize,
    top1: f64,
    top5: f64,
    loss: f64,
}

fn measure(arguments: &Arguments, processor: &Processor) -> Result<Measured> {
    let file = arguments.trained.file()?;
    let card = weights::card(&file)?;
    let model = arguments.trained.model(&file)?;
    let mut material = match &arguments.data {
        Some(data) => Material::open_named(data)?,
        None => of_run(&arguments.trained.weights)?,
    };
    let data = material.name.clone();
    if let Some(card) = &card {
        fit(card, &file, &mut material)?;
    }
    let network = material.network(&model)?;
    let parameters = network.parameters();
    let expected: Vec<(&str, &[usize])> = parameters.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
    let tensors = weights::load(&file, &expected)?.tensors;
    let models = vec![(model.clone(), network, tensors)];
    let counts = evaluate(processor, &material, models, arguments.batch_size as usize)?;
    let Counts { images, loss, top1, top5, .. } = &counts[0];
    let loss = loss / images;
    if !loss.is_finite() {
        return Err(Error::failed(format!("the loss of {model} on {data} is {loss}"))
            .help("the weights are finite, so a layer's sum overflows: they are not what this model was trained to"));
    }
    Ok(Measured {
        model,
        data: arguments.data.clone().unwrap_or(data),
        file,
        card,
        normalisation: material.normalisation,
        classes: material.classes.len(),
        images: *images as usize,
        top1: top1 / images,
        top5: top5 / images,
        loss,
    })
}

/// The data of the run whose folder `weights` is.
fn of_run(weights: &Path) -> Result<Material> {
    if !weights.is_dir() {
        return Err(Error::request("--data is missing: only the folder of a run says what it was trained on")
            .help("--data embedded, fashion-mnist, or the path of an archive or folder"));
    }
    expect_run(weights)?;
    let config = Config::load(Some(&weights.join(CONFIG).display().to_string()), &Overrides::default())?;
    Material::open(&config.data)
}

/// Checks that weights with `card` belong to data like `material`, and takes over how they want it normalised.
fn fit(card: &ModelCard, file: &Path, material: &mut Material) -> Result<()> {
    let (file, data) = (file.display(), &material.name);
    let classes = material.classes.len();
    if card.classes != classes {
        return Err(Error::request(format!(
            "the weights in {file} tell {} classes apart ({}), the data {data} has {classes}",
            card.classes, card.trained.data
        ))
        .help("give data with the classes that the weights were trained on"));
    }
    let channels = material.shape[2];
    if card.mean.len() != channels || card.std.len() != channels {
        return Err(Error::request(format!(
            "the weights in {file} take images of {} channels, those of {data} have {channels}",
            card.mean.len()
        )));
    }
    let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
    material.normalisation = Normalisation { mean: narrow(&card.mean), std: narrow(&card.std) };
    Ok(())
}

impl Measured {
    fn document(&self) -> Value {
        json!({
            "model": self.model,
            "weights": self.file.display().to_string(),
            "data": self.data,
            "images": self.images,
            "top1": self.top1,
            "top5": self.top5,
            "loss": self.loss,
            "normalisation": {
                "from": if self.card.is_some() { "weights" } else { "data" },
                "mean": self.normalisation.mean,
                "std": self.normalisation.std,
            },
        })
    }

    fn text(&self) -> String {
        let numbers = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(", ");
        let (mean, std) = (numbers(&self.normalisation.mean), numbers(&self.normalisation.std));
        let weights = match &self.card {
            Some(ModelCard { model, trained, .. }) if trained.method != LOADED => {
                let Training { method, data, seed, .. } = trained;
                format!("{} ({model}, {method} on {data}, seed {seed})", self.file.display())
            }
            Some(ModelCard { model, .. }) => {
                format!("{} ({model}; nothing says how it was trained)", self.file.display())
            }
            None => self.file.display().to_string(),
        };
        let whose = if self.card.is_some() { "as the weights were trained" } else { "of the data" };
        let percent = |share: f64| format!("{:.2}%", 100.0 * share);
        let row = |name: &str, value: String| vec![name.to_string(), value];
        // Of five classes or fewer every label is among the first five.
        let top5 = (self.classes > 5).then(|| row("top-5", percent(self.top5)));
        let rows = [
            row("model", self.model.clone()),
            row("weights", weights),
            row(
                "data",
                format!("{}: {}, {}", self.data, counted(self.images, "test image"), counted(self.classes, "class")),
            ),
            row("normalised", format!("{whose}: mean {mean}; std {std}")),
            row("top-1", percent(self.top1)),
        ];
        plain_table(rows.into_iter().chain(top5).chain([row("loss", format!("{:.4}", self.loss))]))
    }
}
