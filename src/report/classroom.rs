//! Who is asked, how much each mentor weighs and at which temperature: charts of what changes, a table of what does not.

use std::fmt::Write as _;

use super::chart::{SMALL, Series, Unit, legend, line_chart};
use super::curves::{marks, push};
use super::html::escape;
use super::palette::Palette;
use super::run::Run;
use super::sections::{among, section};
use crate::train::records::{ClassroomLine, STUDENT};

/// Something about a mentor in an epoch.
struct Quantity {
    title: &'static str,
    unit: Unit,
    value: fn(&ClassroomLine) -> Option<f64>,
}

const QUANTITIES: [Quantity; 4] = [
    Quantity { title: "Rank", unit: Unit::Number, value: |line| line.rank },
    Quantity { title: "Weight", unit: Unit::Number, value: |line| Some(line.weight) },
    Quantity { title: "Temperature", unit: Unit::Number, value: |line| line.temperature },
    Quantity { title: "Asked, of all steps", unit: Unit::Share, value: |line| Some(line.active) },
];

/// What stays the same for some mentors of a method.
struct Constant {
    method: String,
    mentors: Vec<String>,
    /// By quantity; none where there is no such thing, or where it has a chart.
    levels: [Option<String>; QUANTITIES.len()],
}

/// A group of charts per run and learner, then the table.
pub(super) fn classroom(runs: &[Run], palette: &Palette) -> String {
    let mut html = String::new();
    let mut constants: Vec<Constant> = Vec::new();
    for run in runs {
        let key = |line: &ClassroomLine| (line.phase, line.role.clone(), line.method.clone());
        let mut groups = Vec::new();
        // Runs of earlier versions have lines that do not say which mentor they taught.
        for line in run.classroom.iter().filter(|line| !line.method.is_empty()) {
            if !groups.contains(&key(line)) {
                groups.push(key(line));
            }
        }
        for group in groups {
            let lines: Vec<&ClassroomLine> = run.classroom.iter().filter(|line| key(line) == group).collect();
            let (phase, role, method) = &group;
            let title = match role.as_str() {
                STUDENT => among(runs, run, method),
                role => among(runs, run, &format!("{role}, taught by {method}")),
            };
            let marks = marks(runs, run, *phase, Some((role, method)));
            let (mut charts, mut shown) = (String::new(), Vec::new());
            let mut still: [Vec<Series>; QUANTITIES.len()] = Default::default();
            for (quantity, still) in QUANTITIES.iter().zip(&mut still) {
                let series = series(&lines, quantity, palette);
                match series.iter().all(Series::is_flat) {
                    true => *still = series,
                    false => {
                        charts +=
                            &line_chart(quantity.title, quantity.unit, SMALL, &series, &marks, "").unwrap_or_default();
                        shown = series;
                    }
                }
            }
            if !charts.is_empty() {
                let (heading, legend) = (escape(&title), legend(&shown));
                let _ = write!(html, "<h3>{heading}</h3>\n{legend}<div class=\"charts small\">\n{charts}</div>\n");
            }
            add_constants(&mut constants, &title, &still);
        }
    }
    html += &table(&constants);
    if html.is_empty() { html } else { section("The classroom over time", &html) }
}

fn series(lines: &[&ClassroomLine], quantity: &Quantity, palette: &Palette) -> Vec<Series> {
    let mut all = Vec::new();
    for line in lines {
        if let Some(value) = (quantity.value)(line) {
            push(&mut all, line.mentor.clone(), palette.mentor(&line.mentor), line.seed, (line.epoch, value));
        }
    }
    all
}

/// Adds a row for every mentor, or for several that are alike.
fn add_constants(constants: &mut Vec<Constant>, method: &str, still: &[Vec<Series>; QUANTITIES.len()]) {
    let mut mentors: Vec<&str> = Vec::new();
    for series in still.iter().flatten() {
        if !mentors.contains(&series.label.as_str()) {
            mentors.push(&series.label);
        }
    }
    let first = constants.len();
    for mentor in mentors {
        let level = |index: usize| {
            let series = still[index].iter().find(|series| series.label == mentor)?;
            Some(QUANTITIES[index].unit.short(series.level()))
        };
        let levels: [Option<String>; QUANTITIES.len()] = std::array::from_fn(level);
        match constants[first..].iter_mut().find(|known| known.levels == levels) {
            Some(known) => known.mentors.push(mentor.into()),
            None => constants.push(Constant { method: method.into(), mentors: vec![mentor.into()], levels }),
        }
    }
}

fn table(constants: &[Constant]) -> String {
    if constants.is_empty() {
        return String::new();
    }
    let used: Vec<usize> =
        (0..QUANTITIES.len()).filter(|index| constants.iter().any(|one| one.levels[*index].is_some())).collect();
    let mut html = String::from(
        "<h3>What stays the same</h3>\n<div class=\"scroll\"><table class=\"facts\">\n<thead><tr><th>method</th><th>mentors</th>",
    );
    used.iter().for_each(|index| {
        let _ = write!(html, "<th class=\"n\">{}</th>", QUANTITIES[*index].title.to_lowercase());
    });
    html.push_str("</tr></thead>\n<tbody>\n");
    for one in constants {
        let _ = write!(html, "<tr><td>{}</td><td>{}</td>", escape(&one.method), escape(&one.mentors.join(", ")));
        for index in &used {
            let _ = write!(html, "<td class=\"n\">{}</td>", one.levels[*index].as_deref().unwrap_or("–"));
        }
        html.push_str("</tr>\n");
    }
    html + "</tbody></table></div>\n"
}
