//! `kd-engine presets`: the ready experiments.

use clap::{Args, Subcommand};

use super::output::{print, wrapped_table};
use crate::config::presets::{DEFAULT, PRESETS, find};
use crate::error::Result;

/// List the ready experiments that `run` takes by name
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the config of a preset, to start your own from
    Show {
        /// The preset's name
        name: String,
    },
}

/// Lists the presets, or prints one.
///
/// # Errors
/// Where the preset to show does not exist.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        Some(Action::Show { name }) => print(find(name)?.text),
        None => print(&wrapped_table(PRESETS.iter().map(|preset| {
            let standard = if preset.name == DEFAULT { " (what `run` takes by itself)" } else { "" };
            vec![preset.name.to_string(), preset.title() + standard]
        }))),
    }
}
