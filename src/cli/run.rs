//! `kd-engine run`: runs an experiment.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::output::{bytes, print, print_json, width};
use super::progress::{Progress, Show, seeds, thread_pool};
use crate::config::{Config, DeviceRequest, Overrides};
use crate::error::Result;
use crate::gpu::Processor;
use crate::report::table;
use crate::train::forecast::{Forecast, StageForecast};
use crate::train::run::Run;
use crate::train::stop::Stop;
use crate::words::{counted, duration};

/// Run an experiment: train the mentors, then the student by each method
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A config file, else the name of a preset; without it, the default classroom on the embedded data
    #[arg(conflicts_with = "resume")]
    pub config: Option<String>,
    /// Change one setting; dotted keys (methods.0.tau=4), the value is TOML, else a text. Relative paths start at the
    /// current folder
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value, conflicts_with = "resume")]
    pub sets: Vec<(String, String)>,
    /// Where to compute: auto, cpu, cuda, cuda:N or sim
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// The seeds of the student
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', conflicts_with = "resume")]
    pub seeds: Option<Vec<u64>>,
    /// Train for so many epochs in every phase; ramps and milestones scale with them
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "resume")]
    pub epochs: Option<u32>,
    /// The run's folder, which must not exist yet; otherwise runs/NAME-NUMBER
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Continue the run in this folder from its newest checkpoint
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// How many threads compute; otherwise one for each core. Results do not depend on it
    #[arg(long, value_parser = super::progress::threads)]
    pub threads: Option<NonZeroUsize>,
    /// Print the resolved config, the plan, the memory and the estimated time; train nothing
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// Show no progress, only the result
    #[arg(long)]
    pub quiet: bool,
    /// Print events as JSON lines on stdout instead of progress bars
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// What the arguments change about the config.
    pub fn overrides(&self) -> Overrides {
        Overrides { sets: self.sets.clone(), epochs: self.epochs, seeds: self.seeds.clone() }
    }
}

/// Runs the command.
///
/// # Errors
/// If the request is wrong, the work fails, or it was stopped.
pub fn run(arguments: &Arguments) -> Result<()> {
    let processor = arguments.device.open()?;
    let pool = thread_pool(arguments.threads)?;
    // All work happens inside the pool: waiting for it from outside would allocate in every step.
    pool.install(|| train(arguments, &processor))
}

fn train(arguments: &Arguments, processor: &Processor) -> Result<()> {
    let show = match (arguments.json, arguments.quiet) {
        (true, _) => Show::Json,
        (false, true) => Show::Nothing,
        (false, false) => Show::Progress,
    };
    let stop = Stop::on_signals()?;
    let mut progress = Progress::new(show);
    let outcome = match &arguments.resume {
        Some(folder) => Run::resume(folder, processor, &stop, &mut |event| progress.on(event))?,
        None => {
            let config = Config::load(arguments.config.as_deref(), &arguments.overrides())?;
            config.advice().iter().for_each(|advice| tracing::warn!("{advice}"));
            let run = Run::prepare(config.clone(), processor)?;
            if arguments.dry_run {
                let forecast = run.forecast()?;
                return match arguments.json {
                    true => print_json(&document(&config, &forecast)),
                    false => print(&in_words(&config, &forecast)),
                };
            }
            run.start(arguments.out.as_deref(), &stop, &mut |event| progress.on(event))?
        }
    };
    if show == Show::Json {
        return Ok(());
    }
    let report = outcome.folder.join("report.html");
    print(&format!("{}\nreport: {}\n", table(&outcome.summary, width()), report.display()))
}

/// The plan as one JSON document: the resolved config as TOML, stages, bytes and seconds.
fn document(config: &Config, forecast: &Forecast) -> Value {
    let stage = |stage: &StageForecast| {
        json!({
            "phase": stage.phase,
            "seeds": stage.seeds,
            "learners": stage.learners,
            "epochs": stage.epochs,
            "steps_per_epoch": stage.steps_per_epoch,
            "operations": stage.memory.operations,
            "state_bytes": stage.memory.state,
            "arena_bytes": stage.memory.arena,
            "seconds": stage.time.as_secs_f64(),
        })
    };
    json!({
        "config": config.to_toml(),
        "data": forecast.data,
        "data_bytes": forecast.data_bytes,
        "planned_bytes": forecast.planned_bytes(),
        "stages": forecast.stages.iter().map(stage).collect::<Vec<_>>(),
        "seconds": forecast.stages.iter().map(|stage| stage.time.as_secs_f64()).sum::<f64>(),
    })
}

/// The plan in words, after the resolved config.
fn in_words(config: &Config, forecast: &Forecast) -> String {
    let mut text = format!("{}\n# the plan\n# data: {}\n", config.to_toml(), forecast.data);
    let mut total = 0.0;
    for stage in &forecast.stages {
        let seconds = stage.time.as_secs_f64();
        let lanes = stage.memory.lanes.map(|lanes| format!(", {lanes}")).unwrap_or_default();
        total += seconds;
        text += &format!(
            "# {} ({}): {}; {} of {}, {} operations each{lanes}; {} of state, {} of arena; about {}\n",
            stage.phase,
            seeds(&stage.seeds),
            stage.learners.join(", "),
            counted(stage.epochs as usize, "epoch"),
            counted(stage.steps_per_epoch, "step"),
            stage.memory.operations,
            bytes(stage.memory.state),
            bytes(stage.memory.arena),
            duration(seconds),
        );
    }
    let planned = bytes(forecast.planned_bytes());
    let (data, time) = (bytes(forecast.data_bytes), duration(total));
    text + &format!("# memory: {planned} planned, {data} of data\n# time: about {time}\n")
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.trim().to_string())),
        _ => Err("expected KEY=VALUE, for instance train.optimizer.lr=0.1".into()),
    }
}
