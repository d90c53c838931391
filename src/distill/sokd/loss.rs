//! What the student minimises, given what is done to the teacher's features:
//! `L = ce CE + detection L_D + feature L_DA`, `L_D` the mean squared difference of what the heads see, `L_DA` that of the
//! maps inside the areas; or with another base that method's own loss in place of the first and the last.

use super::areas;
use super::base::{self, Augment, Base};
use crate::distill::adapters::map_of;
use crate::distill::hint::mean_square;
use crate::distill::{Hyperparameters, Lesson, MentorUse, Taught, Term};
use crate::error::{Error, Result};
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

/// Whether the student's map is brought into the teacher's space at all.
pub(super) fn adapts(values: &Hyperparameters) -> bool {
    Base::of(values).is_none() || values.flag("areas")
}

/// The student's hint in the teacher's space, `[B, h, w, C_t]`.
pub(super) fn adapted(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<ValueId> {
    let hint = values.choice("hint");
    let student = lesson.student.activation(hint)?;
    let teacher = lesson.teacher()?.activation(hint)?;
    areas::adapt(tape, lesson, student, map_of(tape, teacher), values.flag("adapter_relu"))
}

/// Records the loss. `adapted` is [`adapted`] where [`adapts`]; the images that student and teacher are compared on are `rows`.
pub(super) fn record(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    values: &Hyperparameters,
    adapted: Option<ValueId>,
    rows: Rows,
    augment: &mut Augment<'_>,
) -> Result<Taught> {
    let mut pair = None;
    if let Some(adapted) = adapted {
        let hint = values.choice("hint");
        let teacher = lesson.teacher()?.clone().feature(tape, hint)?;
        let teacher = rows.of(tape, teacher)?;
        let teacher = augment(tape, lesson, hint, teacher)?;
        pair = Some([rows.of(tape, adapted)?, teacher]);
    }
    let detected = match pair.filter(|_| values.flag("areas")) {
        Some([student, teacher]) => {
            let classes = values.whole("heat_classes");
            let student = areas::detect(tape, lesson, student, classes)?;
            Some([student, areas::detect(tape, lesson, teacher, classes)?])
        }
        None => None,
    };
    let mask = detected.map(|[student, _]| areas::mask(tape, student, values)).transpose()?;
    let mut taught = match (Base::of(values), pair) {
        (Some(base), _) => base::record(tape, lesson, base, mask, augment)?,
        (None, Some(maps)) => on_maps(tape, lesson, values, maps, mask)?,
        (None, None) => return Err(Error::failed("SoKD has no maps to compare")),
    };
    if let Some([student, teacher]) = detected {
        let difference = areas::difference(tape, student, teacher)?;
        let detection = tape.scale(difference, values.number("detection_weight"));
        taught.loss = tape.add(taught.loss, detection)?;
        taught.terms.push(Term::scalar("detection", detection));
        taught.details.push(("loss/detection", difference));
        // Not in the sum: they say whether the heads have collapsed.
        for (name, one) in [("student_heatmap_variance", student), ("teacher_heatmap_variance", teacher)] {
            taught.terms.push(Term::scalar(name, areas::heatmap_variance(tape, one)?));
        }
    }
    Ok(taught)
}

/// `ce CE + feature L_DA` of the student's and the teacher's map, covered by `mask` where there are areas.
fn on_maps(
    tape: &mut Tape,
    lesson: &Lesson<'_>,
    values: &Hyperparameters,
    [mut student, mut teacher]: [ValueId; 2],
    mask: Option<ValueId>,
) -> Result<Taught> {
    let cross_entropy = lesson.cross_entropy(tape)?;
    if let Some(mask) = mask {
        student = tape.multiply(student, mask)?;
        teacher = tape.multiply(teacher, mask)?;
    }
    let difference = mean_square(tape, student, teacher)?;
    let (role, weight) = (lesson.teacher()?.role.as_str(), values.number("feature_weight"));
    let parts = [("cross_entropy", values.number("ce_weight"), cross_entropy), (role, weight, difference)];
    let (mentors, details) = (vec![MentorUse::constant(role, weight, None)], vec![("loss/areas", difference)]);
    Ok(Taught { mentors, details, ..Taught::sum(tape, parts)? })
}
