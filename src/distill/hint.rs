//! What the losses on features of a teacher have in common.

use super::adapters::map_of;
use super::{Hyperparameters, Lesson, MentorUse, Taught};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// Refuses `ce_weight` and `feature_weight` that are both 0.
pub fn idle(values: &Hyperparameters) -> Option<(&'static str, String)> {
    values.idle(&["ce_weight", "feature_weight"])
}

/// `ce_weight CE(z_S, y)` plus `feature_weight` times `loss`, which comes from the first teacher.
///
/// # Errors
/// If the loss is no scalar.
pub fn taught(tape: &mut Tape, lesson: &Lesson<'_>, values: &Hyperparameters, loss: ValueId) -> Result<Taught> {
    let role = lesson.teacher()?.role.clone();
    let weight = values.number("feature_weight");
    let made = sum(tape, lesson, values, &[(&role, weight, loss)])?;
    Ok(Taught { mentors: vec![MentorUse::constant(role, weight, None)], ..made })
}

/// `ce_weight CE(z_S, y)` plus further `terms`: name, weight, a scalar.
///
/// # Errors
/// If a term is no scalar.
pub fn sum(
    tape: &mut Tape,
    lesson: &Lesson<'_>,
    values: &Hyperparameters,
    terms: &[(&str, f64, ValueId)],
) -> Result<Taught> {
    let cross_entropy = lesson.cross_entropy(tape)?;
    let of_labels = ("cross_entropy", values.number("ce_weight"), cross_entropy);
    Taught::sum(tape, std::iter::once(of_labels).chain(terms.iter().copied()))
}

/// The mean of the squared differences of all elements, a scalar.
///
/// # Errors
/// If the shapes do not fit.
pub fn mean_square(tape: &mut Tape, a: ValueId, b: ValueId) -> Result<ValueId> {
    let difference = tape.subtract(a, b)?;
    let square = tape.square(difference)?;
    tape.average(square)
}

/// The Euclidean norm of `x` along `axis`, which stays with extent 1; no less than 1e-12, since the root has no gradient at 0.
///
/// # Errors
/// If there is no such axis.
pub fn norm(tape: &mut Tape, x: ValueId, axis: usize) -> Result<ValueId> {
    let square = tape.square(x)?;
    let sum = tape.sum(square, &[axis])?;
    let sum = tape.at_least(sum, 1e-24)?;
    tape.sqrt(sum)
}

/// `x` divided by its [`norm`] along `axis`, as `torch.nn.functional.normalize` has it.
///
/// # Errors
/// If there is no such axis.
pub fn normalised(tape: &mut Tape, x: ValueId, axis: usize) -> Result<ValueId> {
    let norm = norm(tape, x, axis)?;
    tape.divide(x, norm)
}

/// The maps of student and first teacher stage by stage, [`matched`] in size.
///
/// # Errors
/// If one of the two has none.
pub fn stages(tape: &mut Tape, lesson: &Lesson<'_>) -> Result<Vec<(ValueId, ValueId)>> {
    let (own, wanted) = (lesson.student.maps(tape)?, lesson.teacher()?.maps(tape)?);
    own.into_iter().zip(wanted).map(|(own, wanted)| matched(tape, own, wanted)).collect()
}

/// Two maps `[B, H, W, C]` of which the larger is averaged down to the height and width of the smaller.
///
/// # Errors
/// If they are no maps.
pub fn matched(tape: &mut Tape, student: ValueId, teacher: ValueId) -> Result<(ValueId, ValueId)> {
    let ([own, own_width, _], [wanted, width, _]) = (map_of(tape, student), map_of(tape, teacher));
    if own > wanted {
        Ok((tape.adaptive_avg_pool(student, wanted, width)?, teacher))
    } else if own < wanted {
        Ok((student, tape.adaptive_avg_pool(teacher, own, own_width)?))
    } else {
        Ok((student, teacher))
    }
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Mentors, Small, check_method};

    /// Of equal size, of half the size, and of five thirds of the size, which is no multiple.
    #[test]
    fn gradients_of_losses_stage_by_stage_are_those_of_differences() {
        let mentors: Mentors<'_> = &[("teacher", &[("f1", [4, 4, 2]), ("f2", [4, 4, 3]), ("f3", [3, 3, 2])])];
        let student = &[("f1", [4, 4, 3]), ("f2", [2, 2, 2]), ("f3", [5, 5, 2])];
        for method in ["at", "nst", "vid"] {
            check_method(method, "{}", &Small { student, mentors, ..Small::default() });
        }
    }
}
