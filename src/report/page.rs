//! The page around the sections.

use super::html::{escape, now};
use super::run::Run;
use super::sections::{Colours, classroom, configs, curves, lead, per_class, results};

/// The whole page. Written so that every tag is closed and every attribute quoted.
pub(super) fn page(runs: &[Run]) -> String {
    let colours = Colours::of(runs);
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        if !names.contains(&run.name.as_str()) {
            names.push(&run.name);
        }
    }
    let title = escape(&names.join(" and "));
    let facts = facts(runs);
    let style = include_str!("page.css");
    let body = [
        lead(runs),
        results(runs, &colours),
        curves(runs, &colours),
        classroom(runs, &colours),
        per_class(runs),
        configs(runs),
    ]
    .concat();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title}</title>\n<style>\n{style}</style>\n</head>\n\
         <body>\n<header>\n<h1>{title}</h1>\n<p class=\"facts\">{facts}</p>\n</header>\n<main>\n{body}</main>\n\
         <footer>Written by kd-engine {} on {}.</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        now()
    )
}

/// The line under the title: device, seeds, classes; of several runs, which they are.
fn facts(runs: &[Run]) -> String {
    if runs.len() > 1 {
        let labels: Vec<&str> = runs.iter().map(|run| run.label.as_str()).collect();
        return escape(&format!("{} runs side by side: {}", runs.len(), labels.join(", ")));
    }
    let Some(summary) = runs.first().and_then(|run| run.summary.as_ref()) else { return "A classroom".into() };
    let seeds: Vec<String> = summary.seeds.iter().map(u64::to_string).collect();
    let mut facts = vec![summary.device.clone(), format!("seeds {}", seeds.join(", "))];
    if !summary.classes.is_empty() {
        facts.push(format!("{} classes", summary.classes.len()));
    }
    escape(&facts.join(" · "))
}
