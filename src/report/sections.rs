//! The sections of the page, one function each; a section without data is left out.

use std::fmt::Write as _;

use super::chart::{COLOURS, MEDIUM, SMALL, Series, Unit, legend, line_chart};
use super::dots::{Row, dot_plot};
use super::gain::{Gain, Verdict};
use super::heat::{Column, heat};
use super::html::{escape, percent, thousands};
use super::run::Run;
use crate::train::records::{ClassroomLine, MetricsLine, Phase, Spread, Summary, SummaryModel};

/// Which colour stands for which mentor and which method, the same in every figure of the page.
pub(super) struct Colours {
    mentors: Vec<String>,
    methods: Vec<String>,
}

/// The student alone is what methods are compared with: grey.
const GREY: usize = COLOURS - 1;

impl Colours {
    pub(super) fn of(runs: &[Run]) -> Self {
        let mut colours = Self { mentors: Vec::new(), methods: Vec::new() };
        let mut add = |role: &str, method: Option<&str>| {
            let (names, name) = match method {
                Some(method) if role == "student" => (&mut colours.methods, method),
                _ => (&mut colours.mentors, role),
            };
            if !names.iter().any(|known| known == name) && name != Summary::ALONE {
                names.push(name.to_string());
            }
        };
        for run in runs {
            run.metrics.iter().for_each(|line| add(&line.role, line.method.as_deref()));
            run.classroom.iter().for_each(|line| add(&line.mentor, None));
            run.summary.iter().flat_map(|summary| &summary.models).for_each(|m| add(&m.role, Some(&m.trained_by)));
        }
        colours
    }

    fn mentor(&self, role: &str) -> usize {
        self.mentors.iter().position(|known| known == role).map_or(GREY, |index| index % GREY)
    }

    /// Methods begin where the mentors of a usual classroom end.
    fn method(&self, method: &str) -> usize {
        self.methods.iter().position(|known| known == method).map_or(GREY, |index| (index + 4) % GREY)
    }

    fn model(&self, model: &SummaryModel) -> usize {
        if model.role == "student" { self.method(&model.trained_by) } else { self.mentor(&model.role) }
    }
}

/// The run's name before `text`, where there are several runs.
fn among(runs: &[Run], run: &Run, text: &str) -> String {
    if runs.len() > 1 { format!("{} · {text}", run.label) } else { text.to_string() }
}

fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{body}</section>\n")
}

/// What came out, in a sentence per run.
pub(super) fn lead(runs: &[Run]) -> String {
    let mut html = String::new();
    for run in runs {
        let text = match &run.summary {
            None => "This run is not finished: there is no summary yet.".to_string(),
            Some(summary) => sentence(summary),
        };
        let _ = writeln!(html, "<p class=\"lead\">{}</p>", escape(&among(runs, run, &text)));
    }
    html
}

fn sentence(summary: &Summary) -> String {
    let students: Vec<&SummaryModel> = summary.models.iter().filter(|model| model.role == "student").collect();
    let Some(first) = students.first() else { return format!("Trained on {}.", summary.device) };
    let mut text = format!("The student {} ({} parameters) reaches ", first.model, thousands(first.params));
    for (index, student) in students.iter().enumerate() {
        let separator = match index {
            0 => "",
            _ if index + 1 == students.len() => " and ",
            _ => ", ",
        };
        let how =
            if student.trained_by == Summary::ALONE { "alone".into() } else { format!("by {}", student.trained_by) };
        let _ = write!(text, "{separator}{}% {how}", percent(student.top1.last.mean));
        if let Some(gain) = Gain::in_summary(student, summary) {
            let _ = write!(text, " ({} points, {})", gain.points(), gain.note());
        }
    }
    let seeds = summary.seeds.len();
    let _ = write!(text, ". Test accuracy after the last epoch, {seeds} seed{}.", if seeds == 1 { "" } else { "s" });
    text
}

/// The table and the same numbers as a figure.
pub(super) fn results(runs: &[Run], colours: &Colours) -> String {
    let finished: Vec<(&Run, &Summary)> = runs.iter().filter_map(|run| Some((run, run.summary.as_ref()?))).collect();
    let models =
        || finished.iter().flat_map(|(run, summary)| summary.models.iter().map(move |model| (*run, *summary, model)));
    if models().next().is_none() {
        return String::new();
    }
    let best = models().any(|(_, _, model)| model.top1.best_validation.is_some());
    let alone = models().find(|(_, _, model)| model.role == "student" && model.trained_by == Summary::ALONE);
    let rows: Vec<Row> = models()
        .map(|(run, _, model)| Row {
            label: among(runs, run, &row_label(model)),
            colour: colours.model(model),
            spread: &model.top1.last,
        })
        .collect();
    // With several runs there is no one student alone to draw.
    let reference = alone.filter(|_| runs.len() == 1).map(|(_, _, model)| model.top1.last.mean);
    let mut html = format!("<figure class=\"wide\">{}</figure>\n", dot_plot(&rows, reference));
    html.push_str("<div class=\"scroll\"><table class=\"results\">\n<thead><tr>");
    if runs.len() > 1 {
        html.push_str("<th>run</th>");
    }
    html.push_str("<th>role</th><th>model</th><th class=\"n\">parameters</th><th>trained by</th><th class=\"n\">top-1 %</th><th class=\"n\">seeds</th>");
    if best {
        html.push_str("<th class=\"n\">best on validation %</th>");
    }
    html.push_str("<th class=\"n\">gain</th><th></th></tr></thead>\n<tbody>\n");
    for (run, summary, model) in models() {
        html.push_str(if model.role == "student" { "<tr class=\"student\">" } else { "<tr>" });
        if runs.len() > 1 {
            let _ = write!(html, "<td>{}</td>", escape(&run.label));
        }
        let values: Vec<String> = model.top1.last.values.iter().map(|value| percent(*value)).collect();
        let _ = write!(
            html,
            "<td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n dim seeds\">{}</td>",
            escape(&model.role),
            escape(&model.model),
            thousands(model.params),
            escape(&model.trained_by),
            mean_and_std(&model.top1.last),
            values.join(" ")
        );
        if best {
            let text = model.top1.best_validation.as_ref().map_or(String::new(), mean_and_std);
            let _ = write!(html, "<td class=\"n\">{text}</td>");
        }
        match Gain::in_summary(model, summary) {
            Some(gain) => {
                let class = if gain.verdict == Verdict::Beyond { "n" } else { "n dim" };
                let _ =
                    write!(html, "<td class=\"{class}\">{}</td><td class=\"dim\">{}</td>", gain.points(), gain.note());
            }
            None => html.push_str("<td></td><td></td>"),
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html.push_str(
        "<p class=\"note\">Top-1 on the test split after the last epoch: mean ± standard deviation over the seeds, \
         where there are several. The gain is over the student alone; it counts as beyond the spread where every \
         seed lies beyond every seed of the student alone and the gain is larger than the standard deviation of the \
         difference of two single runs.</p>\n",
    );
    section("Test accuracy", &html)
}

fn row_label(model: &SummaryModel) -> String {
    let how = if model.trained_by == Summary::ALONE { "alone" } else { &model.trained_by };
    match model.role.as_str() {
        "student" => format!("student · {how}"),
        role => format!("{role} · {}", model.model),
    }
}

fn mean_and_std(spread: &Spread) -> String {
    match spread.known_std() {
        Some(std) => format!("{} ± {}", percent(spread.mean), percent(std)),
        None => percent(spread.mean),
    }
}

/// Accuracy and loss per epoch: the mentors' and the student's.
pub(super) fn curves(runs: &[Run], colours: &Colours) -> String {
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
                    let (label, colour) = match (&line.method, phase) {
                        (Some(method), Phase::Distil) if method == Summary::ALONE => ("alone".to_string(), GREY),
                        (Some(method), Phase::Distil) => (method.clone(), colours.method(method)),
                        _ => (format!("{} · {}", line.role, line.model), colours.mentor(&line.role)),
                    };
                    push(&mut all, among(runs, run, &label), (colour, index), line.seed, (line.epoch, value));
                }
            }
            all
        };
        let train = series(|line| Some(line.train_top1));
        if train.is_empty() {
            continue;
        }
        let charts: String = [
            line_chart("Validation accuracy", Unit::Percent, MEDIUM, &series(|line| line.validation_top1)),
            line_chart("Training accuracy", Unit::Percent, MEDIUM, &train),
            line_chart("Loss", Unit::Number, MEDIUM, &series(|line| Some(line.loss))),
        ]
        .into_iter()
        .flatten()
        .collect();
        let seeds = if train.iter().any(|series| series.lines.len() > 1) {
            "Thin lines are seeds, thick ones their mean. "
        } else {
            ""
        };
        let body =
            format!("{}<div class=\"charts\">\n{charts}</div>\n<p class=\"note\">{seeds}{note}</p>\n", legend(&train));
        html.push_str(&section(title, &body));
    }
    html
}

/// Adds a point to its series and seed, both made when they first appear.
fn push(all: &mut Vec<Series>, label: String, (colour, dash): (usize, usize), seed: u64, point: (u64, f64)) {
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

/// Who is asked, how much each mentor weighs and at which temperature, over time: a group of charts per run and method.
pub(super) fn classroom(runs: &[Run], colours: &Colours) -> String {
    let mut html = String::new();
    for run in runs {
        let mut methods: Vec<&str> = Vec::new();
        for line in &run.classroom {
            if !methods.contains(&line.method.as_str()) {
                methods.push(&line.method);
            }
        }
        for method in methods {
            let series = |value: fn(&ClassroomLine) -> Option<f64>| -> Vec<Series> {
                let mut all = Vec::new();
                for line in run.classroom.iter().filter(|line| line.method == method) {
                    let Some(value) = value(line) else { continue };
                    push(
                        &mut all,
                        line.mentor.clone(),
                        (colours.mentor(&line.mentor), 0),
                        line.seed,
                        (line.epoch, value),
                    );
                }
                all
            };
            let asked = series(|line| Some(line.active));
            let charts: String = [
                line_chart("Rank", Unit::Number, SMALL, &series(|line| line.rank)),
                line_chart("Weight", Unit::Number, SMALL, &series(|line| Some(line.weight))),
                line_chart("Temperature", Unit::Number, SMALL, &series(|line| line.temperature)),
                line_chart("Asked, of all steps", Unit::Share, SMALL, &asked),
            ]
            .into_iter()
            .flatten()
            .collect();
            let title = escape(&among(runs, run, method));
            let _ = write!(html, "<h3>{title}</h3>\n{}<div class=\"charts small\">\n{charts}</div>\n", legend(&asked));
        }
    }
    if html.is_empty() { html } else { section("The classroom over time", &html) }
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
