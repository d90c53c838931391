//! Test accuracy at a glance: a row per model, a dot per seed, a bar for mean and spread.
//!
//! A table whose middle column is drawn: it takes whatever width the page has, and names and values keep their size.

use std::fmt::Write as _;

use super::html::{escape, percent};
use super::ticks::Axis;
use crate::train::records::Spread;

/// One row.
pub(super) struct Row<'a> {
    pub(super) label: String,
    pub(super) colour: usize,
    pub(super) spread: &'a Spread,
}

/// The figure; `reference` is the accuracy that a dashed line carries through all rows.
pub(super) fn dot_plot(rows: &[Row], reference: Option<f64>) -> String {
    let values = || rows.iter().flat_map(|row| row.spread.values.iter().map(|value| 100.0 * value));
    let axis = Axis::round(values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max), 6)
        .within(0.0, 100.0);
    // Percent of the column's width, with room for half a dot at both ends.
    let at = |fraction: f64| 2.0 + 96.0 * axis.at(100.0 * fraction).clamp(0.0, 1.0);
    let upright = |svg: &mut String, class: &str, x: f64, height: u32| {
        let _ = write!(svg, "<line class=\"{class}\" x1=\"{x:.1}%\" x2=\"{x:.1}%\" y1=\"0\" y2=\"{height}\"/>");
    };
    let mut html = String::from("<table class=\"dots\"><tbody>\n");
    for row in rows {
        let _ = write!(html, "<tr class=\"c{}\"><th>{}</th><td><svg>", row.colour, escape(&row.label));
        axis.ticks.iter().for_each(|tick| upright(&mut html, "axis", at(tick / 100.0), 30));
        reference.iter().for_each(|reference| upright(&mut html, "reference", at(*reference), 30));
        let mean = at(row.spread.mean);
        if let Some(std) = row.spread.known_std() {
            let (from, to) = (at(row.spread.mean - std), at(row.spread.mean + std));
            let width = to - from;
            let _ = write!(
                html,
                "<rect class=\"band\" x=\"{from:.1}%\" y=\"8\" width=\"{width:.1}%\" height=\"14\" rx=\"3\"/>"
            );
        }
        let _ = write!(html, "<line class=\"level\" x1=\"{mean:.1}%\" x2=\"{mean:.1}%\" y1=\"6\" y2=\"24\"/>");
        for value in &row.spread.values {
            let hover = escape(&format!("{}: {}%", row.label, percent(*value)));
            let x = at(*value);
            let _ =
                write!(html, "<circle class=\"seed\" cx=\"{x:.1}%\" cy=\"15\" r=\"4\"><title>{hover}</title></circle>");
        }
        let _ = writeln!(html, "</svg></td><td class=\"n\">{}</td></tr>", percent(row.spread.mean));
    }
    html.push_str("<tr><th></th><td><svg class=\"ticks\">");
    for tick in &axis.ticks {
        let x = at(tick / 100.0);
        let _ = write!(html, "<text class=\"middle\" x=\"{x:.1}%\" y=\"14\">{}</text>", axis.label(*tick));
    }
    html.push_str("</svg></td><td class=\"n dim\">%</td></tr>\n</tbody></table>\n");
    html
}
