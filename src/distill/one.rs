//! ONE, knowledge distillation by an on-the-fly native ensemble: several branches on a shared trunk learn together from the
//! ensemble that a gate makes of them.
//!
//! The student's layers up to its last map but one are the trunk, with map f. Branch 1 is the rest of the student; the other
//! m - 1 branches are copies of that rest with weights of their own. With z_i the branches' logits and T = 3:
//! - gate `g = softmax(ReLU(BatchNorm(W pool(f) + b)))` `[B, m]`, and ensemble `z_e = sum_i g_i z_i`;
//! - `loss = sum_i CE(z_i, y) + CE(z_e, y) + r sum_i T^2 KL(softmax(z_e / T) || softmax(z_i / T))`, means over the batch, where
//!   in the divergences z_e is a constant;
//! - `r = exp(-5 (1 - min(epoch, 80) / 80)^2)`, epochs counted from 0.
//!
//! What is deployed, validated and tested is branch 1: the student itself. (The authors' code adds 1e-7 to probabilities before
//! their logarithm, which is taken exactly here.)

use super::adapters::{Chain, map_of};
use super::logits::mixture;
use super::{Classroom, Hyperparameter, Hyperparameters, Lesson, MethodDescription, Ramp, Taps, Taught, features};
use crate::error::{Error, Result};
use crate::nn::{LayerKind, Map, Network};
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are those of the authors' code.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "one",
    title: "branches on the student's trunk learn together from the ensemble that a gate makes of them",
    paper: "Lan, Zhu, Gong: Knowledge Distillation by On-the-Fly Native Ensemble, NeurIPS 2018, arXiv 1806.04606",
    hyperparameters: &[
        Hyperparameter::count("branches", 3, [2, 16], "how many branches there are, the student's own included"),
        Hyperparameter::positive("temperature", 3.0, "divides the logits of branches and ensemble"),
        Hyperparameter::epochs(
            "rampup_epochs",
            80.0,
            "epochs until the divergences from the ensemble have their whole weight",
        ),
    ],
    taps: |classroom: &Classroom<'_>, _| {
        let trunk = trunk(classroom.student)?;
        classroom.student.tail(&trunk)?;
        Ok(Taps { student: vec![trunk], mentors: Vec::new() })
    },
    record,
    ..MethodDescription::BASE
};

/// The map behind which the branches part: the last but one.
fn trunk(network: &Network) -> Result<String> {
    let mut maps = features::maps(network)?;
    maps.pop();
    maps.pop().ok_or_else(|| {
        let name = &network.name;
        Error::request(format!("{name} has one map only: there is no trunk that branches could share"))
    })
}

/// The gate: from a map to a weight for each of `branches`, before the softmax.
fn gate(map: Map, branches: usize) -> Result<Network> {
    let pooled = Chain::new("gate", map).layer("", LayerKind::GlobalAvgPool)?;
    Ok(pooled.linear("fc", branches, true)?.batch_norm("bn")?.relu()?.network())
}

/// Records the losses of all branches and of their ensemble.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let temperature = values.number("temperature");
    let branches = values.whole("branches");
    let [(trunk, shared)] = &lesson.student.features[..] else {
        return Err(Error::request("one reads one feature of the student: the map that its branches share"));
    };
    let (trunk, shared) = (trunk.clone(), *shared);
    let mut logits = vec![lesson.student.logits];
    for index in 2..=branches {
        logits.push(lesson.module(tape, &format!("branch-{index}"), |lesson| {
            Ok((lesson.student.model()?.network.tail(&trunk)?, shared))
        })?);
    }
    let gate = gate(map_of(tape, shared), branches)?;
    let scores = lesson.module(tape, "gate", |_| Ok((gate, shared)))?;
    let weights = tape.softmax(scores, 1.0)?; // [B, m]
    let ensemble = mixture(tape, weights, &logits)?;

    let cross_entropy = |tape: &mut Tape, of: ValueId| tape.cross_entropy(of, lesson.labels, lesson.label_smoothing);
    let own = cross_entropy(tape, logits[0])?;
    let of_ensemble = cross_entropy(tape, ensemble)?;
    let target = tape.detach(ensemble);
    let mut divergences = Vec::new();
    for branch in &logits {
        divergences.push((1.0, tape.kl_divergence(*branch, target, temperature)?));
    }
    let mut parts = vec![("cross_entropy".to_string(), 1.0, own), ("ensemble".to_string(), 1.0, of_ensemble)];
    for (index, branch) in logits.iter().enumerate().skip(1) {
        parts.push((format!("branch-{}", index + 1), 1.0, cross_entropy(tape, *branch)?));
    }
    let divergence = tape.weighted_sum(&divergences)?;
    let rate = lesson.scheduled(tape, "rampup", Ramp::Sigmoid { epochs: values.epochs("rampup_epochs") });
    let imitation = tape.multiply(divergence, rate)?;
    parts.push(("divergence".to_string(), 1.0, imitation));
    let details = vec![("gate", weights), ("logits/ensemble", ensemble)];
    Ok(Taught { details, ..Taught::sum(tape, parts)? })
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};
    use crate::distill::counts::step;

    #[test]
    fn the_gradients_are_those_of_the_loss() {
        let given: &[(&str, &[usize])] = &[("branch-2/logits", &[5, 4]), ("branch-3/logits", &[5, 4])];
        let small = Small { student: &[("f2", [3, 2, 6])], given, epoch: 40.0, ..Small::default() };
        check_method("one", "{}", &small);
        check_method("one", r#"{"branches": 2, "temperature": 1.5, "rampup_epochs": 0}"#, &small);
    }

    /// One pass forward and one back through the trunk, and one of each through every branch and the gate.
    #[test]
    fn a_step_passes_the_trunk_once_and_every_branch_once() {
        let alone = step("cross_entropy", "{}", "resnet8");
        // Behind f2 of resnet8 come a block of two convolutions with a shortcut, and the classifier.
        let (behind, gate) = (3 + 1, 1);
        for branches in [2, 3, 5] {
            let expected = alone.iter().map(|(what, count)| (*what, count + (branches - 1) * behind + gate)).collect();
            assert_eq!(step("one", &format!(r#"{{"branches": {branches}}}"#), "resnet8"), expected);
        }
    }
}
