//! Results go to stdout, everything else to stderr.

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use miette::{GraphicalReportHandler, GraphicalTheme, ThemeCharacters, ThemeStyles};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::error::{Error, Result};

/// Prints `text` to stdout as it is. A reader that has gone away is no error.
///
/// # Errors
/// Where stdout cannot be written for any other reason.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::writing("standard output", error)),
        _ => Ok(()),
    }
}

/// Prints one JSON document to stdout.
///
/// # Errors
/// As [`print`].
pub fn print_json(document: &serde_json::Value) -> Result<()> {
    print(&format!("{document:#}\n"))
}

/// Checks that a file with `what` in it can be at `out`; `name` is how it may be called.
///
/// # Errors
/// If a folder is there, or the folder that it belongs into is not.
pub fn expect_place(out: &Path, what: &str, name: &str) -> Result<()> {
    if out.is_dir() {
        return Err(Error::request(format!("{} is a folder, expected a file to write {what} to", out.display()))
            .help(format!("for instance {}", out.join(name).display())));
    }
    match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(Error::request(format!("cannot write {}: there is no folder {}", out.display(), folder.display())))
        }
        _ => Ok(()),
    }
}

/// Columns that text may take: those of the terminal on stdout, and as many as fit on most screens elsewhere.
pub fn width() -> u16 {
    const ELSEWHERE: u16 = 100;
    let stdout = io::stdout();
    let terminal = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
    // A terminal that does not know says 0.
    terminal.map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(ELSEWHERE)
}

/// `lead` and `text` on lines of up to `columns` columns; those after the first are indented as far as `lead` is, or by
/// four columns where it is long. Ends with a newline.
pub fn wrapped(lead: &str, text: &str, columns: usize) -> String {
    let long = lead.chars().count() > 12;
    let indent = " ".repeat(if long { 4 } else { lead.chars().count() });
    let (mut lines, mut line) = (String::new(), lead.to_string());
    let mut begun = false;
    for word in text.split_whitespace() {
        if begun && line.chars().count() + 1 + word.chars().count() > columns {
            lines += &(std::mem::replace(&mut line, indent.clone()) + "\n");
            begun = false;
        }
        if begun {
            line.push(' ');
        }
        line += word;
        begun = true;
    }
    lines + &line + "\n"
}

/// As [`plain_table`], in which long cells are wrapped so that it is not wider than [`width`].
pub fn wrapped_table(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width());
    aligned(table, rows)
}

/// A table with aligned columns and no lines.
pub fn plain_table(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    aligned(Table::new(), rows)
}

fn aligned(mut table: Table, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    table.load_style(presets::NOTHING).add_rows(rows);
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_string()).collect();
    lines.join("\n") + "\n"
}

/// A size in words: MiB with one digit.
pub fn bytes(count: usize) -> String {
    format!("{:.1} MiB", count as f64 / (1024.0 * 1024.0))
}

/// Prints an error to stderr: with colours on a terminal, plainly and unbroken elsewhere.
pub fn print_error(error: &Error) {
    let terminal = io::stderr().is_terminal();
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let theme = GraphicalTheme {
        characters: ThemeCharacters {
            error: "error:".into(),
            ..if terminal { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() }
        },
        styles: if colours { ThemeStyles::ansi() } else { ThemeStyles::none() },
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_wrap_lines(terminal).with_context_lines(1);
    let mut text = String::new();
    if handler.render_report(&mut text, error).is_err() {
        text = format!("error: {error}\n");
    }
    // There is nowhere left to say that stderr cannot be written.
    let _ = io::stderr().lock().write_all(text.trim_start().as_bytes());
}

/// Shows warnings on stderr as lines of their own, and when kernels are measured; `RUST_LOG` asks for more or less.
pub fn show_warnings() {
    let asked = env::var("RUST_LOG").unwrap_or_else(|_| "warn,kd_engine::tape::tune=info".into());
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse_lossy(asked);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    lines.with_ansi(io::stderr().is_terminal()).without_time().with_target(false).init();
}

/// Makes a panic one clear line; with `RUST_BACKTRACE` Rust's own report follows.
pub fn explain_panics() {
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        let place = panic.location().map(|place| format!(" ({place})")).unwrap_or_default();
        let _ = writeln!(io::stderr(), "error: this is a fault of kd-engine, please report it: {message}{place}");
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            standard(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn text_is_wrapped_between_words_and_nothing_is_lost() {
        let text = "one two three four five";
        assert_eq!(wrapped("ab: ", text, 100), "ab: one two three four five\n");
        assert_eq!(wrapped("ab: ", text, 15), "ab: one two\n    three four\n    five\n");
        // A word that fits nowhere has a line of its own.
        assert_eq!(wrapped("a long lead: ", "unbreakable word", 8), "a long lead: unbreakable\n    word\n");
        assert_eq!(wrapped("ab:", "", 8), "ab:\n");
    }

    const PANIC: &str = "KD_ENGINE_TEST_PANIC";

    /// The test starts itself again as a process that panics.
    #[test]
    fn a_panic_is_one_clear_line() {
        if std::env::var_os(PANIC).is_some() {
            explain_panics();
            panic!("deliberate {}", 7);
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "cli::output::tests::a_panic_is_one_clear_line"]);
        let output = command.env(PANIC, "1").env_remove("RUST_BACKTRACE").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let line = stderr.lines().find(|line| line.starts_with("error: this is a fault of kd-engine"));
        let line = line.unwrap_or_else(|| panic!("no such line in {stderr:?}"));
        assert!(line.contains("deliberate 7") && line.contains("output.rs:"), "{line}");
        assert!(!stderr.contains("RUST_BACKTRACE") && !stderr.contains("stack backtrace"), "{stderr}");
    }
}
