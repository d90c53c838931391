//! Contrastive representation distillation: the student's embedding of an image is to be near the teacher's embedding of the
//! same image and far from its embeddings of images of other classes, and the other way round.
//!
//! Embeddings `v_S`, `v_T` are linear in the pooled features, of `dimension` numbers, and of length 1. Two memory banks hold
//! the embeddings of all N training images. For image b with the indices `i_0` (its positive) and `i_1, ..., i_K` (images
//! of other classes):
//! - `P_S[b, k] = exp(<v_S,b, M_T[i_k]> / tau) / Z_S` and `P_T[b, k] = exp(<v_T,b, M_S[i_k]> / tau) / Z_T`, where Z is the
//!   mean of the first batch's exponentials times N, and constant from there on;
//! - with `c = K / N`: `L(P) = -(1/B) sum_b (ln (P_b0 / (P_b0 + c + 1e-7)) + sum_k ln (c / (P_bk + c + 1e-7)))`;
//! - `loss = CE(z_S, y) + weight (L(P_S) + L(P_T))`.
//!
//! Banks are constants of a step; after it the rows of its images become
//! `normalise(bank_momentum M + (1 - bank_momentum) v)`. Source: equations 17 to 19 of the paper with its authors' code
//! (RepDistiller), which decides the constants.

use super::{
    Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Pupil, Taught, Use, Write, adapters,
    features, hint,
};
use crate::error::{Error, Result};
use crate::nn::Distribution;
use crate::ops::contrast::{ByClass, Positive};
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are RepDistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "crd",
    title: "embeddings of student and teacher agree on an image, against a memory bank of all images",
    paper: "Tian, Krishnan, Isola: Contrastive Representation Distillation, ICLR 2020, arXiv 1910.10699",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::weight("weight", 0.8, "weight of the contrast beside the cross-entropy"),
        Hyperparameter::count("dimension", 128, [1, 4096], "numbers of an embedding"),
        Hyperparameter::count(
            "negatives",
            16_384,
            [1, 1 << 20],
            "images of other classes that each image is contrasted with",
        ),
        Hyperparameter::positive("tau", 0.07, "temperature of the contrast"),
        Hyperparameter::share("bank_momentum", 0.5, "share of a bank's row that stays when its image was seen"),
        Hyperparameter::choice(
            "positive",
            &["exact", "relax"],
            "what an image is contrasted with as its like: itself, or any image of its class",
        ),
    ],
    taps: |classroom, _| {
        features::of_teacher(classroom, features::only(features::pooled), features::only(features::pooled))
    },
    record,
    ..MethodDescription::BASE
};

/// Smallest denominators: RepDistiller's `eps`.
const EPSILON: f64 = 1e-7;

/// One side's embedding, its bank, and the constant of its exponentials.
struct Side {
    embedding: ValueId,
    bank: ValueId,
    normaliser: ValueId,
}

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let teacher = lesson.teacher()?.clone();
    let student = lesson.student.clone();
    let cross_entropy = lesson.cross_entropy(tape)?;
    let (own, indices, images) = indices(tape, lesson, values)?;
    let of_student = side(tape, lesson, values, "student", &student, images)?;
    let of_teacher = side(tape, lesson, values, "teacher", &teacher, images)?;
    let mut losses = Vec::new();
    let mut writes = Vec::new();
    for (own_side, other) in [(&of_student, &of_teacher), (&of_teacher, &of_student)] {
        let bank = tape.detach(other.bank);
        let products = tape.bank_products(own_side.embedding, bank, indices)?;
        let sharpened = tape.scale(products, 1.0 / values.number("tau"));
        let exponentials = tape.exp(sharpened)?;
        let normaliser = first_or_known(tape, exponentials, own_side.normaliser, images)?;
        losses.push(side_loss(tape, exponentials, normaliser, images)?);
        writes.push(keep_scalar(tape, lesson, normaliser, own_side.normaliser)?);
        writes.push(moved(tape, own_side, own, values.number("bank_momentum"))?);
    }
    let contrast = tape.add(losses[0], losses[1])?;
    let weight = values.number("weight");
    let parts = [("cross_entropy", 1.0, cross_entropy), (&teacher.role, weight, contrast)];
    let mentors = vec![MentorUse::constant(&teacher.role, weight, Some(values.number("tau")))];
    Ok(Taught { mentors, writes, ..Taught::sum(tape, parts)? })
}

/// Which images these are, which ones they are contrasted with, and how many there are in all.
fn indices(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<(ValueId, ValueId, usize)> {
    if let (Some(own), Some(contrast), Some(labels)) =
        (lesson.given("indices"), lesson.given("contrast"), lesson.given("labels"))
    {
        // A parity case says which images there are.
        return Ok((own, contrast, tape.shape(labels).count()));
    }
    let batch = lesson.batch()?.clone();
    let classes = tape.shape(lesson.student.logits).channels();
    let (order, starts) = by_class(&batch.all_labels, classes);
    if starts.windows(2).any(|pair| (pair[1] - pair[0]) as usize == order.len()) {
        return Err(Error::request("method crd needs training images of at least two classes"));
    }
    let count = order.len();
    let images =
        ByClass { order: lesson.table(tape, "by_class", order), starts: lesson.table(tape, "classes", starts) };
    let positive = if values.choice("positive") == "relax" { Positive::Relaxed } else { Positive::Exact };
    let (own, negatives) = (batch.source.indices, values.whole("negatives"));
    let indices = tape.contrast_indices(own, lesson.labels, images, negatives, positive)?;
    Ok((own, indices, count))
}

/// Images listed by their class, and where each class begins.
fn by_class(labels: &[u32], classes: usize) -> (Vec<u32>, Vec<u32>) {
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    order.sort_by_key(|image| labels[*image as usize]);
    let mut starts = vec![0u32; classes + 1];
    labels.iter().for_each(|label| starts[*label as usize + 1] += 1);
    (1..starts.len()).for_each(|class| starts[class] += starts[class - 1]);
    (order, starts)
}

/// The embedding of a pooled feature, with its bank.
fn side(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    values: &Hyperparameters,
    name: &str,
    pupil: &Pupil,
    images: usize,
) -> Result<Side> {
    let dimension = values.whole("dimension");
    let pooled = pupil.pooled(tape)?; // [B, D]
    let network = adapters::embedding(tape.shape(pooled)[1], dimension)?;
    let projected = lesson.adapted(tape, &format!("embed_{name}"), &network, pooled)?;
    let embedding = hint::normalised(tape, projected, 1)?;
    let float = tape.float();
    let bound = 1.0 / (dimension as f64 / 3.0).sqrt();
    let init = Distribution::Uniform { bound };
    let bank = lesson.buffer(tape, &format!("bank_{name}"), float, [images, dimension], init);
    let zero = Distribution::Constant { value: 0.0 };
    let normaliser = lesson.buffer(tape, &format!("normaliser_{name}"), float, [1, 1], zero);
    Ok(Side { embedding, bank, normaliser })
}

/// The normaliser that is known (not 0), or else this batch's: the mean of its exponentials times the images. A constant.
fn first_or_known(tape: &mut Tape, exponentials: ValueId, known: ValueId, images: usize) -> Result<ValueId> {
    let constant = tape.detach(exponentials);
    let mean = tape.average(constant)?;
    let own = tape.scale(mean, images as f64);
    let is_known = tape.above(known, 0.0)?;
    let unknown = tape.affine(is_known, -1.0, 1.0)?;
    let own = tape.multiply(unknown, own)?;
    let normaliser = tape.add(known, own)?; // [1, 1]
    Ok(tape.detach(normaliser))
}

/// `L(P)` of the exponentials `[B, 1 + K]`.
fn side_loss(tape: &mut Tape, exponentials: ValueId, normaliser: ValueId, images: usize) -> Result<ValueId> {
    let shape = tape.shape(exponentials);
    let (batch, negatives) = (shape[0], shape[1] - 1);
    let constant = negatives as f64 / images as f64;
    let shares = tape.divide(exponentials, normaliser)?;
    let parts = tape.split(shares, &[1, negatives])?;
    let logarithm = |tape: &mut Tape, numerator: Option<ValueId>, share: ValueId| {
        let below = tape.affine(share, 1.0, constant + EPSILON)?;
        let below = tape.log(below)?;
        match numerator {
            Some(share) => {
                let above = tape.log(share)?;
                tape.subtract(above, below)
            }
            None => tape.affine(below, -1.0, constant.ln()),
        }
    };
    let positive = logarithm(tape, Some(parts[0]), parts[0])?;
    let negative = logarithm(tape, None, parts[1])?;
    let sums = [tape.total(positive)?, tape.total(negative)?];
    tape.weighted_sum(&[(-1.0 / batch as f64, sums[0]), (-1.0 / batch as f64, sums[1])])
}

/// A normaliser is kept for the steps to come.
fn keep_scalar(tape: &mut Tape, lesson: &mut Lesson<'_>, value: ValueId, kept: ValueId) -> Result<Write> {
    let first = lesson.table(tape, "first_row", vec![0]);
    Ok(Write { indices: first, rows: value, table: kept })
}

/// The rows of the batch's images in a bank, moved towards their embeddings.
fn moved(tape: &mut Tape, side: &Side, own: ValueId, momentum: f64) -> Result<Write> {
    let before = tape.gather_rows(side.bank, own)?;
    let embedding = tape.detach(side.embedding);
    let (before, embedding) = (tape.scale(before, momentum), tape.scale(embedding, 1.0 - momentum));
    let sum = tape.add(before, embedding)?;
    Ok(Write { indices: own, rows: hint::normalised(tape, sum, 1)?, table: side.bank })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::check::{Mentors, Small, check_method};

    #[test]
    fn gradients_reach_both_embeddings() {
        let pooled = |width| [("f1", [1, 1, width])];
        let (student, teacher) = (pooled(6), pooled(7));
        let mentors: Mentors<'_> = &[("teacher", &teacher)];
        // Integers of a check lie below the classes: images 0 to 3 of 20.
        let given: &[(&str, &[usize])] = &[("indices", &[5]), ("contrast", &[5, 9]), ("labels", &[20])];
        let small = Small { student: &student, mentors, given, ..Small::default() };
        check_method("crd", r#"{"dimension": 8, "tau": 0.5}"#, &small);
    }

    #[test]
    fn images_are_listed_by_class() {
        assert_eq!(by_class(&[2, 0, 2, 1, 0], 4), (vec![1, 4, 3, 0, 2], vec![0, 2, 3, 5, 5]));
    }
}
