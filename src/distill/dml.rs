//! Deep mutual learning: several networks learn together, from scratch, each from the labels and from what the others make of
//! the same batch. The student is one of them; the others are the method's own.
//!
//! With N networks, z_i their logits and T = 1: `loss = sum_i L_i`,
//! `L_i = CE(z_i, y) + T^2 / (N - 1) sum_{j != i} KL(softmax(z_j / T) || softmax(z_i / T))`, means over the batch, where z_j is
//! a constant: so every network has the gradient of its own L_i alone. All learn at once from outputs made before any of them
//! moved, as in the implementations; the paper makes them anew after each update.
//!
//! `target = "mean_logits"` is the variant that Chen, Mei, Wang, Feng, Chen (Online Knowledge Distillation with Diverse Peers,
//! AAAI 2020) compare with: `L_i = CE(z_i, y) + T^2 KL(softmax(m_i / T) || softmax(z_i / T))`, m_i the mean of the others'
//! logits, T = 3; `constant_targets = false` lets gradients flow through m_i as their code does.

use super::logits::{added, divergences};
use super::{Classroom, Hyperparameter, Hyperparameters, Lesson, MethodDescription, Taps, Taught, Term};
use crate::error::{Error, Result};
use crate::tape::{Tape, ValueId};

/// What this method says about itself.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "dml",
    title: "the student and other networks learn together, each from the labels and from the others",
    paper: "Zhang, Xiang, Hospedales, Lu: Deep Mutual Learning, CVPR 2018, arXiv 1706.00384",
    hyperparameters: &[
        Hyperparameter::choice(
            "cohort",
            &["copies", "peers"],
            "who learns with the student: further networks of its own kind, or one of each peer's kind, from scratch",
        ),
        Hyperparameter::count(
            "networks",
            2,
            [2, 16],
            "how many networks learn, the student included; cohort = \"peers\" says it by itself",
        ),
        Hyperparameter::choice(
            "target",
            &["each", "mean_logits"],
            "the mean of the divergences from each of the others, or the divergence from their mean logits",
        ),
        Hyperparameter::positive("temperature", 1.0, "divides all logits"),
        Hyperparameter::flag(
            "constant_targets",
            true,
            "false lets gradients flow through the mean logits into the others",
        ),
    ],
    contradiction: |values| {
        (!values.flag("constant_targets") && values.choice("target") == "each")
            .then(|| ("constant_targets", "can be false with target = \"mean_logits\" only".into()))
    },
    taps,
    record,
    ..MethodDescription::BASE
};

/// No features; but there have to be peers where these are to learn.
fn taps(classroom: &Classroom<'_>, values: &Hyperparameters) -> Result<Taps> {
    let peers = classroom.mentors.len() - classroom.teachers - classroom.assistants;
    if values.choice("cohort") == "peers" && peers == 0 {
        return Err(Error::request("cohort = \"peers\": the classroom has no peers").help(
            "add [classroom] peers = [...], whose architectures then learn from scratch, or use cohort = \"copies\"",
        ));
    }
    Ok(Taps::default())
}

/// Records the losses of all networks.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let temperature = values.number("temperature");
    let among_peers = values.choice("cohort") == "peers";
    let others = if among_peers { lesson.peers().len() } else { values.whole("networks") - 1 };
    let mut logits = vec![lesson.student.logits];
    for index in 0..others {
        logits.push(lesson.module(tape, &format!("peer-{}", index + 1), |lesson| {
            let like = if among_peers { &lesson.peers()[index] } else { &lesson.student };
            Ok((like.model()?.network.clone(), lesson.batch()?.images))
        })?);
    }
    let mut terms = Vec::new();
    let mut parts = Vec::new();
    for (index, own) in logits.iter().enumerate() {
        let others: Vec<ValueId> =
            (0..logits.len()).filter(|other| *other != index).map(|other| logits[other]).collect();
        let cross_entropy = tape.cross_entropy(*own, lesson.labels, lesson.label_smoothing)?;
        let imitation = imitation(tape, *own, &others, temperature, values)?;
        match index {
            0 => terms.extend([Term::scalar("cross_entropy", cross_entropy), Term::scalar("cohort", imitation)]),
            _ => {
                let sum = tape.add(cross_entropy, imitation)?;
                terms.push(Term::scalar(format!("peer-{index}"), sum));
            }
        }
        parts.extend([(1.0, cross_entropy), (1.0, imitation)]);
    }
    Ok(Taught::new(tape.weighted_sum(&parts)?, terms))
}

/// What a network loses by being unlike the `others`.
fn imitation(
    tape: &mut Tape,
    own: ValueId,
    others: &[ValueId],
    temperature: f64,
    values: &Hyperparameters,
) -> Result<ValueId> {
    let share = 1.0 / others.len() as f64;
    if values.choice("target") == "each" {
        let mut parts = Vec::new();
        for other in others {
            let constant = tape.detach(*other);
            parts.push((share, tape.kl_divergence(own, constant, temperature)?));
        }
        return tape.weighted_sum(&parts);
    }
    let sum = added(tape, others)?;
    let mean = tape.affine(sum, share, 0.0)?;
    if values.flag("constant_targets") {
        let constant = tape.detach(mean);
        return tape.kl_divergence(own, constant, temperature);
    }
    let divergences = divergences(tape, own, mean, temperature)?;
    tape.average(divergences)
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};
    use crate::distill::counts::step;

    #[test]
    fn the_gradients_are_those_of_the_losses() {
        let one: &[(&str, &[usize])] = &[("peer-1/logits", &[5, 4])];
        let two: &[(&str, &[usize])] = &[("peer-1/logits", &[5, 4]), ("peer-2/logits", &[5, 4])];
        check_method("dml", "{}", &Small { given: one, ..Small::default() });
        for options in [
            r#"{"networks": 3}"#,
            r#"{"networks": 3, "target": "mean_logits", "temperature": 3}"#,
            r#"{"networks": 3, "target": "mean_logits", "temperature": 3, "constant_targets": false}"#,
        ] {
            check_method("dml", options, &Small { given: two, ..Small::default() });
        }
    }

    /// A step of N networks is N forward and N backward passes: as many convolutions of each kind as N students alone need.
    #[test]
    fn a_step_is_one_pass_forward_and_one_back_for_each_network() {
        let alone = step("cross_entropy", "{}", "resnet8");
        assert!(alone.values().all(|count| *count > 0), "{alone:?}");
        for (networks, options) in [
            (2, r#"{"networks": 2}"#),
            (4, r#"{"networks": 4}"#),
            (3, r#"{"networks": 3, "target": "mean_logits", "temperature": 3}"#),
            (3, r#"{"networks": 3, "target": "mean_logits", "constant_targets": false}"#),
        ] {
            let expected = alone.iter().map(|(what, count)| (*what, networks * count)).collect();
            assert_eq!(step("dml", options, "resnet8"), expected, "{options}");
        }
    }
}
