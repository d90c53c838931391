//! The table in the terminal at the end of a run.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle};

use super::gain::{Gain, UNKNOWN, Verdict};
use super::sections::who_learned;
use crate::train::records::{Spread, Summary};
use crate::words::thousands;

/// Three rules and no more, as in a paper.
const RULES: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none())
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// The table of a run: teacher, peers, student alone, student by each method, with a line per method on what it gains
/// over the student alone, and what methods have learned of their own; up to `width` columns wide, where cells can be
/// wrapped so far. Ends with a newline.
pub fn table(summary: &Summary, width: u16) -> String {
    let best = summary.models.iter().any(|model| model.top1.best_validation.is_some());
    let seeds = summary.models.iter().any(|model| model.top1.last.values.len() > 1);
    let mut table = Table::new();
    table.load_style(RULES).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    let mut header = vec!["role", "model", "params", "trained by", "top-1 %"];
    if seeds {
        header.extend(["std", "seeds"]);
    }
    if best {
        header.push("best on\nvalidation %");
    }
    table.set_header(header);
    for model in &summary.models {
        let last = &model.top1.last;
        let mut row = vec![
            model.role.clone(),
            model.model.clone(),
            thousands(model.params),
            model.trained_by.clone(),
            percent(last.mean),
        ];
        if seeds {
            row.push(std(last));
            row.push(last.values.iter().map(|value| percent(*value)).collect::<Vec<_>>().join("  "));
        }
        if best {
            row.push(model.top1.best_validation.as_ref().map_or("–".into(), |best| match best.known_std() {
                Some(_) => format!("{} ± {}", percent(best.mean), std(best)),
                None => percent(best.mean),
            }));
        }
        table.add_row(row);
    }
    let numbers = if seeds { &[2, 4, 5][..] } else { &[2, 4] };
    for index in numbers {
        table.column_mut(*index).expect("a column of the header").set_cell_alignment(CellAlignment::Right);
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    let gains: Vec<(&str, Gain)> = summary
        .models
        .iter()
        .filter_map(|model| Some((model.trained_by.as_str(), Gain::in_summary(model, summary)?)))
        .collect();
    for (method, gain) in &gains {
        let note = if gain.verdict == Verdict::Unknown { String::new() } else { format!(" ({})", gain.note()) };
        let _ = writeln!(text, "{method} over the student alone: {} points{note}", gain.points());
    }
    if gains.iter().any(|(_, gain)| gain.verdict == Verdict::Unknown) {
        let _ = writeln!(text, "{UNKNOWN}");
    }
    for model in &summary.models {
        for (index, learned) in model.learned.iter().enumerate() {
            let seed = model.seed_of(index, summary).map_or(String::new(), |seed| format!(", seed {seed}"));
            for what in learned {
                let _ = writeln!(text, "{}{seed}: {what}", who_learned(model));
            }
        }
    }
    text
}

fn percent(fraction: f64) -> String {
    format!("{:.1}", 100.0 * fraction)
}

fn std(spread: &Spread) -> String {
    spread.known_std().map_or("–".into(), |std| format!("{:.1}", 100.0 * std))
}
