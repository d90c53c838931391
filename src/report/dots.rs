//! Test accuracy at a glance: a row per model, a dot per seed, a bar for mean and spread.

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

const WIDTH: f64 = 900.0;
const ROW: f64 = 30.0;
const TOP: f64 = 8.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 70.0;

/// The figure; `reference` is the accuracy that a dashed line carries through all rows.
pub(super) fn dot_plot(rows: &[Row], reference: Option<f64>) -> String {
    let values = || rows.iter().flat_map(|row| row.spread.values.iter().map(|value| 100.0 * value));
    let axis = Axis::round(values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max), 6)
        .within(0.0, 100.0);
    let at = |fraction: f64| LEFT + axis.at(100.0 * fraction) * (WIDTH - LEFT - RIGHT);
    let bottom = TOP + ROW * rows.len() as f64;
    let height = bottom + 24.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Test accuracy\">\n");
    svg.push_str("<g class=\"axis\">\n");
    for tick in &axis.ticks {
        let x = at(tick / 100.0);
        let label = axis.label(*tick);
        let _ = write!(svg, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>");
        let _ = writeln!(svg, "<text class=\"middle\" x=\"{x:.1}\" y=\"{}\">{label}</text>", bottom + 17.0);
    }
    svg.push_str("</g>\n");
    if let Some(reference) = reference {
        let x = at(reference);
        let _ = writeln!(
            svg,
            "<line class=\"reference\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"><title>student alone</title></line>"
        );
    }
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        let mean = at(row.spread.mean);
        let _ = writeln!(
            svg,
            "<text class=\"end row\" x=\"{}\" y=\"{}\">{}</text>",
            LEFT - 16.0,
            y + 4.5,
            escape(&row.label)
        );
        let _ = writeln!(svg, "<g class=\"c{}\">", row.colour % super::chart::COLOURS);
        if let Some(std) = row.spread.known_std() {
            let (from, to) = (at(row.spread.mean - std).max(LEFT), at(row.spread.mean + std).min(WIDTH - RIGHT));
            let width = to - from;
            let _ = writeln!(
                svg,
                "<rect class=\"band\" x=\"{from:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"14\" rx=\"3\"/>",
                y - 7.0
            );
        }
        let _ = writeln!(svg, "<path class=\"mean\" d=\"M{mean:.1} {}L{mean:.1} {}\"/>", y - 9.0, y + 9.0);
        for value in &row.spread.values {
            let hover = escape(&format!("{}: {}%", row.label, percent(*value)));
            let x = at(*value);
            let _ = writeln!(
                svg,
                "<circle class=\"seed\" cx=\"{x:.1}\" cy=\"{y}\" r=\"4\"><title>{hover}</title></circle>"
            );
        }
        let _ = writeln!(
            svg,
            "</g><text class=\"row value\" x=\"{}\" y=\"{}\">{}</text>",
            WIDTH - RIGHT + 16.0,
            y + 4.5,
            percent(row.spread.mean)
        );
    }
    svg.push_str("</svg>\n");
    svg
}
