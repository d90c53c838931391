//! Knowledge review: every stage of the teacher is matched by what the student knows up to that stage, fused from its last
//! stages backwards.
//!
//! Levels are the student's maps behind each stage and its pooled vector as a 1x1 map; the teacher's are those before the
//! last ReLU. From the deepest level to the first, with `mid = min(512, pooled width)` channels:
//! - `x = BN(conv1x1(f_S))`; except at the deepest level, the residual y of the level before is resized (nearest) to x, and
//!   `x = a x + b y` with the two maps `a, b = sigmoid(conv1x1([x, y]))`;
//! - x, resized (nearest) to the teacher's size, is the residual that is passed on, and `BN(conv3x3(x))` is compared with f_T;
//! - by the hierarchical context loss: mean squared distances of the maps and of their averages over 4x4, 2x2 and 1x1 cells
//!   smaller than the map, weighted 1, 1/2, 1/4, 1/8 and divided by the sum of those weights.
//!
//! `loss = CE(z_S, y) + min(epoch / warmup, 1) weight sum over levels`, epochs counted from 1. Source: section 3 of the paper
//! with its authors' code, which decides the constants.

use super::adapters::{Chain, map_of};
use super::{
    Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Pupil, Taught, Use, features, hint,
};
use crate::error::Result;
use crate::nn::{Initialisation, Network, Rule};
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are mdistiller's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "review_kd",
    title: "each stage of the teacher is matched by the student's stages from there on, fused",
    paper: "Chen, Liu, Zhao, Jia: Distilling Knowledge via Knowledge Review, CVPR 2021, arXiv 2104.09044",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("weight", 5.0, "weight of the distance of the maps beside the cross-entropy"),
        Hyperparameter::epochs("warmup_epochs", 20.0, "epochs over which that weight grows to its value"),
        Hyperparameter::count(
            "most_channels",
            512,
            [1, 65_536],
            "channels of the fused maps, where the pooled vector has not fewer",
        ),
    ],
    taps: |classroom, _| features::of_teacher(classroom, levels(features::maps), levels(features::preact)),
    record,
    ..MethodDescription::BASE
};

/// The names of a net's levels: maps, and the pooled vector.
fn levels(maps: fn(&Network) -> Result<Vec<String>>) -> impl Fn(&Network) -> Result<Vec<String>> {
    move |network| {
        let mut all = maps(network)?;
        all.push(features::pooled(network)?);
        Ok(all)
    }
}

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let teacher = lesson.teacher()?.clone();
    let cross_entropy = lesson.cross_entropy(tape)?;
    let mut targets = teacher.preact(tape)?;
    targets.push(pooled_map(tape, &teacher)?);
    let review = review(tape, lesson, &targets, values.whole("most_channels"))?;
    let weight = values.number("weight");
    let scaled = tape.scale(review, weight);
    let part = lesson.warmed_up(tape, values.epochs("warmup_epochs"), scaled)?;
    let parts = [("cross_entropy", 1.0, cross_entropy), (&teacher.role, 1.0, part)];
    let warm = lesson.warmed_up_weight(tape, values.epochs("warmup_epochs"), weight)?;
    let mentors = vec![MentorUse { weight: warm, ..MentorUse::constant(&teacher.role, weight, None) }];
    Ok(Taught { mentors, ..Taught::sum(tape, parts)? })
}

/// A pooled vector as a map `[B, 1, 1, D]`.
fn pooled_map(tape: &mut Tape, pupil: &Pupil) -> Result<ValueId> {
    let vector = pupil.pooled(tape)?;
    let shape = tape.shape(vector);
    tape.view(vector, [shape[0], 1, 1, shape[1]])
}

/// The sum over levels of the distances between the student's maps, fused in at most `most_channels` channels, and `targets`
/// (maps of the teacher, the first level first, and its pooled vector as a map).
fn review(tape: &mut Tape, lesson: &mut Lesson<'_>, targets: &[ValueId], most_channels: usize) -> Result<ValueId> {
    let student = lesson.student.clone();
    let names = student.map_names(tape)?;
    let mut maps = names.iter().map(|name| student.activation(name)).collect::<Result<Vec<_>>>()?;
    let pooled = pooled_map(tape, &student)?;
    let middle = tape.shape(pooled).channels().min(most_channels);
    maps.push(pooled);
    let mut residual = None;
    let mut distances = Vec::new();
    // Both lists begin with the first stage; a longer one has stages more behind it.
    let count = maps.len().min(targets.len());
    let pairs: Vec<(ValueId, ValueId)> = std::iter::once((maps[maps.len() - 1], targets[targets.len() - 1]))
        .chain((0..count - 1).rev().map(|level| (maps[level], targets[level])))
        .collect();
    for (level, (map, target)) in pairs.into_iter().enumerate() {
        let name = format!("level{}", count - 1 - level);
        let fused = fuse(tape, lesson, &name, map, residual, middle)?;
        let [height, width, channels] = map_of(tape, target);
        let own = map_of(tape, fused);
        let fused = if own[1] == width { fused } else { tape.resize_nearest(fused, height, width)? };
        let network = conv_norm("conv2", map_of(tape, fused), channels, 3)?;
        let output = lesson.adapted(tape, &format!("{name}.conv2"), &network, fused)?;
        distances.push((1.0, context_loss(tape, output, target)?));
        residual = Some(fused);
    }
    tape.weighted_sum(&distances)
}

/// The level's map in `middle` channels, fused with the residual of the level before; in the tape's float type.
fn fuse(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    name: &str,
    map: ValueId,
    residual: Option<ValueId>,
    middle: usize,
) -> Result<ValueId> {
    let network = conv_norm("conv1", map_of(tape, map), middle, 1)?;
    let x = lesson.adapted(tape, &format!("{name}.conv1"), &network, map)?;
    let Some(residual) = residual else { return Ok(x) };
    let [height, width, _] = map_of(tape, x);
    let y = tape.resize_nearest(residual, height, width)?;
    let both = tape.concat(&[x, y])?;
    let network = Chain::new("attention", [height, width, 2 * middle]).conv("0", 2, 1, 1, 0, true)?.network();
    let attention = lesson.adapted(tape, &format!("{name}.att_conv"), &network, both)?;
    let attention = tape.sigmoid(attention)?; // [B, H, W, 2]
    let shares = tape.split(attention, &[1, 1])?;
    let (x, y) = (tape.multiply(x, shares[0])?, tape.multiply(y, shares[1])?);
    tape.add(x, y)
}

/// A convolution without bias and BatchNorm.
fn conv_norm(name: &str, input: [usize; 3], channels: usize, kernel: usize) -> Result<Network> {
    let init = Initialisation { conv_weight: Rule::KaimingUniformFanIn, ..Initialisation::default() };
    let chain = Chain::new(name, input).conv("0", channels, kernel, 1, kernel / 2, false)?;
    Ok(chain.batch_norm("1")?.starting(init).network())
}

/// The hierarchical context loss of one level.
fn context_loss(tape: &mut Tape, own: ValueId, target: ValueId) -> Result<ValueId> {
    let height = map_of(tape, own)[0];
    let mut parts = vec![(1.0, hint::mean_square(tape, own, target)?)];
    for cells in [4, 2, 1].into_iter().filter(|cells| *cells < height) {
        let (own, target) = (tape.adaptive_avg_pool(own, cells, cells)?, tape.adaptive_avg_pool(target, cells, cells)?);
        let weight = 0.5f64.powi(parts.len() as i32);
        parts.push((weight, hint::mean_square(tape, own, target)?));
    }
    let total: f64 = parts.iter().map(|(weight, _)| weight).sum();
    parts.iter_mut().for_each(|(weight, _)| *weight /= total);
    tape.weighted_sum(&parts)
}

#[cfg(test)]
mod tests {
    use crate::distill::check::{Small, check_method};

    #[test]
    fn gradients_reach_every_level() {
        let student: &[(&str, [usize; 3])] = &[("f1", [8, 8, 3]), ("f2", [4, 4, 4]), ("f3", [1, 1, 6])];
        let teacher: &[(&str, [usize; 3])] =
            &[("f1pre", [8, 8, 4]), ("f2pre", [8, 8, 5]), ("f3", [1, 1, 7]), ("f1", [8, 8, 4]), ("f2", [8, 8, 5])];
        let small = Small { batch: 4, student, mentors: &[("teacher", teacher)], ..Small::default() };
        check_method("review_kd", r#"{"weight": 2}"#, &small);
        // In the fifth of ten epochs of the warm-up, and with fewer channels.
        let early = Small { epoch: 4.0, ..small };
        check_method("review_kd", r#"{"warmup_epochs": 10, "most_channels": 5}"#, &early);
    }
}
