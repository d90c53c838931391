//! `kd-engine parity`: replays what another implementation computed.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::output::{plain_table, print, print_error, print_json};
use super::progress::thread_pool;
use crate::config::DeviceRequest;
use crate::error::{Error, Kind, Result};
use crate::parity::{Case, Comparison, Overrides, Report, check};
use crate::tensor::DType;

/// Replay parity cases: compare losses, gradients and training steps with what PyTorch computed
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Files in the kd-parity/1 format
    #[arg(required = true, value_name = "CASE")]
    pub cases: Vec<PathBuf>,
    /// Where to compute: auto, cpu, cuda, cuda:N or sim
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// Replay in this type alone; otherwise in every type the case is judged in
    #[arg(long)]
    pub dtype: Option<Dtype>,
    /// Relative tolerance instead of the format's
    #[arg(long, value_parser = tolerance)]
    pub rtol: Option<f64>,
    /// Absolute tolerance instead of the format's
    #[arg(long, value_parser = tolerance)]
    pub atol: Option<f64>,
    /// How many threads compute; otherwise one for each core
    #[arg(long, value_parser = super::progress::threads)]
    pub threads: Option<NonZeroUsize>,
    /// Show every tensor by itself
    #[arg(long, short)]
    pub verbose: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// What a case is replayed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// 32-bit floating point
    F32,
    /// 64-bit floating point
    F64,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected a number of 0 or more".into()),
    }
}

/// Replays all cases; one that cannot be replayed does not keep the others from it.
///
/// # Errors
/// If a case cannot be replayed (the request was wrong), or did not pass.
pub fn run(arguments: &Arguments) -> Result<()> {
    let processor = arguments.device.open()?;
    let dtype = arguments.dtype.map(|dtype| match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
    });
    let overrides = Overrides { dtype, rtol: arguments.rtol, atol: arguments.atol };
    let pool = thread_pool(arguments.threads)?;
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    let (mut unjudged, mut failed) = (0, 0);
    for file in &arguments.cases {
        let outcome = pool.install(|| {
            let case = Case::read(file)?;
            let report = check(&case, &overrides, &processor)?;
            Ok((case, report))
        });
        if arguments.json {
            documents.push(document(file, &outcome));
        }
        match outcome {
            Ok((case, report)) => {
                unjudged += usize::from(!report.judged());
                failed += usize::from(report.judged() && !report.passed());
                if !arguments.json {
                    print(&text(&case, &report, arguments.verbose))?;
                }
            }
            Err(error) => errors.push(error),
        }
    }
    if arguments.json {
        print_json(&json!({ "cases": documents }))?;
    }
    verdict(arguments.cases.len(), errors, failed, unjudged)
}

/// Says what kept the cases from passing.
fn verdict(cases: usize, mut errors: Vec<Error>, failed: usize, unjudged: usize) -> Result<()> {
    if errors.len() == 1 && failed + unjudged == 0 {
        return Err(errors.remove(0));
    }
    errors.iter().for_each(print_error);
    let counts = [(errors.len(), "could not be replayed"), (failed, "did not pass"), (unjudged, "not judged here")];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if counts.is_empty() {
        return Ok(());
    }
    let message = format!("of {cases} parity case{}: {}", if cases == 1 { "" } else { "s" }, counts.join(", "));
    let wrong_request = errors.iter().any(|error| error.kind() == Kind::Request);
    Err(if wrong_request { Error::request(message) } else { Error::failed(message) })
}

fn document(file: &Path, outcome: &Result<(Case, Report)>) -> Value {
    let tensors = |all: &[Comparison]| -> Vec<Value> {
        let one = |one: &Comparison| {
            json!({
                "name": one.name,
                "dtype": one.dtype.to_string(),
                "max_abs": one.max_abs,
                "max_rel": one.max_rel,
                "tolerance": one.tolerance,
                "passed": one.passed,
            })
        };
        all.iter().map(one).collect()
    };
    match outcome {
        Ok((_, report)) => json!({
            "file": file.display().to_string(),
            "kind": report.kind.name(),
            "judged": report.judged(),
            "passed": report.passed(),
            "tensors": tensors(&report.tensors),
            "information": tensors(&report.information),
        }),
        Err(error) => json!({
            "file": file.display().to_string(),
            "kind": null,
            "judged": false,
            "passed": false,
            "tensors": [],
            "error": error.to_string(),
        }),
    }
}

fn text(case: &Case, report: &Report, verbose: bool) -> String {
    let verdict = match (report.judged(), report.passed()) {
        (false, _) => "not judged here",
        (true, true) => "passed",
        (true, false) => "FAILED",
    };
    let mut text = format!("{}: {} {}: {verdict}\n", case.file.display(), case.kind, case.subject());
    let heading = ["  tensor", "type", "max abs", "max rel", "tolerance", ""];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(rows_of(&report.tensors, verbose, |one| if one.passed { "passed" } else { "FAILED" }));
    rows.extend(rows_of(&report.information, verbose, |_| "for information"));
    text.push_str(&plain_table(rows));
    text.push('\n');
    text
}

/// One row per tensor; tensors that stand for parameters share a row while they pass, which shows the worst of them.
fn rows_of(all: &[Comparison], verbose: bool, verdict: impl Fn(&Comparison) -> &'static str) -> Vec<Vec<String>> {
    let mut groups: Vec<(String, Vec<&Comparison>)> = Vec::new();
    for one in all {
        let group = group(&one.name).filter(|_| one.passed && !verbose);
        let name = group.map_or(one.name.clone(), |group| format!("{group}*"));
        match groups.iter_mut().find(|(known, members)| *known == name && members[0].dtype == one.dtype) {
            Some((_, members)) => members.push(one),
            None => groups.push((name, vec![one])),
        }
    }
    let row = |(name, members): (String, Vec<&Comparison>)| {
        let share = |one: &Comparison| one.max_abs / one.tolerance;
        let worst = members.iter().copied().max_by(|a, b| share(a).total_cmp(&share(b))).expect("no group is empty");
        let count = if members.len() > 1 { format!(" (worst of {})", members.len()) } else { String::new() };
        let number = |number: f64| format!("{number:.1e}");
        let numbers = match worst.compared {
            true => [number(worst.max_abs), number(worst.max_rel), number(worst.tolerance)],
            false => ["not compared".into(), String::new(), number(worst.tolerance)],
        };
        let mut row = vec![format!("  {name}{count}"), worst.dtype.to_string()];
        row.extend(numbers);
        row.push(verdict(worst).into());
        row
    };
    groups.into_iter().map(row).collect()
}

/// What comes before a parameter's name.
fn group(name: &str) -> Option<&str> {
    const GROUPS: [&str; 4] =
        ["expect/train/grad/", "expect/train/grad_norm/", "expect/train/buffer/", "expect/final/param/"];
    GROUPS.into_iter().find(|group| name.starts_with(group))
}
