//! Line charts as SVG: one thick line per series, the mean of its thin ones.

use std::fmt::Write as _;

use super::html::escape;
use super::ticks::Axis;

/// What the vertical axis counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Fractions, shown in percent.
    Percent,
    /// Fractions of a whole, in percent on an axis from 0 to 100.
    Share,
    /// Numbers as they are.
    Number,
}

/// Points by epoch, from the first to the last.
pub(super) type Points = Vec<(u64, f64)>;

/// One thing over epochs, once per seed.
pub(super) struct Series {
    pub(super) label: String,
    /// Which of the page's colours.
    pub(super) colour: usize,
    /// Which of the page's dashes: 0 is a solid line.
    pub(super) dash: usize,
    /// By name of the seed.
    pub(super) lines: Vec<(String, Points)>,
}

/// Number of colours that tell things apart; the style sheet's next two are [`GREY`] and [`INK`].
pub(super) const COLOURS: usize = 12;
/// The student alone, which methods are compared with.
pub(super) const GREY: usize = COLOURS;
/// What needs no colour, since it is named where it stands.
pub(super) const INK: usize = COLOURS + 1;
const DASHES: usize = 6;

/// An epoch, counted from 1, before which something else begins: an upright line, and what a mouse finds there.
pub(super) struct Mark {
    pub(super) epoch: u64,
    pub(super) text: String,
}

/// The drawing's extents, in the units of its text: a smaller one has larger text on the page.
#[derive(Clone, Copy)]
pub(super) struct Size {
    width: f64,
    height: f64,
}

/// Three in a row.
pub(super) const MEDIUM: Size = Size { width: 326.0, height: 216.0 };
/// Four in a row, with text of the same size on the page.
pub(super) const SMALL: Size = Size { width: 240.0, height: 180.0 };

const LEFT: f64 = 44.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 34.0;

impl Series {
    /// Classes of the style sheet.
    pub(super) fn style(&self) -> String {
        format!("c{} d{}", self.colour, self.dash % DASHES)
    }

    /// Whether no line goes anywhere: each stays where it starts, as far as three digits show.
    pub(super) fn is_flat(&self) -> bool {
        self.lines.iter().all(|(_, points)| {
            let values = || points.iter().map(|(_, y)| *y);
            let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
            high - low <= 5e-4 * high.abs().max(low.abs()).max(1.0)
        })
    }

    /// One line, the mean of the seeds, in place of theirs.
    pub(super) fn merge_seeds(&mut self) {
        let mean = self.mean().into_iter().map(|(epoch, value, _)| (epoch, value)).collect();
        self.lines = vec![(String::new(), mean)];
    }

    /// The mean over all seeds and epochs; 0 without any.
    pub(super) fn level(&self) -> f64 {
        let values: Vec<f64> = self.lines.iter().flat_map(|(_, points)| points.iter().map(|(_, y)| *y)).collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    }

    /// Mean over the seeds that have the epoch, with their values.
    fn mean(&self) -> Vec<(u64, f64, Vec<f64>)> {
        let mut epochs: Vec<u64> = self.lines.iter().flat_map(|(_, points)| points.iter().map(|(x, _)| *x)).collect();
        epochs.sort_unstable();
        epochs.dedup();
        let values = |epoch: u64| -> Vec<f64> {
            let points = self.lines.iter().flat_map(|(_, points)| points);
            points.filter(|(x, _)| *x == epoch).map(|(_, y)| *y).collect()
        };
        let point = |epoch| {
            let values = values(epoch);
            (epoch, values.iter().sum::<f64>() / values.len() as f64, values)
        };
        epochs.into_iter().map(point).collect()
    }
}

impl Unit {
    fn scale(self) -> f64 {
        if self == Unit::Number { 1.0 } else { 100.0 }
    }

    fn text(self, value: f64) -> String {
        match self {
            Unit::Percent | Unit::Share => format!("{:.1}%", 100.0 * value),
            Unit::Number => format!("{:.3}", value),
        }
    }

    /// As short as a table wants it: `0.25`, `4`, `100%`.
    pub(super) fn short(self, value: f64) -> String {
        let text = self.text(value);
        let (number, unit) = text.strip_suffix('%').map_or((text.as_str(), ""), |number| (number, "%"));
        format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A figure with its title; none where there is nothing to draw. What goes `within` it stands between the two.
pub(super) fn line_chart(
    title: &str,
    unit: Unit,
    size: Size,
    series: &[Series],
    marks: &[Mark],
    within: &str,
) -> Option<String> {
    let points = || series.iter().flat_map(|series| series.lines.iter().flat_map(|(_, points)| points));
    let smallest = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
    points().next()?;
    let x_axis =
        Axis::whole(smallest(&mut points().map(|(x, _)| *x as f64)), largest(&mut points().map(|(x, _)| *x as f64)), 8);
    let low = smallest(&mut points().map(|(_, y)| y * unit.scale()));
    let high = largest(&mut points().map(|(_, y)| y * unit.scale()));
    let y_axis = match unit {
        Unit::Percent => Axis::round(low, high, 4).within(0.0, 100.0),
        Unit::Share => Axis::round(0.0, 100.0, 4),
        Unit::Number => Axis::round(low, high, 4),
    };
    let Size { width, height } = size;
    let x_at = |x: u64| LEFT + x_axis.at(x as f64) * (width - LEFT - RIGHT);
    let y_at = |y: f64| height - BOTTOM - y_axis.at(y * unit.scale()) * (height - TOP - BOTTOM);

    let title = escape(title);
    let percent = if unit == Unit::Number { "" } else { " <small>%</small>" };
    let mut figure = format!("<figure><figcaption>{title}{percent}</figcaption>\n{within}");
    let _ = writeln!(figure, "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">");
    grid(&mut figure, size, &x_axis, &y_axis);
    upright(&mut figure, size, &x_axis, marks);
    for series in series {
        let style = series.style();
        let _ = writeln!(figure, "<g class=\"{style}\">");
        if series.lines.len() > 1 {
            for (_, points) in &series.lines {
                let path = path(points.iter().map(|(x, y)| (x_at(*x), y_at(*y))));
                let _ = writeln!(figure, "<path class=\"thin\" d=\"{path}\"/>");
            }
        }
        let mean = series.mean();
        let line = path(mean.iter().map(|(x, y, _)| (x_at(*x), y_at(*y))));
        let _ = writeln!(figure, "<path class=\"mean\" d=\"{line}\"/>");
        // Points of long runs would run into each other: a mouse finds every few.
        for (epoch, y, values) in mean.iter().rev().step_by(mean.len().div_ceil(60)) {
            let mut hover = format!("{}, epoch {epoch}: {}", series.label, unit.text(*y));
            if values.len() > 1 {
                let values: Vec<String> = values.iter().map(|value| unit.text(*value)).collect();
                let _ = write!(hover, " (mean of {})", values.join(", "));
            }
            let (x, y) = (x_at(*epoch), y_at(*y));
            let class = if mean.len() <= 30 { "dot" } else { "dot far" };
            let _ = writeln!(
                figure,
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\"><title>{}</title></circle>",
                escape(&hover)
            );
        }
        figure.push_str("</g>\n");
    }
    figure.push_str("</svg></figure>\n");
    Some(figure)
}

fn grid(svg: &mut String, size: Size, x_axis: &Axis, y_axis: &Axis) {
    let (right, bottom) = (size.width - RIGHT, size.height - BOTTOM);
    svg.push_str("<g class=\"axis\">\n");
    for tick in &y_axis.ticks {
        let y = bottom - y_axis.at(*tick) * (bottom - TOP);
        let label = y_axis.label(*tick);
        let _ = write!(svg, "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        let _ = writeln!(svg, "<text class=\"end\" x=\"{}\" y=\"{:.1}\">{label}</text>", LEFT - 7.0, y + 4.0);
    }
    for tick in &x_axis.ticks {
        let x = LEFT + x_axis.at(*tick) * (right - LEFT);
        let label = x_axis.label(*tick);
        let _ = writeln!(svg, "<text class=\"middle\" x=\"{x:.1}\" y=\"{}\">{label}</text>", bottom + 16.0);
    }
    let _ = writeln!(svg, "<text class=\"end\" x=\"{right}\" y=\"{}\">epoch</text>", size.height - 4.0);
    svg.push_str("</g>\n");
}

/// The marks within the axis: one line for all of an epoch.
fn upright(svg: &mut String, size: Size, x_axis: &Axis, marks: &[Mark]) {
    let mut epochs: Vec<u64> = marks.iter().map(|mark| mark.epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    for epoch in epochs {
        let place = x_axis.at(epoch as f64 - 0.5);
        if !(0.0..=1.0).contains(&place) {
            continue;
        }
        let x = LEFT + place * (size.width - LEFT - RIGHT);
        let texts: Vec<&str> = marks.iter().filter(|mark| mark.epoch == epoch).map(|mark| mark.text.as_str()).collect();
        let _ = writeln!(
            svg,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\"><title>{}</title></line>",
            size.height - BOTTOM,
            escape(&texts.join("; "))
        );
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
    }
    path
}

/// One line that says which line is which, for all charts of a group.
pub(super) fn legend(series: &[Series]) -> String {
    let mut legend = String::from("<p class=\"legend\">");
    let mut seen = Vec::new();
    for series in series {
        if seen.contains(&&series.label) {
            continue;
        }
        seen.push(&series.label);
        let _ = write!(
            legend,
            "<span><svg class=\"key\" viewBox=\"0 0 26 10\"><g class=\"{}\"><path class=\"mean\" d=\"M1 5L25 5\"/></g></svg>{}</span>",
            series.style(),
            escape(&series.label)
        );
    }
    legend.push_str("</p>\n");
    legend
}
