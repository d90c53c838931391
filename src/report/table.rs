//! The table in the terminal at the end of a run.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Table, TableStyle};

use super::gain::Gain;
use super::html::thousands;
use crate::train::records::{Spread, Summary};

/// Three rules and no more, as in a paper.
const RULES: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none())
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// The table of a run: teacher, peers, student alone, student by each method, with a line per method on what it gains
/// over the student alone, and what methods have learned of their own. Ends with a newline.
pub fn table(summary: &Summary) -> String {
    let best = summary.models.iter().any(|model| model.top1.best_validation.is_some());
    let mut table = Table::new();
    table.load_style(RULES);
    let mut header = vec!["role", "model", "params", "trained by", "top-1 %", "std", "seeds"];
    if best {
        header.push("best on validation %");
    }
    table.set_header(header);
    for model in &summary.models {
        let mut row = vec![
            model.role.clone(),
            model.model.clone(),
            thousands(model.params),
            model.trained_by.clone(),
            percent(model.top1.last.mean),
            std(&model.top1.last),
            model.top1.last.values.iter().map(|value| percent(*value)).collect::<Vec<_>>().join("  "),
        ];
        if best {
            row.push(model.top1.best_validation.as_ref().map_or(String::new(), |best| match best.known_std() {
                Some(_) => format!("{} ± {}", percent(best.mean), std(best)),
                None => percent(best.mean),
            }));
        }
        table.add_row(row);
    }
    for index in [2, 4, 5] {
        table.column_mut(index).expect("a column of the header").set_cell_alignment(CellAlignment::Right);
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    for model in &summary.models {
        if let Some(gain) = Gain::in_summary(model, summary) {
            let _ = writeln!(
                text,
                "{} over the student alone: {} points ({})",
                model.trained_by,
                gain.points(),
                gain.note()
            );
        }
    }
    for model in &summary.models {
        for (seed, learned) in summary.seeds.iter().zip(&model.learned) {
            learned.iter().for_each(|what| {
                let _ = writeln!(text, "{}, seed {seed}: {what}", model.trained_by);
            });
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
