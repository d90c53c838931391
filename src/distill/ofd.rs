//! Overhaul of feature distillation: maps are compared before their last ReLU, where the teacher's are cut at a negative
//! margin, and only where the student has something to learn.
//!
//! For each of the n stages, from the last one backwards, with student map s (through a 1x1 convolution and BatchNorm of its
//! own) and teacher map t before their ReLU, where t has another size averaged to that of s
//! (`torch.nn.functional.adaptive_avg_pool2d`, which also spreads a smaller map):
//! - margin of channel c: with scale `sigma = |gamma|` and mean `mu = beta` of the BatchNorm before that ReLU, the mean of a
//!   normal variable that is negative: `mu - sigma exp(-(mu / sigma)^2 / 2) / (sqrt(2 pi) Phi(-mu / sigma))`, or `-3 sigma`
//!   where `Phi(-mu / sigma) <= 0.001` (equation 6 and the authors' code);
//! - `t' = max(t, margin)`, and `(s - t')^2` counts where `s > t'` or `t' > 0` (equation 4);
//! - `loss = CE(z_S, y) + weight sum_i 2^(i - n) (1/B) sum (s_i - t'_i)^2`.
//!
//! The order, pooled first and cut then, is mdistiller's; the authors' own nets have maps of equal size. The authors leave
//! the teacher in training mode while it teaches; here it is in evaluation mode like every mentor.

use super::adapters::{Chain, map_of};
use super::{Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Taught, Use, features};
use crate::error::{Error, Result};
use crate::nn::{Initialisation, LayerKind, Map, Model, Network, Rule};
use crate::tape::{StateId, Tape, ValueId};

/// What this method says about itself. The defaults are those of the authors' code in mdistiller's form.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "ofd",
    title: "maps before the last ReLU match the teacher's above a margin",
    paper: "Heo, Kim, Yun, Park, Kwak, Choi: A Comprehensive Overhaul of Feature Distillation, ICCV 2019, arXiv 1904.01866",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[Hyperparameter::positive(
        "weight",
        0.001,
        "weight of the distance of the maps beside the cross-entropy",
    )],
    taps: |classroom, _| {
        let taps = features::of_teacher(classroom, features::preact, features::preact)?;
        if let Some((_, teacher)) = classroom.mentors.first() {
            taps.mentors[0].iter().try_for_each(|name| norm_before(teacher, name).map(|_| ()))?;
        }
        Ok(taps)
    },
    record,
    ..MethodDescription::BASE
};

/// The BatchNorm that makes the feature `name`; of an addition, the one at the end of its first branch.
fn norm_before(network: &Network, name: &str) -> Result<usize> {
    let is_norm = |node: usize| matches!(network.nodes[node].kind, LayerKind::BatchNorm { .. });
    let found = network.tap(name).and_then(|node| match network.nodes[node].kind {
        LayerKind::Add => network.nodes[node].inputs.iter().copied().find(|input| is_norm(*input)),
        _ => is_norm(node).then_some(node),
    });
    found.ok_or_else(|| {
        Error::request(format!("{} cannot teach by method ofd: no BatchNorm makes its feature `{name}`", network.name))
    })
}

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let (student, teacher) = (lesson.student.clone(), lesson.teacher()?.clone());
    let weight = values.number("weight");
    let batch = tape.shape(student.logits)[0] as f64;
    let cross_entropy = lesson.cross_entropy(tape)?;
    let (own, theirs) = (student.preact_names(tape)?, teacher.preact_names(tape)?);
    let stages = own.len().min(theirs.len());
    let mut parts = vec![("cross_entropy", 1.0, cross_entropy)];
    // Both lists end with the last stage.
    for back in 0..stages {
        let (own, theirs) = (&own[own.len() - 1 - back], &theirs[theirs.len() - 1 - back]);
        let map = student.activation(own)?;
        let size = map_of(tape, map);
        let target = cut(tape, lesson, &teacher, theirs, size)?;
        let connector = connector(own, size, tape.shape(target).channels())?;
        let source = lesson.adapted(tape, &format!("connector_{own}"), &connector, map)?;
        let distance = distance(tape, source, target)?;
        parts.push((theirs, weight / batch / f64::from(1u32 << back), distance));
    }
    let mentors = vec![MentorUse::constant(&teacher.role, weight, None)];
    Ok(Taught { mentors, ..Taught::sum(tape, parts)? })
}

/// From the student's channels to the teacher's.
fn connector(name: &str, input: [usize; 3], channels: usize) -> Result<Network> {
    let init = Initialisation { conv_weight: Rule::KaimingNormalFanOut, ..Initialisation::default() };
    Ok(Chain::new(name, input).conv("0", channels, 1, 1, 0, false)?.batch_norm("1")?.starting(init).network())
}

/// The teacher's map at the student's height and width, no lower than its margin in each channel.
fn cut(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    teacher: &super::Pupil,
    name: &str,
    [height, width, _]: Map,
) -> Result<ValueId> {
    let map = teacher.feature(tape, name)?;
    let [own_height, own_width, channels] = map_of(tape, map);
    let is_of_size = [own_height, own_width] == [height, width];
    let map = if is_of_size { map } else { tape.adaptive_avg_pool(map, height, width)? };
    let margin = match (&teacher.model, lesson.given(&format!("margin/{name}"))) {
        (_, Some(given)) => given,
        (Some(model), None) => {
            let from = scale_and_mean(model, norm_before(&model.network, name)?);
            lesson.derived(tape, &format!("margin_{name}"), [channels], from, margins)
        }
        (None, None) => return Err(Error::request(format!("the margin `given/margin/{name}` is missing"))),
    };
    tape.maximum(map, margin)
}

/// Gamma and beta of a BatchNorm.
fn scale_and_mean(model: &Model, norm: usize) -> Vec<StateId> {
    let own = model.parameters.iter().filter(|one| one.spec.layer == norm && one.spec.trainable);
    own.map(|one| one.value).collect()
}

/// The margins of all channels, from gamma and beta.
fn margins(from: &[Vec<f64>]) -> Vec<f64> {
    let margin = |(gamma, beta): (&f64, &f64)| {
        let (scale, mean) = (gamma.abs(), *beta);
        // Phi(-mu / sigma)
        let below = 0.5 * libm::erfc(mean / scale / std::f64::consts::SQRT_2);
        match below > 0.001 {
            true => {
                let density = (-(mean / scale).powi(2) / 2.0).exp() / std::f64::consts::TAU.sqrt();
                mean - scale * density / below
            }
            false => -3.0 * scale,
        }
    };
    from[0].iter().zip(&from[1]).map(margin).collect()
}

/// `sum (s - t)^2` where `s > t` or `t > 0`.
fn distance(tape: &mut Tape, source: ValueId, target: ValueId) -> Result<ValueId> {
    let above = tape.greater(source, target)?;
    let active = tape.above(target, 0.0)?;
    let counts = tape.maximum(above, active)?;
    let counts = tape.detach(counts);
    let difference = tape.subtract(source, target)?;
    let squares = tape.square(difference)?;
    let counted = tape.multiply(squares, counts)?;
    tape.total(counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::check::{Small, check_method};

    #[test]
    fn gradients_reach_logits_maps_and_connectors() {
        // Maps of equal size, of twice the size, and of two thirds of it.
        let student: &[(&str, [usize; 3])] = &[("f1pre", [4, 4, 3]), ("f2pre", [2, 2, 4]), ("f3pre", [3, 3, 2])];
        let teacher: &[(&str, [usize; 3])] = &[("f1pre", [4, 4, 5]), ("f2pre", [4, 4, 6]), ("f3pre", [2, 2, 4])];
        let given: &[(&str, &[usize])] = &[("margin/f1pre", &[5]), ("margin/f2pre", &[6]), ("margin/f3pre", &[4])];
        let small = Small { student, mentors: &[("teacher", teacher)], given, ..Small::default() };
        check_method("ofd", r#"{"weight": 0.3}"#, &small);
    }

    /// Against the definition: the mean of the negative part of a normal variable, by summing its density.
    #[test]
    fn margins_are_means_of_what_is_negative() {
        let numeric = |scale: f64, mean: f64| {
            let (mut above, mut below) = (0.0, 0.0);
            for step in 0..200_000 {
                let x = -(f64::from(step) + 0.5) * 1e-4;
                let density = (-((x - mean) / scale).powi(2) / 2.0).exp();
                (above, below) = (above + x * density, below + density);
            }
            above / below
        };
        let (gammas, betas) = (vec![0.5, -1.5, 1.0, 0.1, 0.0], vec![0.2, -0.7, 0.0, 1.0, 0.0]);
        let found = margins(&[gammas.clone(), betas.clone()]);
        for index in 0..3 {
            let expected = numeric(gammas[index].abs(), betas[index]);
            assert!((found[index] - expected).abs() < 1e-6, "{index}: {} {expected}", found[index]);
        }
        // Hardly ever negative: three scales below zero. A channel without scale: 0.
        assert!((found[3] + 0.3).abs() < 1e-12 && found[4] == 0.0, "{found:?}");
    }

    #[test]
    fn a_teacher_without_what_is_needed_is_refused_by_name() {
        let network = |name: &str| crate::nn::build(name, 10, 3, 32, 32).unwrap();
        for name in ["resnet8", "wrn_16_1", "vgg8", "ResNet18"] {
            let network = network(name);
            for feature in features::preact(&network).unwrap() {
                norm_before(&network, &feature).unwrap();
            }
        }
        let error = norm_before(&network("ShuffleV2"), "f1pre").unwrap_err().to_string();
        assert!(error.contains("ShuffleV2 cannot teach by method ofd"), "{error}");
    }
}
