//! The page around the sections.

use super::classroom::classroom;
use super::curves::{curves, terms};
use super::html::{escape, now};
use super::lead::lead;
use super::palette::Palette;
use super::run::Run;
use super::sections::{among, configs, learned, per_class, results};
use crate::train::records::{Phase, TimingLine};
use crate::words::{counted, duration, thousands};

/// The whole page. Written so that every tag is closed and every attribute quoted.
pub(super) fn page(runs: &[Run]) -> String {
    let palette = Palette::of(runs);
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
        results(runs, &palette),
        curves(runs, &palette),
        classroom(runs, &palette),
        terms(runs, &palette),
        learned(runs),
        per_class(runs),
        configs(runs),
    ]
    .concat();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title}</title>\n<style>\n{style}</style>\n</head>\n\
         <body>\n<header>\n<h1>{title}</h1>\n<p class=\"facts\">{facts}</p>\n</header>\n<main>\n{body}</main>\n\
         <footer>{}Written by kd-engine {} on {}.</footer>\n</body>\n</html>\n",
        escape(&speed(runs)),
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
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    let mut facts = vec![summary.device.clone(), format!("{noun} {}", seeds.join(", "))];
    if !summary.classes.is_empty() {
        facts.push(counted(summary.classes.len(), "class"));
    }
    escape(&facts.join(" · "))
}

/// How long each run has trained and how fast, a sentence each; stands in the footer, since equal runs differ in it.
fn speed(runs: &[Run]) -> String {
    let mut text = String::new();
    for run in runs.iter().filter(|run| !run.timing.is_empty()) {
        let parts = [(Phase::Pretrain, "mentors"), (Phase::Assist, "taught mentors"), (Phase::Distil, "student")];
        let parts = parts.into_iter().filter_map(|(phase, who)| {
            let lines: Vec<&TimingLine> = run.timing.iter().filter(|line| line.phase == phase).collect();
            let mut rates: Vec<f64> = lines.iter().map(|line| line.images_per_second).collect();
            rates.sort_by(f64::total_cmp);
            let rate = thousands(*rates.get(rates.len() / 2)? as u64);
            let time = duration(lines.iter().map(|line| line.seconds).sum());
            Some(format!("{who} {time} ({rate} images/s)"))
        });
        let all = duration(run.timing.iter().map(|line| line.seconds).sum());
        let memory = run.timing.iter().map(|line| line.peak_mib).fold(0.0, f64::max) as u64;
        let parts = parts.collect::<Vec<_>>().join(", ");
        let memory = if memory > 0 { format!("; at most {} MiB of memory", thousands(memory)) } else { String::new() };
        text += &among(runs, run, &format!("Trained for {all}: {parts}{memory}. "));
    }
    text
}
