//! Distillation from a stronger teacher: the student keeps the teacher's relations, not its probabilities: within each
//! image those of the classes, and within each class those of the images, measured by correlation.
//!
//! `loss = ce_weight CE(z_S, y) + T^2 (beta inter + gamma intra)`, with P = softmax(z / T) `[B, C]` and Pearson's r:
//! `inter = 1 - mean over images of r(row of P_S, row of P_t)`, `intra = 1 - mean over classes of r(column, column)`
//! (Huang et al., equations 6 to 10). `r = <a, b> / (|a| |b| + 1e-8)` of a and b less their means.
//!
//! The authors write `2 (beta inter + gamma intra)` with beta = gamma = 1; the two is in the defaults here.

use super::{Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Taught, Use};
use crate::error::Result;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are the authors' for CIFAR-100; for ImageNet they take T = 1.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "dist",
    title: "the student keeps the teacher's relations between classes and between images",
    paper: "Huang, You, Wang, Qian, Xu: Knowledge Distillation from A Stronger Teacher, NeurIPS 2022, arXiv 2205.10536",
    needs: Needs { teachers: Use::Required, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 4.0, "divides the logits of student and teacher"),
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("beta", 2.0, "weight of the relations between the classes of an image"),
        Hyperparameter::weight("gamma", 2.0, "weight of the relations between the images of a class"),
    ],
    contradiction: |values| values.idle(&["ce_weight", "beta", "gamma"]),
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson; of several teachers the first is the teacher.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let teacher = lesson.teacher()?;
    let temperature = values.number("temperature");
    let square = temperature * temperature;
    let cross_entropy = lesson.cross_entropy(tape)?;
    let student = tape.softmax(lesson.student.logits, temperature)?; // [B, C]
    let mentor = tape.softmax(teacher.logits, temperature)?;
    let inter = correlation_distance(tape, student, mentor, 1)?;
    let intra = correlation_distance(tape, student, mentor, 0)?;
    let parts = [
        ("cross_entropy", values.number("ce_weight"), cross_entropy),
        ("between_classes", square * values.number("beta"), inter),
        ("between_images", square * values.number("gamma"), intra),
    ];
    let mentors = vec![MentorUse::constant(&teacher.role, 1.0, Some(temperature))];
    Ok(Taught { mentors, ..Taught::sum(tape, parts)? })
}

/// Squares of norms below this are no longer told from zero: their root has no slope, as the norm of nothing has none.
const NOTHING: f64 = 1e-30;

/// One minus the mean of Pearson's r along `axis`, a scalar.
fn correlation_distance(tape: &mut Tape, student: ValueId, mentor: ValueId, axis: usize) -> Result<ValueId> {
    let mut centred = |x: ValueId| {
        let mean = tape.mean(x, &[axis])?;
        let x = tape.subtract(x, mean)?;
        let square = tape.square(x)?;
        let sum = tape.sum(square, &[axis])?;
        let sum = tape.at_least(sum, NOTHING)?;
        Ok::<_, crate::error::Error>((x, tape.sqrt(sum)?))
    };
    let ((a, norm_a), (b, norm_b)) = (centred(student)?, centred(mentor)?);
    let product = tape.multiply(a, b)?;
    let covariance = tape.sum(product, &[axis])?;
    let norms = tape.multiply(norm_a, norm_b)?;
    let norms = tape.affine(norms, 1.0, 1e-8)?;
    let correlation = tape.divide(covariance, norms)?;
    let mean = tape.average(correlation)?;
    tape.affine(mean, -1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let small = Small { mentors: &[("teacher", &[])], ..Small::default() };
        for hyperparameters in
            ["{}", r#"{"temperature": 1, "beta": 0, "gamma": 3}"#, r#"{"ce_weight": 0, "beta": 1, "gamma": 0}"#]
        {
            check_method("dist", hyperparameters, &small);
        }
    }
}
