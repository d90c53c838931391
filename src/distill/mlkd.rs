//! Multi-level logit distillation: of an ordinary and a strongly augmented view of every image the student matches the
//! teacher's probabilities at several temperatures, and of the ordinary one also what they say of the classes' and the
//! images' likeness.
//!
//! With P = softmax(z / T) `[B, C]` and T from {temperature, 3, 5, 2, 6}, as the authors' code computes it:
//! `loss = ce_weight (CE(weak) + CE(strong)) + kd_weight (kd + cc + bc)`,
//! `kd = sum_T m T^2 KL_T(weak) + sum_{temperature, 3, 5} T^2 KL_T(strong) + sum_{2, 6} T^2 KL_T(weak)`,
//! `cc = sum_T n |P_t' P_t - P_S' P_S|^2 / C`, `bc = sum_T m |P_t P_t' - P_S P_S'|^2 / B` (both of the weak view).
//!
//! m tells which images the teacher is less sure of than of the median image, n of which classes it sees less than of the
//! median class. In the code they multiply sums that are taken already, so that they are but factors of about a half
//! (`masks = "fraction"`); with `"sample"` they choose images and classes, as their place suggests.

use super::logits::{added, divergences};
use super::{Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Taught, Use};
use crate::error::Result;
use crate::ops::matmul::Transposed;
use crate::ops::strong_view::RandAugment;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are the authors' for CIFAR-100, but for the recipe: they train at the
/// learning rate 0.025, for up to 960 epochs.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "mlkd",
    title: "the student matches two views of every image at several temperatures, and classes and images in their likeness",
    paper: "Jin, Wang, Lin: Multi-Level Logit Distillation, CVPR 2023",
    needs: Needs { teachers: Use::Required, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 4.0, "the first temperature; the others are 3, 5, 2 and 6"),
        Hyperparameter::weight("ce_weight", 0.1, "weight of the cross-entropy with the labels, of each view"),
        Hyperparameter::weight("kd_weight", 0.9, "weight of all that comes from the teacher"),
        MASKS,
        OPERATIONS,
    ],
    contradiction: |values| values.idle(&["ce_weight", "kd_weight"]),
    record: |tape, lesson, values| levels(tape, lesson, values, |_, logits| Ok(logits)),
    ..MethodDescription::BASE
};

/// What the masks do.
pub(super) const MASKS: Hyperparameter = Hyperparameter::choice(
    "masks",
    &["fraction", "sample"],
    "masks weigh by the share that they select, as in the authors' code, or select images and classes",
);

/// How strong the strong view is.
pub(super) const OPERATIONS: Hyperparameter =
    Hyperparameter::count("operations", 2, [0, 14], "random distortions of the strong view");

/// The features that a parity case has in the place of a second view: its logits.
const GIVEN: &str = "strong_logits";

/// Student's and teacher's logits `[B, C]` of one view.
struct View {
    student: ValueId,
    mentor: ValueId,
}

/// Records the loss of a lesson; of several teachers the first is the teacher. The divergences compare what `turned` makes
/// of logits.
pub(super) fn levels(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    values: &Hyperparameters,
    turned: impl Fn(&mut Tape, ValueId) -> Result<ValueId>,
) -> Result<Taught> {
    let role = lesson.teacher()?.role.clone();
    let weak = View { student: lesson.student.logits, mentor: lesson.teacher()?.logits };
    let strong = strong_view(tape, lesson, values)?;
    let (temperature, kd_weight) = (values.number("temperature"), values.number("kd_weight"));
    let by_sample = values.choice("masks") == "sample";
    let (images, classes) = masks(tape, weak.mentor)?;

    let of_weak = lesson.cross_entropy(tape)?;
    let of_strong = tape.cross_entropy(strong.student, lesson.labels, lesson.label_smoothing)?;
    let both = tape.add(of_weak, of_strong)?;

    let standard = View { student: turned(tape, weak.student)?, mentor: turned(tape, weak.mentor)? };
    let strong = View { student: turned(tape, strong.student)?, mentor: turned(tape, strong.mentor)? };
    let (mut uncertain, mut kd, mut cc, mut bc) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, temperature) in [temperature, 3.0, 5.0, 2.0, 6.0].into_iter().enumerate() {
        let rows = divergences(tape, standard.student, standard.mentor, temperature)?; // [B, 1]
        uncertain.push(rows);
        let again = if index < 3 { divergences(tape, strong.student, strong.mentor, temperature)? } else { rows };
        kd.push(again);
        let student = tape.softmax(weak.student, temperature)?;
        let mentor = tape.softmax(weak.mentor, temperature)?;
        let rows = gram_difference(tape, student, mentor, Transposed { a: true, b: false })?; // [C, 1]
        cc.push(rows);
        let rows = gram_difference(tape, student, mentor, Transposed { a: false, b: true })?; // [B, 1]
        bc.push(rows);
    }
    let uncertain = masked(tape, &uncertain, images, by_sample)?;
    let kd = added(tape, &kd)?;
    let kd = tape.average(kd)?;
    let kd = tape.add(uncertain, kd)?;
    let cc = masked(tape, &cc, classes, by_sample)?;
    let bc = masked(tape, &bc, images, by_sample)?;
    let parts = [
        ("cross_entropy", values.number("ce_weight"), both),
        (&role, kd_weight, kd),
        ("classes", kd_weight, cc),
        ("images", kd_weight, bc),
    ];
    let mentors = vec![MentorUse::constant(&role, kd_weight, Some(temperature))];
    Ok(Taught { mentors, ..Taught::sum(tape, parts)? })
}

/// The logits of a second, strongly augmented view of the batch.
fn strong_view(tape: &mut Tape, lesson: &Lesson<'_>, values: &Hyperparameters) -> Result<View> {
    let Ok(batch) = lesson.batch() else {
        let mut given = |pupil: &super::Pupil| {
            let logits = pupil.feature(tape, GIVEN)?;
            let shape = tape.shape(pupil.logits);
            tape.view(logits, shape)
        };
        return Ok(View { student: given(&lesson.student)?, mentor: given(lesson.teacher()?)? });
    };
    let operations = values.whole("operations");
    let (mean, std) = &batch.normalisation;
    let view =
        tape.strong_view(&batch.source, mean, std, batch.augmentation, RandAugment { operations }, batch.seed)?;
    let student = lesson.student_again(tape, view, &[])?.logits;
    let mentor = lesson.mentor_again(tape, 0, view, &[])?.logits;
    Ok(View { student, mentor })
}

/// 1 for the images `[B, 1]` of which the teacher is at most as sure as of the median one, and for the classes `[C, 1]` that
/// it sees at most as much of as of the median one; else 0.
fn masks(tape: &mut Tape, mentor: ValueId) -> Result<(ValueId, ValueId)> {
    let p = tape.softmax(mentor, 1.0)?; // [B, C]
    let certainty = tape.max(p, 1)?;
    let threshold = tape.median(certainty, 0)?;
    let images = tape.less_or_equal(certainty, threshold)?;
    let mass = tape.sum(p, &[0])?;
    let threshold = tape.median(mass, 1)?;
    let classes = tape.less_or_equal(mass, threshold)?;
    let count = tape.shape(classes).count();
    Ok((images, tape.view(classes, [count, 1])?))
}

/// By how much the products of probabilities among themselves differ between student and teacher: squares summed over every
/// row, `[C, 1]` or `[B, 1]`.
fn gram_difference(tape: &mut Tape, student: ValueId, mentor: ValueId, transposed: Transposed) -> Result<ValueId> {
    let student = tape.matmul(student, student, transposed)?;
    let mentor = tape.matmul(mentor, mentor, transposed)?;
    let difference = tape.subtract(mentor, student)?;
    let square = tape.square(difference)?;
    tape.sum(square, &[1])
}

/// The mean of the elements of a sum that `mask` selects, zeros in the place of others (`by_sample`); or the mean of all times
/// the share that it selects.
fn masked(tape: &mut Tape, summands: &[ValueId], mask: ValueId, by_sample: bool) -> Result<ValueId> {
    let sum = added(tape, summands)?;
    if by_sample {
        let selected = tape.multiply(sum, mask)?;
        return tape.average(selected);
    }
    let (mean, share) = (tape.average(sum)?, tape.average(mask)?);
    tape.multiply(mean, share)
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let strong: &[(&str, [usize; 3])] = &[("strong_logits", [1, 1, 4])];
        let small = Small { student: strong, mentors: &[("teacher", strong)], ..Small::default() };
        check_method("mlkd", "{}", &small);
        check_method("mlkd", r#"{"masks": "sample", "temperature": 2.5, "ce_weight": 0.4, "kd_weight": 2}"#, &small);
    }
}
