//! The command line: one file per command. Each parses its arguments, calls the engine and prints; none decides.

mod golden;
mod output;
mod progress;
mod trained;

pub mod bench;
mod bench_counts;
pub mod doctor;
pub mod eval;
pub mod export;
pub mod import;
pub mod methods;
pub mod models;
pub mod parity;
pub mod presets;
pub mod report;
pub mod run;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Result;

/// Trains a whole classroom of vision models: a student learns from a teacher and several different peers
#[derive(Debug, Parser)]
#[command(name = "kd-engine", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Presets(presets::Arguments),
    Models(models::Arguments),
    Methods(methods::Arguments),
    Eval(eval::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
    Parity(parity::Arguments),
    Report(report::Arguments),
    Doctor(doctor::Arguments),
    Bench(bench::Arguments),
}

impl Command {
    fn run(self) -> Result<()> {
        match self {
            Command::Run(arguments) => run::run(&arguments),
            Command::Presets(arguments) => presets::run(&arguments),
            Command::Models(arguments) => models::run(&arguments),
            Command::Methods(arguments) => methods::run(&arguments),
            Command::Eval(arguments) => eval::run(&arguments),
            Command::Import(arguments) => import::run(&arguments),
            Command::Export(arguments) => export::run(&arguments),
            Command::Parity(arguments) => parity::run(&arguments),
            Command::Report(arguments) => report::run(&arguments),
            Command::Doctor(arguments) => doctor::run(&arguments),
            Command::Bench(arguments) => bench::run(&arguments),
        }
    }
}

/// Runs the command that the process was started with and says how the process ends.
pub fn main() -> ExitCode {
    output::explain_panics();
    output::show_warnings();
    // Prints usage errors and ends with status 2 by itself, and with 0 for --help and --version.
    let command_line = CommandLine::parse();
    match panic::catch_unwind(AssertUnwindSafe(|| command_line.command.run())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            output::print_error(&error);
            ExitCode::from(error.exit_status())
        }
        // The hook has said what happened.
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, CommandFactory};

    use super::*;

    /// Clap checks definitions only when they are used: use all of them, also those no command offers.
    #[test]
    fn every_definition_is_consistent() {
        CommandLine::command().debug_assert();
        run::Arguments::augment_args(Command::new("run")).debug_assert();
        eval::Arguments::augment_args(Command::new("eval")).debug_assert();
        import::Arguments::augment_args(Command::new("import")).debug_assert();
        export::Arguments::augment_args(Command::new("export")).debug_assert();
        parity::Arguments::augment_args(Command::new("parity")).debug_assert();
        bench::Arguments::augment_args(Command::new("bench")).debug_assert();
        doctor::Arguments::augment_args(Command::new("doctor")).debug_assert();
        report::Arguments::augment_args(Command::new("report")).debug_assert();
    }
}
