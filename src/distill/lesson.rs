//! What a method is given to teach the student with, and what it leaves on the tape.

use crate::tape::{Tape, ValueId};

/// What every method is given: one batch's logits and labels.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The student's logits `[B, C]`.
    pub student: ValueId,
    /// The labels `[B]`, u32.
    pub labels: ValueId,
    /// The frozen mentors: teachers first, then peers.
    pub mentors: Vec<Mentor>,
    /// How many of the mentors are teachers.
    pub teachers: usize,
    /// Share of a label that is spread over all classes in the cross-entropy of methods that have one.
    pub label_smoothing: f64,
}

/// A frozen mentor.
#[derive(Clone, Debug)]
pub struct Mentor {
    /// `teacher`, `teacher-2`, ..., `peer-1`, ...
    pub role: String,
    /// Its logits `[B, C]`.
    pub logits: ValueId,
}

/// What a method leaves on the tape.
#[derive(Clone, Debug)]
pub struct Taught {
    /// What the student minimises, a scalar.
    pub loss: ValueId,
    /// The terms of the loss, as they enter the sum.
    pub terms: Vec<Term>,
    /// How the method used each mentor; empty for methods without mentors.
    pub mentors: Vec<MentorUse>,
    /// Values of the method's own that tell how the loss came about, under the names that parity cases have for them.
    pub details: Vec<(&'static str, ValueId)>,
}

/// A named part of the loss.
#[derive(Clone, Debug)]
pub struct Term {
    /// `cross_entropy`, or the role of the mentor it comes from.
    pub name: String,
    /// Its value.
    pub value: Quantity,
}

/// How a method used one mentor in a step.
#[derive(Clone, Debug)]
pub struct MentorUse {
    /// The mentor's role.
    pub role: String,
    /// Its rank, for methods that rank.
    pub rank: Option<Quantity>,
    /// The weight of its part of the loss.
    pub weight: Quantity,
    /// Its temperature, for methods that have one.
    pub temperature: Option<Quantity>,
    /// 1 if it was asked, 0 if not.
    pub active: Quantity,
}

/// A number of a step: known beforehand, or an element of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// The same in every step.
    Constant(f64),
    /// An element of a value on the tape.
    Element(ValueId, usize),
}

impl Lesson {
    /// The cross-entropy of the student with the labels, a scalar.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn cross_entropy(&self, tape: &mut Tape) -> crate::Result<ValueId> {
        tape.cross_entropy(self.student, self.labels, self.label_smoothing)
    }
}
