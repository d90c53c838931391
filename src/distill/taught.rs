//! What a method leaves on the tape.

use crate::error::Result;
use crate::ops::sgd::SgdOptions;
use crate::tape::{StateId, Tape, ValueId};

/// What a method leaves on the tape.
#[derive(Clone, Debug)]
pub struct Taught {
    /// What the student minimises, a scalar, together with what the method owns and trains with it.
    pub loss: ValueId,
    /// The terms of the loss, as they enter the sum, and beside them what a method lets users watch (SoKD's
    /// `student_heatmap_variance`): all of them are logged.
    pub terms: Vec<Term>,
    /// How the method used each mentor; empty for methods without mentors.
    pub mentors: Vec<MentorUse>,
    /// Values of the method's own that tell how the loss came about, under the names that parity cases have for them.
    pub details: Vec<(&'static str, ValueId)>,
    /// What is trained otherwise than with the student: from a loss, at a rate, by an optimizer of its own.
    pub updates: Vec<Update>,
    /// What is written into the method's buffers once all gradients are known.
    pub writes: Vec<Write>,
}

/// Rows that replace some of a buffer's.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// Which rows, u32 `[B]`.
    pub indices: ValueId,
    /// Their new content, `[B, D]`.
    pub rows: ValueId,
    /// The buffer, `[N, D]`.
    pub table: ValueId,
}

/// Parameters of a method that are not trained with the student ([`super::Learning::Apart`]) and how they are.
#[derive(Clone, Debug)]
pub struct Update {
    /// What they minimise, a scalar; may be the student's.
    pub loss: ValueId,
    /// Their gradients where they do not follow from `loss`, in the order of `parameters`.
    pub gradients: Option<Vec<ValueId>>,
    /// The parameters.
    pub parameters: Vec<StateId>,
    /// Step length, a scalar value; see [`super::Lesson::scheduled`].
    pub rate: ValueId,
    /// How they follow their gradients.
    pub optimizer: Rule,
}

/// How parameters follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd(SgdOptions),
    /// Adam (Kingma, Ba, 2015).
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Share of the weight that is added to its gradient.
        weight_decay: f64,
    },
}

impl Taught {
    /// A loss with its terms, and nothing else.
    pub fn new(loss: ValueId, terms: Vec<Term>) -> Self {
        Self { loss, terms, mentors: Vec::new(), details: Vec::new(), updates: Vec::new(), writes: Vec::new() }
    }

    /// The weighted sum of `parts`, scalars with their names and weights, each of which is a term of the loss.
    ///
    /// # Errors
    /// If there are none, or one is no scalar.
    pub(super) fn sum<N: Into<String>>(
        tape: &mut Tape,
        parts: impl IntoIterator<Item = (N, f64, ValueId)>,
    ) -> Result<Self> {
        let (mut terms, mut scaled) = (Vec::new(), Vec::new());
        for (name, weight, value) in parts {
            let part = if weight == 1.0 { value } else { tape.scale(value, weight) };
            terms.push(Term::scalar(name, part));
            scaled.push((1.0, part));
        }
        Ok(Self::new(tape.weighted_sum(&scaled)?, terms))
    }
}

/// A named part of the loss.
#[derive(Clone, Debug)]
pub struct Term {
    /// `cross_entropy`, or the role of the mentor it comes from, or what else it is.
    pub name: String,
    /// Its value.
    pub value: Quantity,
}

impl Term {
    /// The scalar `value`, called `name`.
    pub fn scalar(name: impl Into<String>, value: ValueId) -> Self {
        Self { name: name.into(), value: Quantity::Element(value, 0) }
    }
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

impl MentorUse {
    /// A mentor that is always asked, with a constant weight.
    pub fn constant(role: impl Into<String>, weight: f64, temperature: Option<f64>) -> Self {
        Self {
            role: role.into(),
            rank: None,
            weight: Quantity::Constant(weight),
            temperature: temperature.map(Quantity::Constant),
            active: Quantity::Constant(1.0),
        }
    }
}

/// A number of a step: known beforehand, or an element of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// The same in every step.
    Constant(f64),
    /// An element of a value on the tape.
    Element(ValueId, usize),
}
