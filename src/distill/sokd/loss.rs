//! What the student minimises, given what is done to the teacher's features:
//! `L = ce CE + detection L_D + feature L_DA`, `L_D` the mean squared difference of what the heads see, `L_DA` that of the
//! maps inside the areas; or with another base that method's own loss in place of the first and the last.

use super::areas::{self, Seen};
use super::base::{self, Augment};
use crate::distill::{Hyperparameters, Lesson, MentorUse, Taught, Term, Update, Write};
use crate::error::Result;
use crate::nn::Map;
use crate::tape::{Tape, ValueId};

/// Images of a batch that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) start: usize,
    pub(super) count: usize,
}

impl Rows {
    /// These images of `x` `[B, h, w, C]`.
    pub(super) fn of(self, tape: &mut Tape, x: ValueId) -> Result<ValueId> {
        let shape = tape.shape(x);
        if self.count == shape[0] {
            return Ok(x);
        }
        let image = shape.count() / shape[0];
        let row = tape.view(x, [1, shape.count()])?;
        let part = tape.slice(row, self.start * image, self.count * image)?;
        tape.view(part, [self.count, shape[1], shape[2], shape[3]])
    }
}

/// The values of the loss, weighted as they enter the sum, and what they are made of.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    pub(super) sum: ValueId,
    pub(super) terms: Vec<Term>,
    pub(super) mentors: Vec<MentorUse>,
    pub(super) details: Vec<(&'static str, ValueId)>,
    pub(super) updates: Vec<Update>,
    pub(super) writes: Vec<Write>,
}

/// Whether the student's map is brought into the teacher's space at all.
pub(super) fn adapts(values: &Hyperparameters) -> bool {
    values.choice("base") == "fitnet" || values.flag("areas")
}

/// The student's hint in the teacher's space, `[B, h, w, C_t]`.
pub(super) fn adapted(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<ValueId> {
    let hint = values.choice("hint");
    let student = lesson.student.activation(hint)?;
    let teacher = lesson.teacher()?.activation(hint)?;
    let shape = tape.shape(teacher);
    let map: Map = [shape[1], shape[2], shape[3]];
    areas::adapt(tape, lesson, student, map, values.flag("adapter_relu"))
}

/// Records the loss. `adapted` is [`adapted`] where [`adapts`]; the images that student and teacher are compared on are `rows`.
pub(super) fn record(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    values: &Hyperparameters,
    adapted: Option<ValueId>,
    rows: Rows,
    augment: &mut Augment<'_>,
) -> Result<Loss> {
    let mut details = Vec::new();
    let mut pair = None;
    if let Some(adapted) = adapted {
        let hint = values.choice("hint");
        let teacher = lesson.teacher()?.clone().feature(tape, hint)?;
        let teacher = rows.of(tape, teacher)?;
        let teacher = augment(tape, lesson, hint, teacher)?;
        pair = Some([rows.of(tape, adapted)?, teacher]);
    }
    let mut mask = None;
    let mut detection = None;
    if let (Some([student, teacher]), true) = (pair, values.flag("areas")) {
        let classes = values.whole("heat_classes");
        let student: Seen = areas::look(tape, lesson, student, classes)?;
        let teacher = areas::look(tape, lesson, teacher, classes)?;
        let difference = areas::difference(tape, student, teacher)?;
        details.push(("loss/detection", difference));
        detection = Some(tape.scale(difference, values.number("detection_weight")));
        mask = Some(areas::mask(tape, student, values)?);
    }
    let (mut terms, mut mentors, mut updates, mut writes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut sum = match pair.filter(|_| values.choice("base") == "fitnet") {
        Some([mut student, mut teacher]) => {
            let cross_entropy = lesson.cross_entropy(tape)?;
            let cross_entropy = tape.scale(cross_entropy, values.number("ce_weight"));
            if let Some(mask) = mask {
                student = tape.multiply(student, mask)?;
                teacher = tape.multiply(teacher, mask)?;
            }
            let difference = areas::mean_square(tape, student, teacher)?;
            details.push(("loss/areas", difference));
            let weight = values.number("feature_weight");
            let feature = tape.scale(difference, weight);
            let role = lesson.teacher()?.role.clone();
            terms.push(Term::scalar("cross_entropy", cross_entropy));
            terms.push(Term::scalar(&role, feature));
            mentors.push(MentorUse::constant(role, weight, None));
            tape.add(cross_entropy, feature)?
        }
        None => {
            let base = base::description(values.choice("base"))?;
            let Taught { loss, terms: own, mentors: used, updates: moved, writes: written, .. } =
                base::record(tape, lesson, base, mask, augment)?;
            terms.extend(own);
            mentors.extend(used);
            updates.extend(moved);
            writes.extend(written);
            loss
        }
    };
    if let Some(detection) = detection {
        terms.push(Term::scalar("detection", detection));
        sum = tape.add(sum, detection)?;
    }
    Ok(Loss { sum, terms, mentors, details, updates, writes })
}
