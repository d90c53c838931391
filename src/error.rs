//! The one error type of the engine.
//!
//! An error says what was wrong, where (file, line, key, byte offset), what was expected, and the nearest valid
//! name where there is one. Its [`Kind`] decides the exit status of the command line.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// Result with the engine's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is; decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request was wrong: usage, configuration or an input file (exit status 2).
    Request,
    /// The work failed or a check did not hold (exit status 1).
    Failed,
    /// Stopped by Ctrl-C or SIGTERM after saving (exit status 130).
    Interrupted,
}

/// One clear message: what, where, what was expected, and help.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    help: Option<String>,
    source_text: Option<NamedSource<String>>,
    label: Option<LabeledSpan>,
}

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), help: None, source_text: None, label: None }))
    }

    /// The request was wrong: usage, configuration or an input file.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(Kind::Request, message)
    }

    /// The work failed or a check did not hold.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Stopped by a signal, after saving.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Kind::Interrupted, message)
    }

    /// A file could not be read: names the file and the system's reason. An input file, so a [`Kind::Request`].
    pub fn reading(path: impl AsRef<Path>, error: std::io::Error) -> Self {
        Self::request(format!("cannot read {}: {error}", path.as_ref().display()))
    }

    /// A file could not be written: names the file and the system's reason.
    pub fn writing(path: impl AsRef<Path>, error: std::io::Error) -> Self {
        Self::failed(format!("cannot write {}: {error}", path.as_ref().display()))
    }

    /// Adds advice: what was expected, or the nearest valid name.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds "did you mean ...?" where one of `candidates` is near `name`, else the list of all of them.
    pub fn suggest<'a>(self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        match nearest(name, candidates.iter().copied()) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self.help(format!("expected one of: {}", candidates.join(", "))),
        }
    }

    /// Points at bytes `range` of the text of file `name`, which is shown with its line.
    pub fn at(mut self, name: impl AsRef<str>, text: impl Into<String>, range: Range<usize>, label: &str) -> Self {
        let text = text.into();
        let end = range.end.min(text.len());
        let start = range.start.min(end);
        self.0.source_text = Some(NamedSource::new(name, text));
        self.0.label = Some(LabeledSpan::new(Some(label.to_string()), start, end - start));
        self
    }

    /// Puts `context` and a colon before the message: where it happened.
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The process exit status that belongs to this error.
    pub fn exit_status(&self) -> u8 {
        match self.0.kind {
            Kind::Request => 2,
            Kind::Failed => 1,
            Kind::Interrupted => 130,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl Diagnostic for Error {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_text.as_ref().map(|text| text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.label.clone().map(|label| Box::new(std::iter::once(label)) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
}

/// The candidate most like `name`, if any is like it enough to be what a typing error meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 3)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_found_through_case_and_separators() {
        let names = ["resnet8", "resnet20", "MobileNetV2", "wrn_16_2"];
        assert_eq!(nearest("mobilenet_v2", names), Some("MobileNetV2"));
        assert_eq!(nearest("wrn16-2", names), Some("wrn_16_2"));
        assert_eq!(nearest("transformer", names), None);
    }

    #[test]
    fn kinds_map_to_exit_statuses() {
        assert_eq!(Error::request("x").exit_status(), 2);
        assert_eq!(Error::failed("x").exit_status(), 1);
        assert_eq!(Error::interrupted("x").exit_status(), 130);
    }
}
