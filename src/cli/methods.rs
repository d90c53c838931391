//! `kd-engine methods`: the distillation methods with their hyperparameters.

use clap::Args;
use serde_json::{Value, json};

use super::output::{print, print_json, width, wrapped, wrapped_table};
use crate::distill::{self, METHODS, MethodDescription, Needs, Setting, Use};
use crate::error::{Error, Result};

/// List the distillation methods: what each needs, its hyperparameters with defaults, its paper
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only these methods
    names: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Lists the methods.
///
/// # Errors
/// For an unknown method, and where stdout cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let find = |name: &String| {
        let unknown = || Error::request(format!("there is no method `{name}`")).suggest(name, distill::names());
        distill::find(name).ok_or_else(unknown)
    };
    let methods: Vec<&MethodDescription> = match arguments.names.as_slice() {
        [] => METHODS.to_vec(),
        names => names.iter().map(find).collect::<Result<_>>()?,
    };
    if arguments.json {
        return print_json(&json!({ "methods": methods.into_iter().map(document).collect::<Vec<_>>() }));
    }
    let blocks: Vec<String> = methods.into_iter().map(block).collect();
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
    let columns = usize::from(width());
    let mut text = wrapped(&format!("{}: ", method.name), method.title, columns);
    text += &wrapped("  paper: ", method.paper, columns);
    text += &wrapped("  needs: ", &needs(method.needs), columns);
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
        text.push_str(&wrapped_table(rows));
    }
    text
}
