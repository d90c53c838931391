//! What a run shows while it goes on: bars on a terminal, plain lines elsewhere, JSON lines on request.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::bytes;
use crate::error::{Error, Result};
use crate::train::event::{Event, Running};
use crate::train::records::{MetricsLine, Phase};
use crate::words::counted;

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Bars, or lines where stderr is no terminal.
    Progress,
    /// Nothing.
    Nothing,
    /// Every event as a JSON line on stdout.
    Json,
}

/// Shows a run's events.
#[derive(Debug)]
pub struct Progress {
    show: Show,
    terminal: bool,
    bar: ProgressBar,
    accuracies: BTreeMap<String, f64>,
    order: Vec<String>,
    stages: usize,
    /// Whether the stage trains several seeds side by side.
    several_seeds: bool,
}

impl Progress {
    /// Shows events as `show` says.
    pub fn new(show: Show) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::hidden();
        let (accuracies, order) = (BTreeMap::new(), Vec::new());
        Self { show, terminal, bar, accuracies, order, stages: 0, several_seeds: false }
    }

    /// Shows one event.
    pub fn on(&mut self, event: &Event) {
        match self.show {
            Show::Nothing => {}
            Show::Json => self.json(event),
            Show::Progress => self.progress(event),
        }
    }

    fn json(&self, event: &Event) {
        if matches!(event, Event::Step { .. } | Event::Running { .. }) {
            return;
        }
        if let Ok(line) = serde_json::to_string(event) {
            let _ = writeln!(std::io::stdout(), "{line}"); // A closed pipe does not stop a run.
        }
    }

    fn progress(&mut self, event: &Event) {
        match event {
            Event::Started { folder, data, planned_bytes, data_bytes, stages } => {
                self.stages = *stages;
                self.line(&format!("data     {data}"));
                self.line(&format!("memory   {} planned, {} of data", bytes(*planned_bytes), bytes(*data_bytes)));
                self.line(&format!("folder   {folder}"));
            }
            Event::Stage {
                number,
                phase,
                seeds: all,
                learners,
                epochs,
                steps_per_epoch,
                done,
                operations,
                lanes,
                ..
            } => {
                let what = match phase {
                    Phase::Pretrain => "pretraining",
                    Phase::Assist => "teaching",
                    Phase::Distil => "student by",
                };
                let stages = self.stages;
                let learners = learners.join(", ");
                let title = format!(
                    "[{number}/{stages}] {what} {learners}; {}, {}",
                    seeds(all),
                    counted(*epochs as usize, "epoch")
                );
                let lanes = lanes.map(|lanes| format!(", {lanes}")).unwrap_or_default();
                let steps = counted(*steps_per_epoch, "step");
                self.line(&format!("{title} of {steps}, {operations} operations each{lanes}"));
                self.several_seeds = all.len() > 1;
                self.accuracies.clear();
                self.order.clear();
                if self.terminal {
                    self.bar = ProgressBar::new(u64::from(*epochs) * *steps_per_epoch as u64);
                    self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
                    let template = "  {bar:30} {pos}/{len} {eta:>4}  {wide_msg}";
                    self.bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
                    self.bar.set_position(*done as u64);
                }
            }
            Event::Step { done } => self.bar.set_position(*done as u64),
            Event::Running { accuracies } => {
                let shown = accuracies.iter().map(|Running { role, method, seed, top1 }| {
                    format!("{} {:.1}%", self.name(role, method.as_deref(), *seed), 100.0 * top1)
                });
                self.bar.set_message(format!("training: {}", shown.collect::<Vec<_>>().join("  ")));
            }
            Event::Metrics(line) => self.metrics(line),
            Event::Tested { role, method, seed, top1 } => {
                self.bar.finish_and_clear();
                let name = self.name(role, method.as_deref(), *seed);
                self.line(&format!("  {name:<24} test accuracy {:.2}%", 100.0 * top1));
            }
            Event::Classroom(_) | Event::Checkpoint { .. } => {}
            Event::Finished { .. } => self.bar.finish_and_clear(),
        }
    }

    fn metrics(&mut self, line: &MetricsLine) {
        let name = self.name(&line.role, line.method.as_deref(), line.seed);
        let accuracy = line.validation_top1.unwrap_or(line.train_top1);
        if !self.order.contains(&name) {
            self.order.push(name.clone());
        }
        self.accuracies.insert(name.clone(), accuracy);
        let split = if line.validation_top1.is_some() { "validation" } else { "training" };
        if self.terminal {
            let shown = self.order.iter().map(|name| format!("{name} {:.1}%", 100.0 * self.accuracies[name]));
            self.bar.set_message(format!("{split}: {}", shown.collect::<Vec<_>>().join("  ")));
        } else {
            let (epoch, loss) = (line.epoch, line.loss);
            self.line(&format!(
                "  epoch {epoch:>3}  {name:<24} loss {loss:>8.4}  {split} accuracy {:.2}%",
                100.0 * accuracy
            ));
        }
    }

    /// A model's name in progress: its role, or the method by which the student learns; with the seed where several learn
    /// side by side.
    fn name(&self, role: &str, method: Option<&str>, seed: u64) -> String {
        let name = method.map_or_else(|| role.to_string(), |method| format!("{role} by {method}"));
        if self.several_seeds { format!("{name} ({seed})") } else { name }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

/// The seeds of a stage in words.
pub(super) fn seeds(seeds: &[u64]) -> String {
    let list: Vec<String> = seeds.iter().map(u64::to_string).collect();
    format!("seed{} {}", if seeds.len() > 1 { "s" } else { "" }, list.join(", "))
}

/// More threads than any machine has cores, and than one can start in a moment.
const MOST_THREADS: usize = 1024;

/// The value of `--threads`.
///
/// # Errors
/// If it is no number of threads.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= MOST_THREADS);
    number.ok_or_else(|| format!("expected a whole number from 1 to {MOST_THREADS}"))
}

/// Sets how many threads compute; results do not depend on it.
///
/// # Errors
/// If the system cannot start them.
pub fn thread_pool(threads: Option<NonZeroUsize>) -> Result<rayon::ThreadPool> {
    let threads = threads.map_or(0, usize::from); // 0: one for each core.
    let refused = |error| Error::failed(format!("cannot start the threads: {error}"));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(refused)
}
