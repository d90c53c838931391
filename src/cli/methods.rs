//! `kd-engine methods`: the distillation methods with their hyperparameters.

use clap::Args;
use serde_json::{Value, json};

use super::output::{plain_table, print, print_json};
use crate::distill::{METHODS, MethodDescription, Needs, Setting, Use};
use crate::error::Result;

/// List the distillation methods: what each needs, its hyperparameters with defaults, its paper
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Lists the methods.
///
/// # Errors
/// Where stdout cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.json {
        return print_json(&json!({ "methods": METHODS.iter().map(|method| document(method)).collect::<Vec<_>>() }));
    }
    let blocks: Vec<String> = METHODS.iter().map(|method| block(method)).collect();
    print(&blocks.join("\n"))
}

fn document(method: &MethodDescription) -> Value {
    let hyperparameters: Vec<Value> = method
        .hyperparameters
        .iter()
        .map(|one| {
            let default = match one.kind.default() {
                Setting::Number(number) => json!(number),
                Setting::Count(Some(count)) => json!(count),
                Setting::Count(None) => json!("none"),
                Setting::Epochs(time) => json!(time),
                Setting::Milestones(times) => {
                    json!(times.into_iter().filter(|time| time.is_finite()).collect::<Vec<_>>())
                }
                Setting::Flag(flag) => json!(flag),
                Setting::Choice(choice) | Setting::Method(choice) => json!(choice),
            };
            let (expected, documentation) = (one.kind.expected(), one.documentation);
            json!({ "name": one.name, "default": default, "expected": expected, "documentation": documentation })
        })
        .collect();
    json!({
        "name": method.name,
        "title": method.title,
        "paper": method.paper,
        "needs": {
            "teacher": word(method.needs.teachers),
            "assistants": word(method.needs.assistants),
            "peers": word(method.needs.peers),
            "features": method.needs.features,
        },
        "hyperparameters": hyperparameters,
    })
}

fn word(part: Use) -> &'static str {
    match part {
        Use::Unused => "unused",
        Use::Optional => "optional",
        Use::Required => "required",
        Use::Several => "two or more",
    }
}

fn needs(needs: Needs) -> String {
    let parts = [(needs.teachers, "teacher"), (needs.assistants, "assistant"), (needs.peers, "peer")];
    let of = |part: Use| parts.iter().filter(move |(known, _)| *known == part).map(|(_, name)| *name);
    let several = of(Use::Several).map(|name| format!("two or more {name}s"));
    let required: Vec<String> = of(Use::Required).map(a).chain(several).collect();
    let optional: Vec<&str> = of(Use::Optional).collect();
    let mentors = match (required.is_empty(), optional.is_empty()) {
        (true, true) => return "no mentors".into(),
        (false, true) => required.join(" and "),
        (true, false) => format!("at least one mentor: {}", optional.join(" or ")),
        (false, false) => format!("{}; {}s take part", required.join(" and "), optional.join("s and ")),
    };
    let values = if needs.features { "their feature maps" } else { "their logits" };
    format!("{mentors}, with {values}")
}

fn a(name: &str) -> String {
    format!("{} {name}", if name.starts_with('a') { "an" } else { "a" })
}

fn block(method: &MethodDescription) -> String {
    let mut text = format!("{}: {}\n", method.name, method.title);
    text.push_str(&format!("  paper: {}\n  needs: {}\n", method.paper, needs(method.needs)));
    let rows: Vec<Vec<String>> = method
        .hyperparameters
        .iter()
        .map(|one| {
            let default = match one.kind.default() {
                Setting::Number(number) => format!("{number:?}"),
                Setting::Count(Some(count)) => count.to_string(),
                Setting::Count(None) => "\"none\"".into(),
                Setting::Epochs(time) => format!("{time}"),
                Setting::Milestones(times) => {
                    format!("{:?}", times.into_iter().filter(|time| time.is_finite()).collect::<Vec<_>>())
                }
                Setting::Flag(flag) => flag.to_string(),
                Setting::Choice(choice) | Setting::Method(choice) => format!("\"{choice}\""),
            };
            vec![format!("  {} = {default}", one.name), one.documentation.into(), one.kind.expected()]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str(&plain_table(rows));
    }
    text
}
