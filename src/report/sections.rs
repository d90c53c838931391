//! The sections of the page that are tables: what came out, per class, what methods learned, what was run. A section
//! without data is left out.

use std::fmt::Write as _;

use super::dots::{Row, dot_plot};
use super::gain::{Gain, Verdict};
use super::heat::{Column, heat};
use super::html::{escape, percent};
use super::palette::Palette;
use super::run::Run;
use crate::train::records::{Spread, Summary, SummaryModel};
use crate::words::thousands;

/// The run's name before `text`, where there are several runs.
pub(super) fn among(runs: &[Run], run: &Run, text: &str) -> String {
    if runs.len() > 1 { format!("{} · {text}", run.label) } else { text.to_string() }
}

pub(super) fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{body}</section>\n")
}

/// How the student learns in a few words: the method's label, or that it is alone.
pub(super) fn by(label: &str, alone: bool) -> String {
    match (alone, label) {
        (true, Summary::ALONE) => "alone".into(),
        (true, label) => format!("alone ({label})"),
        (false, label) => label.into(),
    }
}

/// The table and the same numbers as a figure.
pub(super) fn results(runs: &[Run], palette: &Palette) -> String {
    let finished: Vec<(&Run, &Summary)> = runs.iter().filter_map(|run| Some((run, run.summary.as_ref()?))).collect();
    let models =
        || finished.iter().flat_map(|(run, summary)| summary.models.iter().map(move |model| (*run, *summary, model)));
    if models().next().is_none() {
        return String::new();
    }
    let rows: Vec<Row> = models()
        .map(|(run, _, model)| Row {
            label: among(runs, run, &row_label(model)),
            colour: palette.named(model),
            spread: &model.top1.last,
        })
        .collect();
    // With several runs there is no one student alone to draw.
    let alone = finished.first().filter(|_| runs.len() == 1).and_then(|(_, summary)| summary.alone());
    let mut html = format!("<figure>{}</figure>\n", dot_plot(&rows, alone.map(|alone| alone.top1.last.mean)));
    // Columns of which every cell would be empty are left out.
    let best = models().any(|(_, _, model)| model.top1.best_validation.is_some());
    let seeds = models().any(|(_, _, model)| model.top1.last.values.len() > 1);
    let gains: Vec<Gain> = models().filter_map(|(_, summary, model)| Gain::in_summary(model, summary)).collect();
    let verdicts = gains.iter().any(|gain| gain.verdict != Verdict::Unknown);
    let columns = [
        ("<th>run</th>", runs.len() > 1),
        (
            "<th>role</th><th>model</th><th class=\"n\">parameters</th><th>trained by</th><th class=\"n\">top-1 %</th>",
            true,
        ),
        ("<th class=\"n\">seeds</th>", seeds),
        ("<th class=\"n\">best on validation %</th>", best),
        ("<th class=\"n\">gain</th>", !gains.is_empty()),
        ("<th></th>", verdicts),
    ];
    html.push_str("<div class=\"scroll\"><table class=\"results\">\n<thead><tr>");
    columns.iter().filter(|(_, shown)| *shown).for_each(|(heading, _)| html.push_str(heading));
    html.push_str("</tr></thead>\n<tbody>\n");
    for (run, summary, model) in models() {
        html.push_str(if model.is_student() { "<tr class=\"student\">" } else { "<tr>" });
        if runs.len() > 1 {
            let _ = write!(html, "<td>{}</td>", escape(&run.label));
        }
        let _ = write!(
            html,
            "<td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td>",
            escape(&model.role),
            escape(&model.model),
            thousands(model.params),
            escape(&model.trained_by),
            mean_and_std(&model.top1.last),
        );
        if seeds {
            let values: Vec<String> = model.top1.last.values.iter().map(|value| percent(*value)).collect();
            let _ = write!(html, "<td class=\"n dim seeds\">{}</td>", values.join(" "));
        }
        if best {
            let text = model.top1.best_validation.as_ref().map_or("–".into(), mean_and_std);
            let _ = write!(html, "<td class=\"n\">{text}</td>");
        }
        let gain = Gain::in_summary(model, summary);
        if !gains.is_empty() {
            let class = if gain.as_ref().is_some_and(|gain| gain.verdict == Verdict::Within) { "n dim" } else { "n" };
            let _ = write!(html, "<td class=\"{class}\">{}</td>", gain.as_ref().map_or(String::new(), Gain::points));
        }
        if verdicts {
            let _ = write!(html, "<td class=\"dim\">{}</td>", gain.as_ref().map_or(String::new(), Gain::note));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n<p class=\"note\">Top-1 on the test split after the last epoch");
    html.push_str(if seeds { ": mean ± standard deviation over the seeds. " } else { ". " });
    if !gains.is_empty() {
        html.push_str("The gain is over the student alone");
        html.push_str(match verdicts {
            true => {
                "; it is beyond the spread where every seed lies beyond every seed of the student alone and the gain is \
                 larger than the standard deviation of the difference of two single runs."
            }
            false => ".",
        });
    }
    html.push_str("</p>\n");
    section("Test accuracy", &html)
}

fn row_label(model: &SummaryModel) -> String {
    match model.is_student() {
        true => format!("student · {}", by(&model.trained_by, model.is_alone())),
        false => format!("{} · {}", model.role, model.model),
    }
}

fn mean_and_std(spread: &Spread) -> String {
    match spread.known_std() {
        Some(std) => format!("{} ± {}", percent(spread.mean), percent(std)),
        None => percent(spread.mean),
    }
}

/// What methods have learned of their own: who, of which seed, what.
pub(super) fn learned(runs: &[Run]) -> String {
    let mut html = String::new();
    for run in runs {
        let Some(summary) = &run.summary else { continue };
        for model in &summary.models {
            for (index, learned) in model.learned.iter().enumerate() {
                let seed = model.seed_of(index, summary).map_or(String::new(), |seed| format!("seed {seed}"));
                for (line, what) in learned.iter().enumerate() {
                    let who = among(runs, run, &who_learned(model));
                    let (who, seed) = if line == 0 { (who.as_str(), seed.as_str()) } else { ("", "") };
                    let _ = writeln!(
                        html,
                        "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
                        escape(if index == 0 { who } else { "" }),
                        escape(seed),
                        escape(what)
                    );
                }
            }
        }
    }
    match html.is_empty() {
        true => html,
        false => section(
            "What methods learned of their own",
            &format!("<table class=\"facts\"><tbody>\n{html}</tbody></table>\n"),
        ),
    }
}

/// The method whose words they are, and whom it taught where that is not the student.
pub(super) fn who_learned(model: &SummaryModel) -> String {
    match model.is_student() {
        true => model.trained_by.clone(),
        false => format!("{} by {}", model.role, model.trained_by),
    }
}

/// Accuracy per class.
pub(super) fn per_class(runs: &[Run]) -> String {
    let mut columns = Vec::new();
    let mut classes: &[String] = &[];
    for run in runs {
        let Some(summary) = &run.summary else { continue };
        for model in summary.models.iter().filter(|model| !model.per_class.is_empty()) {
            columns.push(Column { label: among(runs, run, &row_label(model)), values: &model.per_class });
        }
        if summary.classes.len() > classes.len() {
            classes = &summary.classes;
        }
    }
    if columns.is_empty() {
        return String::new();
    }
    let note =
        "<p class=\"note\">Percent of each class's test images that are classified rightly, mean over the seeds.</p>\n";
    section("Accuracy per class", &(heat(&columns, classes) + note))
}

/// The resolved configs, folded away.
pub(super) fn configs(runs: &[Run]) -> String {
    let mut html = String::new();
    for run in runs {
        let title = escape(&among(runs, run, "resolved config"));
        let _ = write!(html, "<details><summary>{title}</summary>\n<pre>{}</pre>\n</details>\n", escape(&run.config));
    }
    section("What was run", &html)
}
