//! What the losses on features of a teacher have in common.

use super::adapters::map_of;
use super::{Hyperparameter, Hyperparameters, Kind, Lesson, MentorUse, Taught, Term};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// The weight of the cross-entropy, 1 where nothing is written.
pub const CE_WEIGHT: Hyperparameter = weight("ce_weight", 1.0, "weight of the cross-entropy with the labels");

/// A weight of a loss.
pub const fn weight(name: &'static str, default: f64, documentation: &'static str) -> Hyperparameter {
    Hyperparameter { name, kind: Kind::Number { default, minimum: 0.0, inclusive: true }, documentation }
}

/// Refuses `ce_weight` and `feature_weight` that are both 0.
pub fn idle(values: &Hyperparameters) -> Option<(&'static str, String)> {
    let idle = values.number("ce_weight") == 0.0 && values.number("feature_weight") == 0.0;
    idle.then(|| ("feature_weight", "with ce_weight = 0 as well there is no loss to learn from".to_string()))
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
    let of_labels = [("cross_entropy", values.number("ce_weight"), cross_entropy)];
    let all = of_labels.iter().chain(terms);
    let scaled: Vec<(&str, ValueId)> = all
        .map(|(name, weight, value)| (*name, if *weight == 1.0 { *value } else { tape.scale(*value, *weight) }))
        .collect();
    let parts: Vec<(f64, ValueId)> = scaled.iter().map(|(_, value)| (1.0, *value)).collect();
    let loss = tape.weighted_sum(&parts)?;
    Ok(Taught::new(loss, scaled.into_iter().map(|(name, value)| Term::scalar(name, value)).collect()))
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

/// `x` divided by its length along `axis`, which counts as 1e-12 where it is less, as `torch.nn.functional.normalize` has it.
///
/// # Errors
/// If there is no such axis.
pub fn normalised(tape: &mut Tape, x: ValueId, axis: usize) -> Result<ValueId> {
    let square = tape.square(x)?;
    let sum = tape.sum(square, &[axis])?;
    let sum = tape.at_least(sum, 1e-24)?;
    let length = tape.sqrt(sum)?;
    tape.divide(x, length)
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
