//! Confidence-aware multi-teacher distillation: of several teachers the student listens, image by image, most to those that
//! know the label.
//!
//! With K teachers, means over the batch:
//! - `w_k = (1 - softmax over k of CE(z_k, y)) / (K - 1)`, constants that add up to 1 for each image;
//! - `L_KD = 1/K sum_k w_k T^2 KL(softmax(z_k / T) || softmax(z_S / T))`;
//! - `e_k` is the student's last map in the shape of teacher k's, behind a 1x1 convolution with BatchNorm and ReLU that is
//!   trained with the student; `v_k` is as `w_k`, of the logits that teacher k's classifier gives `e_k`, and gradients flow
//!   through it;
//! - `L_F = 1/K sum_k v_k |e_k - f_k|^2 / (H W C)`, from epoch `feature_start` on;
//! - `loss = ce_weight CE(z_S, y) + kd_weight L_KD + feature_weight L_F`.
//!
//! So do the authors' code and its defaults have it. Where a teacher's map differs in size, each time the student's own map
//! is resized (the code resizes what it has resized before).

use super::adapters::{Chain, map_of};
use super::logits::divergences;
use super::{
    Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Quantity, Taught, Use, features, hint,
};
use crate::error::{Error, Result};
use crate::tape::{Tape, ValueId};

/// What this method says about itself.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "ca_mkd",
    title: "the student listens to those of several teachers that know the label of an image, in logits and last maps",
    paper: "Zhang, Chen, Wang: Confidence-Aware Multi-Teacher Knowledge Distillation, ICASSP 2022, arXiv 2201.00007",
    needs: Needs { teachers: Use::Several, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 4.0, "divides the logits of student and teachers"),
        Hyperparameter::ce_weight(1.0),
        Hyperparameter::weight("kd_weight", 1.0, "weight of the divergences from the teachers"),
        Hyperparameter::weight("feature_weight", 50.0, "weight of the differences between the last maps"),
        Hyperparameter::epochs("feature_start", 1.0, "the epoch, counted from 0, from which on the last maps count"),
    ],
    contradiction: |values| values.idle(&["ce_weight", "kd_weight", "feature_weight"]),
    phases: |values| match feature_start(values) {
        0 => Vec::new(),
        start => vec![start],
    },
    taps: |classroom, _| {
        let teacher = |net: &_| Ok(vec![features::classified(net)?.0]);
        features::of_teachers(classroom, features::only(features::last_map), teacher)
    },
    record,
    ..MethodDescription::BASE
};

/// The first epoch in which the maps count.
fn feature_start(values: &Hyperparameters) -> u32 {
    values.epochs("feature_start").ceil() as u32
}

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let (temperature, kd_weight) = (values.number("temperature"), values.number("kd_weight"));
    let teachers = lesson.teachers().to_vec();
    enough(teachers.len())?;
    let share = 1.0 / teachers.len() as f64;
    let classes = tape.shape(lesson.student.logits).channels();
    let labels = tape.one_hot(lesson.labels, classes)?;
    let logits: Vec<ValueId> = teachers.iter().map(|teacher| teacher.logits).collect();
    let confidence = confidence(tape, &logits, labels)?;
    let weights = tape.mean(confidence, &[0])?;
    let weights = tape.scale(weights, kd_weight * share);

    let mut terms = Vec::new();
    for (index, teacher) in teachers.iter().enumerate() {
        let divergence = divergences(tape, lesson.student.logits, teacher.logits, temperature)?;
        let mean = weighted_mean(tape, confidence, index, divergence)?;
        terms.push((teacher.role.as_str(), kd_weight * share, mean));
    }
    if lesson.phase > 0 || feature_start(values) == 0 {
        let loss = feature_loss(tape, lesson, labels)?;
        terms.push(("features", values.number("feature_weight") * share, loss));
    }
    let taught = hint::sum(tape, lesson, values, &terms)?;
    let of_teacher = |(index, teacher): (usize, &super::Pupil)| MentorUse {
        weight: Quantity::Element(weights, index),
        ..MentorUse::constant(&teacher.role, 0.0, Some(temperature))
    };
    Ok(Taught { mentors: teachers.iter().enumerate().map(of_teacher).collect(), ..taught })
}

/// A single teacher would be weighed by 0 / 0.
fn enough(teachers: usize) -> Result<()> {
    match teachers {
        2.. => Ok(()),
        few => Err(Error::request(format!(
            "ca_mkd weighs teachers against each other: it needs two or more of them, and has {few}"
        ))),
    }
}

/// How much each of K heads knows of the labels, `[B, K]`; 1 in sum.
fn confidence(tape: &mut Tape, logits: &[ValueId], labels: ValueId) -> Result<ValueId> {
    let mut losses = Vec::new();
    for logits in logits {
        let log_probabilities = tape.log_softmax(*logits, 1.0)?;
        let of_labels = tape.multiply(labels, log_probabilities)?;
        let likelihood = tape.sum(of_labels, &[1])?;
        losses.push(tape.scale(likelihood, -1.0)); // [B, 1]
    }
    let losses = tape.concat(&losses)?;
    let ignorance = tape.softmax(losses, 1.0)?;
    let factor = 1.0 / (logits.len() as f64 - 1.0);
    tape.affine(ignorance, -factor, factor)
}

/// The mean over the images of `values` `[B, 1]`, each times column `index` of `weights` `[B, K]`.
fn weighted_mean(tape: &mut Tape, weights: ValueId, index: usize, values: ValueId) -> Result<ValueId> {
    let column = tape.slice(weights, index, 1)?;
    let products = tape.multiply(column, values)?;
    tape.average(products)
}

/// K times `L_F`.
fn feature_loss(tape: &mut Tape, lesson: &mut Lesson<'_>, labels: ValueId) -> Result<ValueId> {
    let own = lesson.student.last_map(tape)?;
    let (mut logits, mut differences) = (Vec::new(), Vec::new());
    for index in 0..lesson.teachers {
        let wanted = lesson.mentors[index].clone().classified(tape)?;
        let [height, width, channels] = map_of(tape, wanted);
        let resized = match map_of(tape, own)[0] > height {
            true => tape.adaptive_avg_pool(own, height, width)?,
            false => tape.resize_bilinear(own, height, width)?,
        };
        let embedding = Chain::new("embedding", map_of(tape, resized)).conv("0", channels, 1, 1, 0, true)?;
        let embedding = embedding.batch_norm("1")?.relu()?.network();
        let embedded = lesson.adapted(tape, &format!("embedding{}", index + 1), &embedding, resized)?;
        let (weight, bias) = lesson.head(tape, index)?;
        let pooled = tape.adaptive_avg_pool(embedded, 1, 1)?;
        logits.push(tape.linear(pooled, weight, bias)?);
        let difference = tape.subtract(embedded, wanted)?;
        let square = tape.square(difference)?;
        let mean = tape.mean(square, &[1, 2, 3])?;
        let images = tape.shape(mean)[0];
        differences.push(tape.view(mean, [images, 1])?);
    }
    let confidence = confidence(tape, &logits, labels)?;
    let mut losses = Vec::new();
    for (index, difference) in differences.into_iter().enumerate() {
        losses.push((1.0, weighted_mean(tape, confidence, index, difference)?));
    }
    tape.weighted_sum(&losses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::check::{Mentors, Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let mentors: Mentors<'_> = &[
            ("teacher", &[("f3", [2, 2, 3])]),
            ("teacher-2", &[("f3", [3, 3, 2])]),
            ("teacher-3", &[("f3", [4, 4, 2])]),
        ];
        let given: &[(&str, &[usize])] = &[
            ("head/0/weight", &[3, 4]),
            ("head/0/bias", &[4]),
            ("head/1/weight", &[2, 4]),
            ("head/2/weight", &[2, 4]),
            ("head/2/bias", &[4]),
        ];
        let small = Small { student: &[("f3", [3, 3, 2])], mentors, given, ..Small::default() };
        check_method("ca_mkd", r#"{"feature_start": 0, "feature_weight": 5, "kd_weight": 2}"#, &small);
        check_method("ca_mkd", "{}", &small);
        check_method("ca_mkd", "{}", &Small { phase: 1, ..small });
    }

    #[test]
    fn maps_count_from_the_second_epoch_on() {
        let phases =
            |text: &str| (DESCRIPTION.phases)(&DESCRIPTION.from_json(&serde_json::from_str(text).unwrap()).unwrap());
        assert_eq!(phases("{}"), [1]);
        assert_eq!(phases(r#"{"feature_start": 0}"#), [0u32; 0]);
        assert_eq!(phases(r#"{"feature_start": 0.1}"#), [1]);
    }

    #[test]
    fn one_teacher_is_too_few() {
        assert!(enough(1).unwrap_err().to_string().contains("two or more"));
        enough(2).unwrap();
    }
}
