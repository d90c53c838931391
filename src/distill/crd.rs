//! Contrastive representation distillation: the student's embedding of an image is to be near the teacher's embedding of the
//! same image and far from its embeddings of images of other classes, and the other way round.
//!
//! Embeddings `v_S`, `v_T` are linear in the pooled features, of `dimension` numbers, and of length 1. Two memory banks hold
//! the embeddings of the N images that are learned from; their rows are the images' indices in the training data, and
//! rows of images that are held out for validation are never read. For image b with the indices `i_0` (its positive) and
//! `i_1, ..., i_K` (images of other classes):
//! - `P_S[b, k] = exp(<v_S,b, M_T[i_k]> / tau) / Z_S` and `P_T[b, k] = exp(<v_T,b, M_S[i_k]> / tau) / Z_T`, where Z is the
//!   mean of the first batch's exponentials times N, and constant from there on;
//! - with `c = K / N`: `L(P) = -(1/B) sum_b (ln (P_b0 / (P_b0 + c + 1e-7)) + sum_k ln (c / (P_bk + c + 1e-7)))`;
//! - `loss = CE(z_S, y) + weight (L(P_S) + L(P_T))`.
//!
//! Banks are constants of a step; after it the rows of its images become
//! `normalise(bank_momentum M + (1 - bank_momentum) v)`. Source: equations 17 to 19 of the paper with its authors' code
//! (RepDistiller), which decides the constants. Here all of it is computed by logarithms, which no tau makes overflow:
//! with `x = ln P - ln (c + 1e-7)` the two logarithms are `x - ln (1 + e^x)` and `ln c - ln (c + 1e-7) - ln (1 + e^x)`.

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

/// One side's embedding, its bank, and the logarithm of the constant of its exponentials.
struct Side {
    embedding: ValueId,
    bank: ValueId,
    log_normaliser: ValueId,
}

/// What a batch is contrasted with.
struct Contrast {
    /// Which images the batch has, u32 `[B]`.
    own: ValueId,
    /// The positive of each and its negatives, u32 `[B, 1 + K]`.
    indices: ValueId,
    /// Rows of a bank.
    rows: usize,
    /// Images that are learned from.
    images: usize,
}

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let teacher = lesson.teacher()?.clone();
    let student = lesson.student.clone();
    let cross_entropy = lesson.cross_entropy(tape)?;
    let Contrast { own, indices, rows, images } = contrast(tape, lesson, values)?;
    let of_student = side(tape, lesson, values, "student", &student, rows)?;
    let of_teacher = side(tape, lesson, values, "teacher", &teacher, rows)?;
    let mut losses = Vec::new();
    let mut writes = Vec::new();
    for (own_side, other) in [(&of_student, &of_teacher), (&of_teacher, &of_student)] {
        let bank = tape.detach(other.bank);
        let products = tape.bank_products(own_side.embedding, bank, indices)?;
        let sharpened = tape.scale(products, 1.0 / values.number("tau"));
        let log_normaliser = first_or_known(tape, sharpened, own_side.log_normaliser, images)?;
        losses.push(side_loss(tape, sharpened, log_normaliser, images)?);
        writes.push(keep_scalar(tape, lesson, log_normaliser, own_side.log_normaliser)?);
        writes.push(moved(tape, own_side, own, values.number("bank_momentum"))?);
    }
    let contrast = tape.add(losses[0], losses[1])?;
    let weight = values.number("weight");
    let parts = [("cross_entropy", 1.0, cross_entropy), (&teacher.role, weight, contrast)];
    let mentors = vec![MentorUse::constant(&teacher.role, weight, Some(values.number("tau")))];
    Ok(Taught { mentors, writes, ..Taught::sum(tape, parts)? })
}

/// Which images these are, and which ones they are contrasted with.
fn contrast(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Contrast> {
    if let (Some(own), Some(indices), Some(labels)) =
        (lesson.given("indices"), lesson.given("contrast"), lesson.given("labels"))
    {
        // A parity case says which images there are.
        let images = tape.shape(labels).count();
        return Ok(Contrast { own, indices, rows: images, images });
    }
    let batch = lesson.batch()?.clone();
    let classes = tape.shape(lesson.student.logits).channels();
    let (order, starts) = by_class(&batch.all_labels, &batch.learned, classes);
    if starts.windows(2).any(|pair| (pair[1] - pair[0]) as usize == order.len()) {
        return Err(Error::request("method crd needs training images of at least two classes"));
    }
    let (rows, images) = (batch.all_labels.len(), order.len());
    let listed =
        ByClass { order: lesson.table(tape, "by_class", order), starts: lesson.table(tape, "classes", starts) };
    let positive = if values.choice("positive") == "relax" { Positive::Relaxed } else { Positive::Exact };
    let (own, negatives) = (batch.source.indices, values.whole("negatives"));
    let indices = tape.contrast_indices(own, lesson.labels, listed, negatives, positive)?;
    Ok(Contrast { own, indices, rows, images })
}

/// The images that are learned from, listed by their class, and where each class begins.
fn by_class(labels: &[u32], learned: &[u32], classes: usize) -> (Vec<u32>, Vec<u32>) {
    let mut order = learned.to_vec();
    order.sort_by_key(|image| (labels[*image as usize], *image));
    let mut starts = vec![0u32; classes + 1];
    learned.iter().for_each(|image| starts[labels[*image as usize] as usize + 1] += 1);
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
    rows: usize,
) -> Result<Side> {
    let dimension = values.whole("dimension");
    let pooled = pupil.pooled(tape)?; // [B, D]
    let network = adapters::embedding(tape.shape(pooled)[1], dimension)?;
    let projected = lesson.adapted(tape, &format!("embed_{name}"), &network, pooled)?;
    let embedding = hint::normalised(tape, projected, 1)?;
    let float = tape.float();
    let bound = 1.0 / (dimension as f64 / 3.0).sqrt();
    let init = Distribution::Uniform { bound };
    let bank = lesson.buffer(tape, &format!("bank_{name}"), float, [rows, dimension], init);
    let zero = Distribution::Constant { value: 0.0 };
    let log_normaliser = lesson.buffer(tape, &format!("log_normaliser_{name}"), float, [1, 1], zero);
    Ok(Side { embedding, bank, log_normaliser })
}

/// `ln Z` that is known (not 0), or else this batch's: the logarithm of the mean of the exponentials of `logits` `[B, 1 + K]`
/// times the images. A constant `[1, 1]`.
fn first_or_known(tape: &mut Tape, logits: ValueId, known: ValueId, images: usize) -> Result<ValueId> {
    let constant = tape.detach(logits);
    let (batch, count) = (tape.shape(constant)[0], tape.shape(constant).count());
    let of_rows = log_sum_exp(tape, constant)?;
    let of_rows = tape.view(of_rows, [1, batch])?;
    let sum = log_sum_exp(tape, of_rows)?;
    let own = tape.affine(sum, 1.0, (images as f64 / count as f64).ln())?;
    let magnitude = tape.abs(known)?;
    let is_known = tape.above(magnitude, 0.0)?;
    let unknown = tape.affine(is_known, -1.0, 1.0)?;
    let own = tape.multiply(unknown, own)?;
    let log_normaliser = tape.add(known, own)?;
    Ok(tape.detach(log_normaliser))
}

/// `ln sum exp` of every row, `[B, 1]`.
fn log_sum_exp(tape: &mut Tape, x: ValueId) -> Result<ValueId> {
    let log_shares = tape.log_softmax(x, 1.0)?;
    let (first, log_share) = (tape.slice(x, 0, 1)?, tape.slice(log_shares, 0, 1)?);
    tape.subtract(first, log_share)
}

/// `L(P)`, given `ln P + ln Z` `[B, 1 + K]` and `ln Z`.
fn side_loss(tape: &mut Tape, logits: ValueId, log_normaliser: ValueId, images: usize) -> Result<ValueId> {
    let shape = tape.shape(logits);
    let (batch, negatives) = (shape[0] as f64, (shape[1] - 1) as f64);
    let constant = negatives / images as f64;
    let below = (constant + EPSILON).ln();
    let log_shares = tape.subtract(logits, log_normaliser)?;
    let x = tape.affine(log_shares, 1.0, -below)?;
    let softplus = tape.softplus(x)?;
    let positive = tape.slice(x, 0, 1)?;
    let sums = [tape.total(softplus)?, tape.total(positive)?];
    let varying = tape.weighted_sum(&[(1.0 / batch, sums[0]), (-1.0 / batch, sums[1])])?;
    tape.affine(varying, 1.0, -negatives * (constant.ln() - below))
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
    use std::path::Path;

    use super::*;
    use crate::bench::step::synthetic;
    use crate::config::Config;
    use crate::distill::check::{Mentors, Small, check_method};
    use crate::gpu::Processor;
    use crate::tape::{Arena, Plan, StateLayout};
    use crate::tensor::DType;
    use crate::train::records::Phase;
    use crate::train::run::Run;

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

    /// `L(P)` and its gradient at products of which `exp(. / tau)` is no float32, against logarithms by hand.
    #[test]
    fn the_smallest_temperatures_neither_overflow_nor_vanish() {
        let logits = [300.0, 290.0, -300.0, 250.0, 300.0, -40.0]; // two rows of a positive and two negatives
        let images = 12;
        let (mut layout, mut tape) = (StateLayout::new(), Tape::new(DType::F32));
        let ids = [2 * 3, 1].map(|count| layout.declare("x", DType::F32, [count]));
        let [x, known] = ids.map(|id| tape.state(&layout, id));
        let (x, known) = (tape.view(x, [2, 3]).unwrap(), tape.view(known, [1, 1]).unwrap());
        let log_normaliser = first_or_known(&mut tape, x, known, images).unwrap();
        let loss = side_loss(&mut tape, x, log_normaliser, images).unwrap();
        let one = tape.fill([], 1.0);
        let gradient = tape.backward(&[(loss, one)], &[x]).unwrap()[0].unwrap();
        [log_normaliser, loss, gradient].into_iter().for_each(|id| tape.keep(id));
        let plan = Plan::new(&tape, &layout);
        let mut state = layout.allocate();
        let mut arena = Arena::new(plan.bytes());
        // The first batch, whose own normaliser it is, and a later one.
        let of_batch = 300.0 + ((2.0 + (-10f64).exp() + (-50f64).exp()) * 12.0 / 6.0).ln();
        for (kept, log_z) in [(0.0, of_batch), (310.5, 310.5), (150.0, 150.0)] {
            state.set_f64(ids[0], &logits);
            state.set_f64(ids[1], &[kept]);
            plan.run(&mut arena, &mut state).unwrap();
            let [found_z, found, slopes] =
                [log_normaliser, loss, gradient].map(|id| plan.read_f64(&arena, &state, id).unwrap());
            let c = 2.0 / 12.0;
            let (mut expected, mut expected_slopes) = (0.0, Vec::new());
            for (index, logit) in logits.into_iter().enumerate() {
                let log_p: f64 = logit - log_z;
                let below = log_p.exp() + c + EPSILON;
                let above = if index % 3 == 0 { log_p } else { c.ln() };
                expected -= (above - below.ln()) / 2.0;
                let of_above = if index % 3 == 0 { 1.0 } else { 0.0 };
                expected_slopes.push((log_p.exp() / below - of_above) / 2.0);
            }
            // The logits are rounded to 24 bits: 3e-5 of 300, which is what the logarithms differ by.
            let near = |found: f64, expected: f64| (found - expected).abs() <= 3e-5 * (1.0 + expected.abs());
            assert!(near(found_z[0], log_z) && near(found[0], expected), "{found_z:?} {log_z} {found:?} {expected}");
            for (found, expected) in slopes.iter().zip(expected_slopes) {
                assert!(near(*found, expected), "{slopes:?} {expected}");
            }
        }
    }

    /// What the config holds out is no part of a list of images, from which positives and negatives are drawn; and all that
    /// is learned from is.
    #[test]
    fn images_held_out_are_never_drawn() {
        let classroom = "[classroom]\nstudent = \"resnet8\"\nteachers = [\"resnet8\"]\n\
                         [train]\nepochs = 1\nbatch_size = 8\n[[methods]]\nname = \"crd\"\ndimension = 4\n";
        for positive in ["exact", "relax"] {
            let text = format!("{classroom}negatives = 40\npositive = \"{positive}\"\n");
            let config = Config::parse("test", &text, "test", Path::new("/"), &Default::default()).unwrap();
            let mut material = synthetic([8, 8, 3], 5, 8);
            // Every image whose number is divisible by 3, and with it another share of each class.
            let (learn, held_out) = (0..60u32).partition::<Vec<u32>, _>(|image| image % 3 > 0);
            (material.learn, material.validation) = (learn.clone(), held_out);
            let labels = material.train.labels.clone();
            let run = Run::with_material(config, material, &Processor::Cpu).unwrap();
            let mut stage = run.rehearse(Phase::Distil).unwrap();
            let tables = stage.learners[0].equipment.tables.clone();
            let list = |name: &str| -> Vec<u32> {
                let layout = stage.state.layout();
                let own = tables.iter().find(|(id, _)| layout.entry(*id).name.ends_with(name)).unwrap();
                own.1.iter().map(|x| *x as u32).collect()
            };
            let (mut order, starts) = (list("/by_class"), list("/classes"));
            for class in 0..5u32 {
                let [from, to] = [class, class + 1].map(|class| starts[class as usize] as usize);
                assert!(order[from..to].iter().all(|image| labels[*image as usize] == class), "{order:?} {starts:?}");
            }
            order.sort_unstable();
            assert_eq!(order, learn, "{positive}");
            // The constant of the first batch: N times a mean of exponentials of which each is at most exp(1 / tau).
            stage.step(0, 0).unwrap();
            stage.look().unwrap();
            let pieces = &stage.learners[0].equipment.pieces;
            let known = pieces.iter().find(|piece| piece.name == "log_normaliser_student").unwrap();
            let bound = 1.0 / 0.07 + (learn.len() as f64).ln();
            let kept = stage.state.to_f64(known.value)[0];
            assert!(kept > -bound && kept <= bound && kept != 0.0, "{kept}");
        }
    }

    #[test]
    fn images_are_listed_by_class() {
        let labels = [2, 0, 2, 1, 0];
        assert_eq!(by_class(&labels, &[0, 1, 2, 3, 4], 4), (vec![1, 4, 3, 0, 2], vec![0, 2, 3, 5, 5]));
        assert_eq!(by_class(&labels, &[4, 2, 3], 4), (vec![4, 3, 2], vec![0, 1, 2, 3, 3]));
    }
}
