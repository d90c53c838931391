//! AMTML-KD, adaptive multi-teacher multi-level distillation: for every image the student's own feature decides how much
//! each teacher's soft target counts; beside the mixture of these the student learns angles and distances between the
//! images of a batch, and hints from the teachers' features, each group of its layers from another teacher.
//!
//! With K teachers (peers count as such), the student's feature `beta_i` `[d]` of image i, the vector `W` `[d]` and one latent representation
//! `theta_k` `[d]` per teacher, `mu`, `q` and the terms of the loss are
//! - `mu_i = softmax_k(W^T (theta_k o beta_i))`, the teachers' weights (`adapter.rs`);
//! - `q_i = sum_k mu_ik softmax(z_k,i / T)`, the integrated target: a mixture of probabilities, through which gradients flow;
//! - `kd = 2 alpha T^2 KL(q || softmax(z_S / T)) + (1 - alpha) CE(z_S, y)`, the divergence averaged over batch and classes;
//! - `angle`, `distance`: smooth L1 between the angles of all triplets, and the distances of all pairs, of the student's
//!   outputs and of q, which is a constant here (as in RKD, Park et al., 2019);
//! - `hint`: what the groups of the student's layers make of the teachers' features (`hints.rs`);
//! - `regulariser = regularisation (|W|^2 + sum_k |theta_k|^2)`, in the first stage; by default none.
//!
//! `loss = kd + angle + distance + hint + regulariser`. In the first stage `W` and `theta` learn from it by an SGD of their
//! own; in the second they are frozen.
//!
//! What the paper shows and the authors' release does are told apart by options. Where the two differ, regressors learn as in
//! the paper, and `beta` is the release's: every notebook gives the adapter the average-pooled vector, and what it then
//! max-pools is 1x1 already. The notebooks differ among themselves:
//! - The regulariser, 0.1 in all, is switched off before the first stage in `LR_adaptive_KD`, `LR_adaptive_Hint` and
//!   `adaptive_FitNet_teacher-level`, and on in `LR_adaptive_learning`, `LR_adaptive_AT` and `LR_adaptive_triplets`. With a
//!   rate of 0.1 it takes `W` and `theta` to 0 within some hundred steps, where they stay: all teachers count 1 / K.
//! - Without it the weights are far apart from the start: `W` and `theta` are drawn from N(0, 1), so that the scores of a
//!   feature of d channels around 1 have a deviation of about sqrt(d), and the softmax is nearly one teacher's; by max-pooled
//!   features, which are larger, even more than by average-pooled ones. On the embedded data one of three teachers had all
//!   weight after two epochs, with 0.1 each had a third, with 0.01 they had 0.46, 0.28 and 0.26.
//! - The adapter's rate drops at 40 and 70 in `LR_adaptive_learning`, at 40 and 50 in the others.
//! - The second stage of `adaptive_FitNet_teacher-level` is `second_stage = "outcome"`; the others' is `whole`.

mod adapter;
mod hints;

use super::logits::{divergences_of, kl_divisor, log_of, mixture};
use super::relations::Relations;
use super::{
    Classroom, Hyperparameter, Hyperparameters, Kind, Lesson, MentorUse, MethodDescription, Needs, Pupil, Quantity,
    Taps, Taught, Use, features,
};
use crate::error::Result;
use crate::nn::{Distribution, Network, Rule};
use crate::tape::Tape;

/// What this method says about itself.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "amtml",
    title: "teachers weighted image by image, relations between images, and hints from each teacher to another layer",
    paper: "Liu, Zhang, Wang: Adaptive Multi-Teacher Multi-level Knowledge Distillation, Neurocomputing 415, 2020, \
            arXiv 2103.04062",
    needs: Needs { teachers: Use::Optional, assistants: Use::Unused, peers: Use::Optional, features: true },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 5.0, "divides the logits of student and teachers"),
        Hyperparameter::share("alpha", 0.7, "share of the integrated target; the labels have the rest"),
        Hyperparameter::choice(
            "kl_reduction",
            &["mean", "batchmean"],
            "mean of the divergence over batch and classes as in the release, or over the batch",
        ),
        Hyperparameter::choice(
            "teacher_weights",
            &["adaptive", "average"],
            "the teachers' weights: learned, image by image, or 1 / K (ablation)",
        ),
        Hyperparameter::choice(
            "beta",
            &["gap", "max"],
            "the student's feature: its last map average-pooled as in the release, or max-pooled as in the paper",
        ),
        Hyperparameter::weight("angle_weight", 1.0, "weight of the angles of triplets; 0 leaves them out"),
        Hyperparameter::weight("distance_weight", 1.0, "weight of the distances of pairs; 0 leaves them out"),
        Hyperparameter::weight("hint_weight", 1.0, "weight of the hints; 0 leaves them out"),
        Hyperparameter::choice(
            "hints",
            &["teacher_level", "same_depth", "group", "second_map", "attention"],
            "who teaches which map: pooled features to maps 2, 3, ...; equal depths; all but the last teacher; \
             all to map 2 in the first stage; attention maps",
        ),
        Hyperparameter::flag(
            "frozen_regressors",
            false,
            "true leaves the hints' regressors as they were drawn, as the release does",
        ),
        Hyperparameter::flag(
            "tempered_student",
            false,
            "true lets cross-entropy and relations read log softmax(z_S / T), as one notebook of the release does",
        ),
        Hyperparameter::weight(
            "regularisation",
            0.0,
            "weight of the squares of adapter and latent representations, in the first stage; 0.1 in some of the \
                            release's notebooks, which draws the teachers' weights to 1 / K",
        ),
        Hyperparameter::flag("two_stages", true, "false trains the adapter to the end"),
        Hyperparameter::epochs(
            "adapter_epochs",
            80.0,
            "epochs of the first stage; from there on the adapter is frozen",
        ),
        Hyperparameter::weight(
            "adapter_lr",
            0.1,
            "learning rate of adapter and latent representations (SGD, momentum 0.9, no weight decay)",
        ),
        Hyperparameter {
            name: "adapter_milestones",
            kind: Kind::Milestones { default: &[40.0, 70.0] },
            documentation: "epochs at which that rate is divided by 10; [40, 50] in all but one of the release's notebooks",
        },
        Hyperparameter::choice(
            "second_stage",
            &["whole", "outcome"],
            "the loss of the second stage: all of it, or as in the release's notebook of teacher_level kd alone, with \
                            the mean weights of the first stage's last batch for every image",
        ),
        Hyperparameter::choice(
            "student_init",
            &["model", "release"],
            "as the model's file says, or convolutions N(0, 0.02^2) and BatchNorm scales N(1, 0.02^2) as in the release",
        ),
    ],
    contradiction: |values| {
        let regressors = values.number("hint_weight") > 0.0 && values.choice("hints") != "attention";
        if values.flag("frozen_regressors") && !regressors {
            let why = "there are no regressors without hints, and none for attention maps";
            return Some(("frozen_regressors", why.into()));
        }
        let learned = values.flag("two_stages") && values.choice("teacher_weights") == "adaptive";
        (values.choice("second_stage") == "outcome" && !learned)
            .then(|| ("second_stage", "without weights learned in a first stage there is no outcome of it".into()))
    },
    phases: |values| match values.flag("two_stages") {
        true => vec![values.epochs("adapter_epochs").round() as u32],
        false => Vec::new(),
    },
    taps,
    student: |classroom, values| Ok((values.choice("student_init") == "release").then(|| restarted(classroom.student))),
    takes_smoothed_labels: true,
    record,
    learned: adapter::learned,
};

/// `network`, starting as the release starts its students. Linear layers keep their rule.
fn restarted(network: &Network) -> Network {
    let mut network = network.clone();
    network.init.conv_weight = Rule::Normal { std: 0.02 };
    network.init.norm_scale = Distribution::NormalAround { mean: 1.0, std: 0.02 };
    network
}

/// The features that are read: the student's for its own feature and for hints, the teachers' for hints.
fn taps(classroom: &Classroom<'_>, values: &Hyperparameters) -> Result<Taps> {
    let mentors = classroom.classmates();
    let mut taps = Taps { student: Vec::new(), mentors: vec![Vec::new(); classroom.mentors.len()] };
    for hint in hints::of_classroom(classroom, values)? {
        taps.student.push(hint.to);
        taps.mentors[mentors[hint.teacher]].push(hint.from);
    }
    if values.choice("teacher_weights") == "adaptive" {
        let own = match values.choice("beta") {
            "gap" => features::pooled(classroom.student),
            _ => features::last_map(classroom.student),
        };
        taps.student.push(own.map_err(|error| error.within("student"))?);
    }
    for names in taps.mentors.iter_mut().chain([&mut taps.student]) {
        names.sort();
        names.dedup();
    }
    Ok(taps)
}

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let (temperature, alpha) = (values.number("temperature"), values.number("alpha"));
    let first_stage = lesson.phase == 0;
    let teachers: Vec<Pupil> = lesson.classmates().cloned().collect();
    let batch = tape.shape(lesson.student.logits)[0];

    // The second stage has just the outcome of the first: the teachers' mean weights and `kd`.
    let outcome = values.choice("second_stage") == "outcome" && !first_stage;
    let adapter = match values.choice("teacher_weights") {
        "adaptive" if !outcome => Some(adapter::record(tape, lesson, values, teachers.len())?),
        _ => None,
    };
    let weights = match &adapter {
        Some(adapter) => adapter.weights,
        None if outcome => adapter::kept(tape, lesson, [batch, teachers.len()])?,
        None => tape.fill([batch, teachers.len()], 1.0 / teachers.len() as f64),
    };
    let softened =
        teachers.iter().map(|teacher| tape.softmax(teacher.logits, temperature)).collect::<Result<Vec<_>>>()?;
    let target = mixture(tape, weights, &softened)?; // [B, C]

    let log_q = tape.log_softmax(lesson.student.logits, temperature)?;
    let log_target = log_of(tape, target)?;
    let divergences = divergences_of(tape, log_q, log_target)?;
    let divergence = tape.average(divergences)?;
    let imitation = 2.0 * alpha * temperature * temperature / kl_divisor(tape, log_q, values);
    let output = if values.flag("tempered_student") { log_q } else { lesson.student.logits };
    let cross_entropy = tape.cross_entropy(output, lesson.labels, lesson.label_smoothing)?;
    let mut parts = vec![("cross_entropy", 1.0 - alpha, cross_entropy), ("target", imitation, divergence)];
    let kd = tape.weighted_sum(&[(1.0 - alpha, cross_entropy), (imitation, divergence)])?;
    let mut details = vec![("loss/kd", kd), ("teacher_weight", weights)];
    if !outcome {
        let [angle_weight, distance_weight] = ["angle_weight", "distance_weight"].map(|name| values.number(name));
        // A batch of one image has no relations, and needs none where nobody asks for them. The target is a constant there.
        let relations = match angle_weight > 0.0 || distance_weight > 0.0 {
            true => Some(Relations::new(tape, output, target)?),
            false => None,
        };
        if let Some(relations) = relations.filter(|_| angle_weight > 0.0) {
            let angle = relations.angle_loss(tape)?;
            parts.push(("angle", angle_weight, angle));
            details.push(("loss/angle", angle));
        }
        if let Some(relations) = relations.filter(|_| distance_weight > 0.0) {
            let distance = relations.distance_loss(tape)?;
            parts.push(("distance", distance_weight, distance));
            details.push(("loss/distance", distance));
        }
        if let Some(hint) = hints::record(tape, lesson, &teachers, values)? {
            parts.push(("hint", values.number("hint_weight"), hint));
            details.push(("loss/hint", hint));
        }
    }
    if let Some(adapter) = adapter.as_ref().filter(|_| first_stage && values.number("regularisation") > 0.0) {
        let squares = adapter.squares(tape)?;
        parts.push(("regulariser", values.number("regularisation"), squares));
        details.push(("loss/regulariser", squares));
    }
    let taught = Taught::sum(tape, parts)?;

    let mean = tape.mean(weights, &[0])?; // [1, K]
    let uses = teachers.iter().enumerate().map(|(index, teacher)| MentorUse {
        weight: Quantity::Element(mean, index),
        ..MentorUse::constant(&teacher.role, 1.0, Some(temperature))
    });
    let mentors = uses.collect();
    let updates = match adapter {
        Some(adapter) if first_stage => vec![adapter.update(tape, lesson, values, taught.loss)],
        _ => Vec::new(),
    };
    let writes = match values.choice("second_stage") {
        "outcome" if first_stage => vec![adapter::keep(tape, lesson, mean)],
        _ => Vec::new(),
    };
    Ok(Taught { mentors, details, updates, writes, ..taught })
}

#[cfg(test)]
mod tests;
