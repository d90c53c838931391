//! Accuracy, loss and the loss's terms per epoch.

use super::chart::{GREY, MEDIUM, Mark, SMALL, Series, Unit, legend, line_chart};
use super::html::escape;
use super::palette::Palette;
use super::run::Run;
use super::sections::{among, by, section};
use crate::train::records::{MetricsLine, Phase, STUDENT};

/// More charts of a kind than these are folded away.
const OPEN: usize = 8;

/// Accuracy and loss: the student's, and the mentors'.
pub(super) fn curves(runs: &[Run], palette: &Palette) -> String {
    let mut html = String::new();
    for (phase, title, note) in [
        (
            Phase::Distil,
            "The student learns",
            "Losses of different methods have different terms: compare their shape, not their height.",
        ),
        (Phase::Pretrain, "The mentors learn", ""),
        (Phase::Assist, "Mentors are taught", ""),
    ] {
        let series = |value: fn(&MetricsLine) -> Option<f64>| -> Vec<Series> {
            let mut all = Vec::new();
            for (index, run) in runs.iter().enumerate() {
                for line in run.metrics.iter().filter(|line| line.phase == phase) {
                    let Some(value) = value(line) else { continue };
                    let (colour, dash) = match &line.method {
                        Some(method) if line.role == STUDENT => palette.method(method, line.is_alone()),
                        _ => palette.mentor(&line.role),
                    };
                    let label = among(runs, run, &learner(line));
                    push(&mut all, label, (colour, dash + index), line.seed, (line.epoch, value));
                }
            }
            all
        };
        let train = series(|line| Some(line.train_top1));
        if train.is_empty() {
            continue;
        }
        let marks: Vec<Mark> = runs.iter().flat_map(|run| marks(runs, run, phase, None)).collect();
        let chart = |title, unit, series: &[Series]| line_chart(title, unit, MEDIUM, series, &marks, "");
        let charts: String = [
            chart("Validation accuracy", Unit::Percent, &series(|line| line.validation_top1)),
            chart("Training accuracy", Unit::Percent, &train),
            chart("Loss", Unit::Number, &series(|line| Some(line.loss))),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut notes = Vec::new();
        if train.iter().any(|series| series.lines.len() > 1) {
            notes.push("Thin lines are seeds, thick ones their mean.".to_string());
        }
        notes.push(note.to_string());
        if !marks.is_empty() {
            let said: Vec<&str> = marks.iter().map(|mark| mark.text.as_str()).collect();
            notes.push(format!("Upright lines: {}.", said.join(", ")));
        }
        let notes = escape(notes.join(" ").trim());
        let body = format!("{}<div class=\"charts\">\n{charts}</div>\n<p class=\"note\">{notes}</p>\n", legend(&train));
        html.push_str(&section(title, &body));
    }
    html
}

/// Who learns, in the words of a legend.
fn learner(line: &MetricsLine) -> String {
    match (&line.method, line.role.as_str()) {
        (Some(method), STUDENT) => by(method, line.is_alone()),
        (Some(method), role) => format!("{role} · {} by {method}", line.model),
        (None, role) => format!("{role} · {}", line.model),
    }
}

/// The phases of a run's methods in one part of it: of all, or of the one that teaches a role.
pub(super) fn marks(runs: &[Run], run: &Run, phase: Phase, only: Option<(&str, &str)>) -> Vec<Mark> {
    let wanted = run.starts.iter().filter(|start| start.phase == phase);
    let wanted = wanted.filter(|start| only.is_none_or(|only| only == (start.role.as_str(), start.method.as_str())));
    let mark = |start: &super::phases::Start| {
        let who = match start.phase {
            Phase::Assist => format!("{} for {}", start.method, start.role),
            _ => start.method.clone(),
        };
        start.mark(&among(runs, run, &who))
    };
    wanted.map(mark).collect()
}

/// What the loss of each method consists of, where it is more than one thing.
pub(super) fn terms(runs: &[Run], palette: &Palette) -> String {
    let mut charts: Vec<String> = Vec::new();
    for run in runs {
        let mut learners: Vec<(Phase, &str, &str)> = Vec::new();
        for line in run.metrics.iter().filter(|line| line.losses.0.len() > 1) {
            let one = (line.phase, line.role.as_str(), line.method.as_deref().unwrap_or_default());
            if !learners.contains(&one) {
                learners.push(one);
            }
        }
        for (phase, role, method) in learners {
            let mut all: Vec<Series> = Vec::new();
            let lines = run.metrics.iter().filter(|line| {
                (line.phase, line.role.as_str(), line.method.as_deref().unwrap_or_default()) == (phase, role, method)
            });
            for line in lines {
                for (term, value) in &line.losses.0 {
                    let (colour, dash) = match term.as_str() {
                        "cross_entropy" => (GREY, 0),
                        term => palette.known_mentor(term).unwrap_or_else(|| {
                            let others = all.iter().filter(|series| {
                                series.label != "cross_entropy" && palette.known_mentor(&series.label).is_none()
                            });
                            palette.other(others.count())
                        }),
                    };
                    push(&mut all, term.clone(), (colour, dash), line.seed, (line.epoch, *value));
                }
            }
            let who = match (role, method) {
                (STUDENT, method) => method.to_string(),
                (role, "") => role.to_string(),
                (role, method) => format!("{role} by {method}"),
            };
            let marks = marks(runs, run, phase, Some((role, method)));
            all.iter_mut().for_each(Series::merge_seeds);
            charts.extend(line_chart(&among(runs, run, &who), Unit::Number, SMALL, &all, &marks, &legend(&all)));
        }
    }
    if charts.is_empty() {
        return String::new();
    }
    let (count, charts) = (charts.len(), charts.concat());
    let body = format!("<div class=\"charts small\">\n{charts}</div>\n");
    let note = "<p class=\"note\">The terms as they enter the sum, mean over the seeds.</p>\n";
    let body = match count {
        0..=OPEN => body,
        _ => format!("<details><summary>a chart for each of {count} losses</summary>\n{body}</details>\n"),
    };
    section("What the loss consists of", &(body + note))
}

/// Adds a point to its series and seed, both made when they first appear.
pub(super) fn push(all: &mut Vec<Series>, label: String, (colour, dash): (usize, usize), seed: u64, point: (u64, f64)) {
    let index = all.iter().position(|series| series.label == label).unwrap_or_else(|| {
        all.push(Series { label, colour, dash, lines: Vec::new() });
        all.len() - 1
    });
    let lines = &mut all[index].lines;
    let seed = seed.to_string();
    let line = lines.iter().position(|(name, _)| *name == seed).unwrap_or_else(|| {
        lines.push((seed, Vec::new()));
        lines.len() - 1
    });
    lines[line].1.push(point);
}
