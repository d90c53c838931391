//! Accuracy per class and model: a table of numbers for few classes, a strip of cells per model for many.

use std::fmt::Write as _;

use super::html::{escape, percent};

/// One column (few classes) or strip (many): a model and its accuracy per class.
pub(super) struct Column<'a> {
    pub(super) label: String,
    /// None for a class without test images.
    pub(super) values: &'a [Option<f64>],
}

/// Up to so many classes the numbers are written out.
const WRITTEN: usize = 24;

/// The figure. Classes without a name are numbered.
pub(super) fn heat(columns: &[Column], classes: &[String]) -> String {
    let count = columns.iter().map(|column| column.values.len()).max().unwrap_or(0);
    let name = |class: usize| classes.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
    let values = || columns.iter().flat_map(|column| column.values.iter().flatten().copied());
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let share = |value: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
    if count <= WRITTEN { table(columns, count, &name, &share) } else { strips(columns, &name, &share) }
}

fn table(columns: &[Column], count: usize, name: &dyn Fn(usize) -> String, share: &dyn Fn(f64) -> f64) -> String {
    let mut html = String::from("<div class=\"scroll\"><table class=\"heat\">\n<thead><tr><th>class</th>");
    for column in columns {
        let _ = write!(html, "<th>{}</th>", escape(&column.label));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for class in 0..count {
        let _ = write!(html, "<tr><th>{}</th>", escape(&name(class)));
        for column in columns {
            match column.values.get(class) {
                Some(Some(value)) => {
                    let heat = 8.0 + 62.0 * share(*value);
                    let _ = write!(html, "<td style=\"--heat:{heat:.0}%\">{}</td>", percent(*value));
                }
                Some(None) => html.push_str("<td>–</td>"),
                None => html.push_str("<td></td>"),
            }
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

fn strips(columns: &[Column], name: &dyn Fn(usize) -> String, share: &dyn Fn(f64) -> f64) -> String {
    let mut html = String::new();
    for column in columns {
        let width = 900.0 / column.values.len().max(1) as f64;
        let label = escape(&column.label);
        let _ = writeln!(
            html,
            "<p class=\"strip\">{label}</p>\n<svg viewBox=\"0 0 900 26\" role=\"img\" aria-label=\"{label}\">"
        );
        for (class, value) in column.values.iter().enumerate() {
            let Some(value) = value else { continue };
            let (x, opacity) = (class as f64 * width, 0.08 + 0.92 * share(*value));
            let hover = escape(&format!("{}: {}%", name(class), percent(*value)));
            let _ = writeln!(
                html,
                "<rect class=\"cell\" x=\"{x:.2}\" y=\"0\" width=\"{:.2}\" height=\"26\" opacity=\"{opacity:.2}\"><title>{hover}</title></rect>",
                width * 0.94
            );
        }
        html.push_str("</svg>\n");
    }
    html
}
