//! SoKD: the teacher's features are augmented by a policy that is searched for, so that the student can follow them, and the
//! student is compared with them where they are distinctive.
//!
//! ```text
//! f_s = adapter(F_s)     f_t = s(F_t), s a sub-policy that is drawn in every step
//! L = CE(z_S, y) + lambda mean (heads(f_s) - heads(f_t))^2 + beta mean sum_i (M(A_i) (f_s - f_t))^2
//! ```
//!
//! (arXiv 2409.18785, as far as its text is known to us, and its authors' code where that decides.) The heads, which student
//! and teacher share, make a heatmap, sizes and offsets; the areas `A_i` are boxes around the highest peaks of what they make
//! of the student ([`areas`]). With another `base` that method's loss on augmented and covered features takes the place of the
//! cross-entropy and of the last term ([`base`]).
//!
//! For `search_epochs` the policy ([`policy`]) learns beside the student ([`search`]): by default from
//! `L_aug = 1/2 mean (f_t - f_s)^2` on the half of each batch that student and teacher are not compared on in that step, by
//! straight-through Gumbel-Softmax. After that it stays, and is drawn from still. With `weights` of an earlier run and
//! `search_epochs = 0` a policy is used that was found before. `L_aug` alone is smallest without augmentation, towards which
//! the search moves for as long as it lasts ([`search`]).
//!
//! Where the released code does otherwise than the paper or than was meant, that is an option and off: `objective =
//! "unrolled"` with `unrolled_random_policy`, `estimator = "relax"` with `relax_repeats_choice`, `translate_by_side`, `overlap
//! = "count2"`, and `held_out = false`. The search of the release is `unrolled` with `relax`.

mod areas;
mod augmentation;
mod base;
mod formulas;
mod loss;
mod policy;
mod relax;
mod search;

use self::base::Base;
use self::loss::Rows;
use self::policy::{Learns, Policy};
use self::relax::{Again, Control};
use self::search::{Augmenter, Search};
use super::{
    Classroom, Hyperparameter, Hyperparameters, Kind, Lesson, MethodDescription, Needs, Taps, Taught, Use, features,
};
use crate::error::Result;
use crate::nn::Network;
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are the released code's.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "sokd",
    title: "the student follows features of the teacher that a learned policy augments, in distinctive areas",
    paper: "Shen, Huang, Zhu, Fan, Zhang: Student-Oriented Teacher Knowledge Refinement for Knowledge Distillation, ACM \
            Multimedia 2024, arXiv 2409.18785",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::method(
            "base",
            "fitnet",
            &["review_kd", "at", "crd", "kd", "dkd"],
            "the method that learns from augmented features: fitnet by ce_weight and feature_weight, others by \
                            hyperparameters of their own, which stand in a table with the name",
        ),
        Hyperparameter::choice(
            "hint",
            &["f2", "f1", "f3", "f4"],
            "the feature of student and teacher that is compared",
        ),
        Hyperparameter::weight("ce_weight", 1.0, "weight of the cross-entropy with the labels (base = \"fitnet\")"),
        Hyperparameter::weight(
            "detection_weight",
            1000.0,
            "weight of the difference between what the heads make of student and teacher",
        ),
        Hyperparameter::weight(
            "feature_weight",
            1000.0,
            "weight of the difference between the features (base = \"fitnet\")",
        ),
        Hyperparameter::epochs(
            "search_epochs",
            20.0,
            "epochs in which the policy learns; with 0 it stays as it starts, or as `weights` say",
        ),
        Hyperparameter::flag("augmentation", true, "whether the teacher's features are augmented"),
        Hyperparameter::flag("consistency", true, "whether the policy learns; if not it is drawn from as it starts"),
        Hyperparameter::flag("areas", true, "whether features are compared in distinctive areas only"),
        Hyperparameter::count("area_count", 8, [1, 1024], "areas of an image"),
        Hyperparameter::count(
            "heat_classes",
            100,
            [1, 4096],
            "channels of the heatmap; an earlier version of the released code had 2",
        ),
        Hyperparameter::choice(
            "overlap",
            &["count", "union", "count2"],
            "how often the error of a pixel counts that several areas cover: as often, once, or squared as \
             released",
        ),
        Hyperparameter::flag(
            "adapter_relu",
            true,
            "whether the adapter ends in a ReLU; nets whose features have negative values may do without",
        ),
        Hyperparameter {
            name: "policy_seed",
            kind: Kind::CountOrNone { default: Some(42), maximum: u32::MAX },
            documentation: "which of the 36 pairs of operations is left out of the policy; none with \"none\"",
        },
        Hyperparameter::positive(
            "relaxation",
            0.5,
            "temperature of what is drawn in the gradients of probabilities and choice",
        ),
        Hyperparameter::weight("policy_rate", 3e-4, "step length of Adam on the policy"),
        Hyperparameter::weight(
            "policy_decay",
            1e-3,
            "weight decay of the policy: with gumbel of the sub-policy that was drawn, with relax Adam's on all",
        ),
        Hyperparameter::choice(
            "objective",
            &["first_order", "unrolled"],
            "what the policy minimises: the consistency, whose minimum is no augmentation, so that a longer search \
                            augments less; or as released the student's loss after a virtual step",
        ),
        Hyperparameter::choice(
            "estimator",
            &["gumbel", "relax"],
            "gradients of what is drawn: straight-through Gumbel-Softmax, or as released RELAX",
        ),
        Hyperparameter::flag(
            "held_out",
            true,
            "whether the policy learns from the half of a batch that features are not compared on (base = \
             \"fitnet\")",
        ),
        Hyperparameter::weight("unrolled_rate", 0.01, "length of the virtual step"),
        Hyperparameter::weight("unrolled_decay", 1e-4, "weight decay of the virtual step"),
        Hyperparameter::flag(
            "unrolled_random_policy",
            false,
            "as released: after the virtual step the loss is of features that an untrained policy augments, not \
             of plain ones",
        ),
        Hyperparameter::flag(
            "relax_repeats_choice",
            false,
            "as released: the score of the choice counts once for every probability (70 times)",
        ),
        Hyperparameter::flag(
            "translate_by_side",
            false,
            "as released: translations are by value times height in half maps, out of the map mostly",
        ),
    ],
    contradiction,
    phases: |values| match searches(values) {
        // A search of a part of an epoch, as in a training that was shortened, is one of a whole one.
        true => match values.epochs("search_epochs") {
            epochs if epochs > 0.0 => vec![(epochs.round() as u32).max(1)],
            _ => vec![0],
        },
        false => Vec::new(),
    },
    taps,
    record,
    learned: |values, _, parameter| match values.flag("augmentation") {
        true => policy::learned(values, parameter),
        false => Vec::new(),
    },
    ..MethodDescription::BASE
};

fn contradiction(values: &Hyperparameters) -> Option<(&'static str, String)> {
    let needless = searches(values) && !loss::adapts(values);
    needless.then(|| {
        let why = "without areas nothing trains the adapter through which the policy sees the student; set consistency = \
                   false, or areas = true";
        ("base", why.to_string())
    })
}

/// Whether the policy learns at all.
fn searches(values: &Hyperparameters) -> bool {
    values.flag("augmentation") && values.flag("consistency")
}

fn taps(classroom: &Classroom<'_>, values: &Hyperparameters) -> Result<Taps> {
    let hint = values.choice("hint");
    let own = |network: &Network| features::named(network, hint);
    let mut taps = features::of_teacher(classroom, own, own)?;
    if let Some(base) = Base::of(values) {
        base::taps(base, classroom, &mut taps)?;
    }
    for names in taps.mentors.iter_mut().chain([&mut taps.student]) {
        names.sort();
        names.dedup();
    }
    Ok(taps)
}

/// Records the loss of a lesson, and in the search what the policy learns; of several teachers the first is the teacher.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let policy = values.flag("augmentation").then(|| Policy::new(tape, lesson, values)).transpose()?;
    let searching = searches(values) && lesson.phase == 0;
    let by_relax = searches(values) && values.choice("estimator") == "relax";
    let control = match &policy {
        // Declared in every phase, so that weights of one fit the other.
        Some(policy) if by_relax => Some(Control::new(tape, lesson, policy, values)?),
        _ => None,
    };
    let batch = tape.shape(lesson.student.logits)[0];
    let whole = Rows { start: 0, count: batch };
    let rows = match searching && values.flag("held_out") && values.choice("base") == "fitnet" && batch > 1 {
        true => {
            let count = batch.div_ceil(2);
            [Rows { start: 0, count }, Rows { start: count, count: batch - count }]
        }
        false => [whole; 2],
    };
    let mut augmenter = Augmenter::new(values);
    let mut sample = None;
    let mut positions = None;
    if let Some(policy) = &policy {
        // What made-up lessons hold is in its range.
        if searching && lesson.batch.is_some() {
            policy.project(tape, lesson)?;
        }
        let drawn = policy.sample(tape, lesson)?;
        positions = Some(policy.positions(tape, &drawn, Learns::Nothing)?);
        sample = Some(drawn);
    }
    let adapted = loss::adapts(values).then(|| loss::adapted(tape, lesson, values)).transpose()?;
    let mut augment = |tape: &mut Tape, lesson: &mut Lesson<'_>, name: &str, x: ValueId| match &positions {
        Some(positions) => augmenter.apply(tape, lesson, name, x, (positions, Learns::Nothing)),
        None => Ok(x),
    };
    let mut taught = loss::record(tape, lesson, values, adapted, rows[0], &mut augment)?;
    if let (Some(policy), Some(sample), Some(adapted), true) = (&policy, &sample, adapted, searching) {
        let control = match control {
            Some(control) => Some((control, Again::new(tape, lesson, sample)?)),
            None => None,
        };
        let search = Search { values, policy, sample, control, rows };
        let (update, objective) = search.record(tape, lesson, adapted, taught.loss, &mut augmenter)?;
        taught.details.push(("loss/search", objective));
        taught.updates.push(update);
    }
    Ok(taught)
}

#[cfg(test)]
mod tests;
