//! The method that SoKD is a plug-in of. It records the loss that it always records, in a lesson whose teacher has augmented
//! features, and where areas are told, in which the maps of student and teacher are covered outside of them.
//!
//! Of the teacher every map that the method reads is augmented with the same sub-policy, with noise and an order of channels
//! of its own. A pooled vector is the mean of the augmented map that the classifier averages, and where the method reads no
//! features but logits, these are what the classifier makes of it. Vectors and logits are not covered: the areas act on them
//! through the heads' loss alone.

use crate::distill::adapters::map_of;
use crate::distill::{Classroom, Hyperparameters, Lesson, MethodDescription, Pupil, Taps, Taught, features, find};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// What augments a feature of the teacher, given its name and itself.
pub(super) type Augment<'a> = dyn FnMut(&mut Tape, &mut Lesson<'_>, &str, ValueId) -> Result<ValueId> + 'a;

/// A base with its hyperparameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base<'a> {
    description: &'static MethodDescription,
    values: &'a Hyperparameters,
}

impl<'a> Base<'a> {
    /// The method that `values` names as the base; none where that is SoKD's own loss.
    pub(super) fn of(values: &'a Hyperparameters) -> Option<Self> {
        let values_of_base = values.of_method("base")?;
        find(values.choice("base")).map(|description| Self { description, values: values_of_base })
    }
}

/// Adds to `taps` what the base reads, and what pooled vectors and logits are made of.
pub(super) fn taps(base: Base<'_>, classroom: &Classroom<'_>, taps: &mut Taps) -> Result<()> {
    let own = (base.description.taps)(classroom, base.values)?;
    taps.student.extend(own.student);
    taps.mentors.resize(own.mentors.len().max(1), Vec::new());
    for (all, own) in taps.mentors.iter_mut().zip(&own.mentors) {
        all.extend(own.iter().cloned());
    }
    let (role, teacher) = classroom.mentors[0];
    let read = own.mentors.first().map_or(&[][..], |read| &read[..]);
    let pooled = features::pooled(teacher).ok();
    if !base.description.needs.features || read.iter().any(|name| Some(name) == pooled.as_ref()) {
        taps.mentors[0].push(features::classified(teacher).map_err(|error| error.within(role))?.0);
    }
    Ok(())
}

/// Whether a feature is a map, not a pooled vector.
fn is_map(tape: &Tape, feature: ValueId) -> bool {
    map_of(tape, feature)[..2] != [1, 1]
}

/// The loss of the base in a lesson with augmented features, and with maps multiplied by `mask` `[B, h, w, 1]`.
pub(super) fn record(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    base: Base<'_>,
    mask: Option<ValueId>,
    augment: &mut Augment<'_>,
) -> Result<Taught> {
    let mut teacher = lesson.teacher()?.clone();
    let whole = teacher.clone();
    if let Some(read) = read(base, lesson)? {
        // Others may have asked for more; what is drawn here must not depend on them.
        teacher.features.retain(|(name, _)| read.contains(name));
    }
    let mut pooled = None;
    if !base.description.needs.features || teacher.features.iter().any(|(_, feature)| !is_map(tape, *feature)) {
        let map = whole.classified(tape)?;
        let map = augment(tape, lesson, "classified", map)?;
        pooled = Some(tape.adaptive_avg_pool(map, 1, 1)?);
    }
    for (name, feature) in &mut teacher.features {
        *feature = match pooled {
            Some(pooled) if !is_map(tape, *feature) => {
                let shape = tape.shape(*feature);
                tape.view(pooled, shape)?
            }
            _ => {
                let map = tape.cast(*feature, tape.float())?;
                augment(tape, lesson, name, map)?
            }
        };
    }
    if let (Some(pooled), false) = (pooled, base.description.needs.features) {
        let (weight, bias) = lesson.head(tape, 0)?;
        let shape = tape.shape(pooled);
        let logits = tape.linear(pooled, weight, bias)?;
        let classes = tape.shape(logits).channels();
        teacher.logits = tape.view(logits, [shape[0], classes])?;
    }
    let mut student = lesson.student.clone();
    if let Some(mask) = mask {
        for pupil in [&mut student, &mut teacher] {
            cover(tape, pupil, mask)?;
        }
    }
    let mut mentors = lesson.mentors.clone();
    mentors[0] = teacher;
    let mut inner = Lesson {
        student,
        labels: lesson.labels,
        mentors,
        teachers: lesson.teachers,
        assistants: lesson.assistants,
        label_smoothing: lesson.label_smoothing,
        phase: 0,
        batch: lesson.batch.clone(),
        layout: &mut *lesson.layout,
        equipment: &mut *lesson.equipment,
    };
    (base.description.record)(tape, &mut inner, base.values)
}

/// The teacher's features that the base reads; none in a parity case, which holds just these.
fn read(base: Base<'_>, lesson: &Lesson<'_>) -> Result<Option<Vec<String>>> {
    let Some(student) = &lesson.student.model else { return Ok(None) };
    let mut mentors = Vec::new();
    for mentor in &lesson.mentors {
        mentors.push((mentor.role.as_str(), &mentor.model()?.network));
    }
    let (teachers, assistants) = (lesson.teachers, lesson.assistants);
    let classroom = Classroom { student: &student.network, mentors, teachers, assistants };
    let taps = (base.description.taps)(&classroom, base.values)?;
    Ok(Some(taps.mentors.into_iter().next().unwrap_or_default()))
}

/// Multiplies all maps of `pupil` by the mask, brought to their sizes.
fn cover(tape: &mut Tape, pupil: &mut Pupil, mask: ValueId) -> Result<()> {
    for (_, feature) in &mut pupil.features {
        if !is_map(tape, *feature) {
            continue;
        }
        let map = tape.cast(*feature, tape.float())?;
        let (shape, own) = (tape.shape(map), tape.shape(mask));
        let fits = (own[1], own[2]) == (shape[1], shape[2]);
        let mask = if fits { mask } else { tape.resize_nearest(mask, shape[1], shape[2])? };
        *feature = tape.multiply(map, mask)?;
    }
    Ok(())
}
