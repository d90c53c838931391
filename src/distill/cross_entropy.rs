//! The student alone: mean cross-entropy with the labels. What every table compares against.

use super::{Lesson, MethodDescription, Needs, Quantity, Taught, Term, Use};
use crate::error::Result;
use crate::tape::Tape;

/// What this method says about itself.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "cross_entropy",
    title: "the student alone, trained on the labels",
    paper: "none: the baseline of every table",
    needs: Needs { teachers: Use::Unused, peers: Use::Unused, features: false },
    hyperparameters: &[],
    contradiction: |_| None,
    record: |tape, lesson, _| record(tape, lesson),
};

/// Records the mean cross-entropy of a lesson; also how mentors are pretrained.
///
/// # Errors
/// If shapes do not fit.
pub fn record(tape: &mut Tape, lesson: &Lesson) -> Result<Taught> {
    let loss = lesson.cross_entropy(tape)?;
    let terms = vec![Term { name: "cross_entropy".into(), value: Quantity::Element(loss, 0) }];
    Ok(Taught { loss, terms, mentors: Vec::new(), details: Vec::new() })
}
