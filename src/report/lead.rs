//! What came out, in a few sentences per run.

use std::fmt::Write as _;

use super::gain::{Gain, UNKNOWN, Verdict};
use super::html::{escape, percent};
use super::run::Run;
use super::sections::{among, by};
use crate::train::records::{Summary, SummaryModel};
use crate::words::{counted, thousands};

/// Up to so many methods are named one by one.
const NAMED: usize = 3;

/// A paragraph per run.
pub(super) fn lead(runs: &[Run]) -> String {
    let mut html = String::new();
    for run in runs {
        let text = match &run.summary {
            None => "This run is not finished: there is no summary yet.".to_string(),
            Some(summary) => sentences(summary),
        };
        let _ = writeln!(html, "<p class=\"lead\">{}</p>", escape(&among(runs, run, &text)));
    }
    html
}

fn sentences(summary: &Summary) -> String {
    let students: Vec<&SummaryModel> = summary.models.iter().filter(|model| model.is_student()).collect();
    let Some(first) = students.first() else { return format!("Trained on {}.", summary.device) };
    let methods: Vec<&SummaryModel> = students.iter().copied().filter(|model| !model.is_alone()).collect();
    let mut text = format!("The student {} ({} parameters) reaches ", first.model, thousands(first.params));
    text += &match methods.len() {
        0..=NAMED => listed(&students, summary),
        _ => ranged(&methods, summary),
    };
    text += " Test accuracy after the last epoch, ";
    text += &match summary.seeds.len() {
        1 => format!("{UNKNOWN}."),
        seeds => format!("{}.", counted(seeds, "seed")),
    };
    text
}

/// `80.1% alone and 83.1% by kd (+3.0 points, beyond the spread of 3 seeds).`
fn listed(students: &[&SummaryModel], summary: &Summary) -> String {
    let mut text = String::new();
    for (index, student) in students.iter().enumerate() {
        let separator = match index {
            0 => "",
            _ if index + 1 == students.len() => " and ",
            _ => ", ",
        };
        let how = match student.is_alone() {
            true => by(&student.trained_by, true),
            false => format!("by {}", student.trained_by),
        };
        let _ = write!(text, "{separator}{}% {how}", percent(student.top1.last.mean));
        if let Some(gain) = Gain::in_summary(student, summary) {
            let note = if gain.verdict == Verdict::Unknown { String::new() } else { format!(", {}", gain.note()) };
            let _ = write!(text, " ({} points{note})", gain.points());
        }
    }
    text + "."
}

/// `80.1% alone, and by 11 methods from 78.0% (dml) to 83.1% (kd). Beyond the spread of 3 seeds 4 gain and 1 loses.`
fn ranged(methods: &[&SummaryModel], summary: &Summary) -> String {
    let mean = |model: &&&SummaryModel| model.top1.last.mean;
    let lowest = methods.iter().min_by(|a, b| mean(a).total_cmp(&mean(b))).expect("there are methods");
    let highest = methods.iter().max_by(|a, b| mean(a).total_cmp(&mean(b))).expect("there are methods");
    let mut text = String::new();
    if let Some(alone) = summary.alone() {
        let _ = write!(text, "{}% {}, and ", percent(alone.top1.last.mean), by(&alone.trained_by, true));
    }
    let shown = |model: &SummaryModel| format!("{}% ({})", percent(model.top1.last.mean), model.trained_by);
    let _ = write!(text, "by {} from {} to {}.", counted(methods.len(), "method"), shown(lowest), shown(highest));
    let gains: Vec<Gain> = methods.iter().filter_map(|model| Gain::in_summary(model, summary)).collect();
    if gains.iter().any(|gain| gain.verdict != Verdict::Unknown) {
        let beyond =
            |sign: f64| gains.iter().filter(|gain| gain.verdict == Verdict::Beyond && gain.mean * sign > 0.0).count();
        let (gaining, losing) = (beyond(1.0), beyond(-1.0));
        let verb = |count: usize, verb: &str| format!("{count} {verb}{}", if count == 1 { "s" } else { "" });
        let seeds = counted(gains.iter().map(|gain| gain.seeds).max().unwrap_or(0), "seed");
        let lose = if losing > 0 { format!(" and {}", verb(losing, "lose")) } else { String::new() };
        let _ = write!(text, " Beyond the spread of {seeds}, {}{lose}.", verb(gaining, "gain"));
    }
    text
}
