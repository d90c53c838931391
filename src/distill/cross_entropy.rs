//! The student alone: mean cross-entropy with the labels. What every table compares against.

use super::{Lesson, MethodDescription, Taught};
use crate::error::Result;
use crate::tape::Tape;

/// What this method says about itself.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "cross_entropy",
    title: "the student alone, trained on the labels",
    paper: "none: the baseline of every table",
    ..MethodDescription::BASE
};

/// Records the mean cross-entropy of a lesson; also how mentors are pretrained.
///
/// # Errors
/// If shapes do not fit.
pub fn record(tape: &mut Tape, lesson: &mut Lesson<'_>) -> Result<Taught> {
    let loss = lesson.cross_entropy(tape)?;
    Taught::sum(tape, [("cross_entropy", 1.0, loss)])
}
