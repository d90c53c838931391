//! ClassroomKD: in every batch the student and its mentors are ranked by how well they know the labels; the student
//! listens to those mentors that rank no lower than itself, each by its rank and at a temperature that grows with the
//! gap between them.
//!
//! With M mentors, means over the batch, and r, w, T constants of the step (no gradient flows through them):
//! - rank `r_n = exp(-CE(z_n, y))` of the student and each mentor;
//! - weight `w_n = M round(r_n / sum r, rank_digits)`;
//! - mentor m is active where `w_m >= w_S`;
//! - temperature `T_m = 1 + tau |w_m - w_S| / max(w_m, w_S)`;
//! - `loss = r_S CE(z_S, y) + sum over active m of w_m T_m^2 KL(softmax(z_m / T_m) || softmax(z_S / T_m))`.
//!
//! Several teachers are mentors like all others, each with a rank of its own; the authors' release ranks the first alone,
//! and gives its weight and temperature to all. The release smooths labels in the cross-entropy and in all ranks; here
//! `train.label_smoothing` is refused with this method.

use super::{
    Hyperparameter, Hyperparameters, Kind, Lesson, MentorUse, MethodDescription, Needs, Quantity, Taught, Term, Use,
};
use crate::error::{Error, Result};
use crate::ops::classroom::{ClassroomOptions, Mentoring, Ranking, Scope};
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are those of the authors' release on CIFAR-100.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "classroomkd",
    title: "the student listens to those mentors that rank above it, batch by batch, at temperatures that follow the gap",
    paper: "Sarode, Khan, Shehzadi, Stricker, Afzal: Classroom-Inspired Multi-Mentor Distillation with Adaptive \
            Learning Strategies, 2024, arXiv 2409.20237",
    needs: Needs { teachers: Use::Optional, assistants: Use::Unused, peers: Use::Optional, features: false },
    hyperparameters: &[
        Hyperparameter::weight(
            "tau",
            12.0,
            "how far the temperature rises with the gap: T = 1 + tau gap (the base temperature of dtkd)",
        ),
        Hyperparameter {
            name: "rank_digits",
            kind: Kind::CountOrNone { default: Some(2), maximum: 9 },
            documentation: "decimals to which shares of rank are rounded; \"none\" leaves them as they are",
        },
        Hyperparameter::choice(
            "rank_scope",
            &["batch", "sample"],
            "whether ranks, weights and temperatures belong to the batch or to each of its samples",
        ),
        Hyperparameter::choice(
            "ranking",
            &["ratio", "ordinal"],
            "weights by share of rank, or 0.1, 0.2, ... by order of rank (the earlier version)",
        ),
        Hyperparameter::flag(
            "asking",
            true,
            "false asks every mentor always: CE + sum of KL, with weights and temperatures 1",
        ),
        Hyperparameter::flag("mentoring", true, "false fixes every temperature at 1"),
        Hyperparameter::choice(
            "temperatures",
            &["adaptive", "dtkd"],
            "by the gap of ranks, or by the largest logits of student and mentor as the release runs DTKD",
        ),
        Hyperparameter::flag(
            "homogeneous",
            false,
            "true adds the unranked cross-entropy and each teacher's KL at temperature 1",
        ),
    ],
    contradiction: |values| {
        let dtkd = values.choice("temperatures") == "dtkd";
        if dtkd && !values.flag("mentoring") {
            return Some((
                "temperatures",
                "\"dtkd\" has no meaning with mentoring = false, which fixes them at 1".into(),
            ));
        }
        if dtkd && values.number("tau") == 0.0 {
            return Some(("tau", "is the base temperature of temperatures = \"dtkd\", so it has to be above 0".into()));
        }
        if dtkd && values.choice("ranking") == "ordinal" {
            let why =
                "\"dtkd\" has no meaning with ranking = \"ordinal\", which scales divergences by its own temperatures";
            return Some(("temperatures", why.into()));
        }
        if !values.flag("asking") && dtkd {
            return Some(("temperatures", "\"dtkd\" has no meaning with asking = false, which fixes them at 1".into()));
        }
        if !values.flag("asking") && values.flag("homogeneous") {
            return Some(("homogeneous", "has no meaning with asking = false, which has no ranks to add to".into()));
        }
        None
    },
    takes_smoothed_labels: false,
    record,
    ..MethodDescription::BASE
};

/// The hyperparameters as the fused operation takes them.
fn options(values: &Hyperparameters, teachers: usize) -> ClassroomOptions {
    let mentoring = match (values.flag("mentoring"), values.choice("temperatures")) {
        (false, _) => Mentoring::Off,
        (true, "dtkd") => Mentoring::Dtkd,
        (true, _) => Mentoring::Adaptive,
    };
    ClassroomOptions {
        tau: values.number("tau"),
        rank_digits: values.count("rank_digits"),
        mentoring,
        asking: values.flag("asking"),
        ranking: if values.choice("ranking") == "ordinal" { Ranking::Ordinal } else { Ranking::Ratio },
        scope: if values.choice("rank_scope") == "sample" { Scope::Sample } else { Scope::Batch },
        homogeneous: values.flag("homogeneous"),
        teachers,
    }
}

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    if lesson.label_smoothing > 0.0 {
        return Err(Error::request(
            "classroomkd ranks by labels as they are: it does not take label_smoothing above 0",
        ));
    }
    let mentors = || lesson.classmates();
    let logits: Vec<ValueId> = mentors().map(|mentor| mentor.logits).collect();
    let made = tape.classroom_loss(lesson.student.logits, &logits, lesson.labels, &options(values, lesson.teachers))?;
    let own = Term { name: "cross_entropy".into(), value: Quantity::Element(made.terms, 0) };
    let of_mentors = mentors()
        .enumerate()
        .map(|(index, mentor)| Term { name: mentor.role.clone(), value: Quantity::Element(made.terms, 1 + index) });
    let uses = mentors().enumerate().map(|(index, mentor)| MentorUse {
        role: mentor.role.clone(),
        rank: Some(Quantity::Element(made.ranks, 1 + index)),
        weight: Quantity::Element(made.weights, 1 + index),
        temperature: Some(Quantity::Element(made.temperatures, index)),
        active: Quantity::Element(made.active, index),
    });
    let details = vec![
        ("rank", made.ranks),
        ("weight", made.weights),
        ("temperature", made.temperatures),
        ("active", made.active),
    ];
    let terms = std::iter::once(own).chain(of_mentors).collect();
    Ok(Taught { mentors: uses.collect(), details, ..Taught::new(made.loss, terms) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options_of(json: &str) -> ClassroomOptions {
        options(&DESCRIPTION.from_json(&serde_json::from_str(json).unwrap()).unwrap(), 1)
    }

    #[test]
    fn defaults_are_those_of_the_loss() {
        assert_eq!(options_of("{}"), ClassroomOptions::default());
    }

    #[test]
    fn what_no_code_has_computed_is_refused() {
        for json in [
            r#"{"ranking": "ordinal", "temperatures": "dtkd"}"#,
            r#"{"mentoring": false, "temperatures": "dtkd"}"#,
            r#"{"asking": false, "temperatures": "dtkd"}"#,
        ] {
            let message = DESCRIPTION.from_json(&serde_json::from_str(json).unwrap()).unwrap_err().to_string();
            assert!(message.contains("classroomkd.temperatures: \"dtkd\" has no meaning with"), "{message}");
        }
    }

    #[test]
    fn every_hyperparameter_reaches_the_loss() {
        let standard = ClassroomOptions::default;
        for (json, expected) in [
            (r#"{"tau": 4}"#, ClassroomOptions { tau: 4.0, ..standard() }),
            (r#"{"rank_digits": null}"#, ClassroomOptions { rank_digits: None, ..standard() }),
            (r#"{"rank_scope": "sample"}"#, ClassroomOptions { scope: Scope::Sample, ..standard() }),
            (r#"{"ranking": "ordinal"}"#, ClassroomOptions { ranking: Ranking::Ordinal, ..standard() }),
            (r#"{"asking": false}"#, ClassroomOptions { asking: false, ..standard() }),
            (r#"{"mentoring": false}"#, ClassroomOptions { mentoring: Mentoring::Off, ..standard() }),
            (r#"{"temperatures": "dtkd"}"#, ClassroomOptions { mentoring: Mentoring::Dtkd, ..standard() }),
            (r#"{"homogeneous": true}"#, ClassroomOptions { homogeneous: true, ..standard() }),
        ] {
            assert_eq!(options_of(json), expected, "{json}");
        }
    }
}
