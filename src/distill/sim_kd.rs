//! SimKD: the teacher's classifier is used again. A projector brings the student's last map, the one behind its last stage,
//! into the teacher's space, where it is only to be what the teacher's is; the teacher's classifier, which does not change,
//! then tells the class.
//!
//! `loss = weight mean (P(f_S) - f_T)^2 + ce_weight CE(z, y) + kd_weight T^2 KL(softmax(z_T / T) || softmax(z / T))`, with
//! `z` the teacher's classifier on the pooled `P(f_S)`. The larger of both maps is pooled to the smaller's size. The authors
//! have `weight = 1` and the others 0; with other weights their code takes both terms from the student's own classifier,
//! which it does not test, and this one from the classifier that is used. What is trained, tested, saved and deployed is the
//! student with projector and classifier ([`Network::joined_with`]).

use super::{
    Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Taps, Taught, Use, features, hint,
};
use crate::error::Result;
use crate::nn::{FACTOR, Model, Network, PROJECTED};
use crate::tape::Tape;

/// What this method says about itself. The defaults are those of the authors' code.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "sim_kd",
    title: "the student's projected map matches the teacher's, whose classifier is used again",
    paper: "Chen, Mei, Zhang, Wang, Feng, Chen: Knowledge Distillation with the Reused Teacher Classifier, CVPR 2022, \
            arXiv 2203.14001",
    needs: Needs { teachers: Use::Required, features: true, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("weight", 1.0, "weight of the distance of the maps"),
        Hyperparameter::ce_weight(0.0),
        Hyperparameter::weight("kd_weight", 0.0, "weight of the divergence from the teacher"),
        Hyperparameter::positive("temperature", 4.0, "divides the logits of student and teacher in the divergence"),
        Hyperparameter::count(
            "factor",
            FACTOR as u32,
            [1, 4096],
            "the teacher's channels divided by this are the channels within the projector",
        ),
    ],
    taps: |classroom, _| {
        let teacher = |network: &Network| Ok(vec![features::classified(network)?.0]);
        let mentors = features::of_teacher(classroom, |_| Ok(Vec::new()), teacher)?.mentors;
        Ok(Taps { student: vec![PROJECTED.into()], mentors })
    },
    student: |classroom, values| {
        let join = |(_, teacher): &(&str, &Network)| classroom.student.joined_with(teacher, values.whole("factor"));
        classroom.mentors.first().map(join).transpose()
    },
    record,
    ..MethodDescription::BASE
};

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let teacher = lesson.teacher()?.clone();
    keep_classifier(lesson);
    let projected = lesson.student.feature(tape, PROJECTED)?; // [B, H, W, C]
    let target = teacher.classified(tape)?;
    let (projected, target) = hint::matched(tape, projected, target)?;
    let distance = hint::mean_square(tape, projected, target)?;
    let mut parts = vec![(teacher.role.as_str(), values.number("weight"), distance)];
    let temperature = values.number("temperature");
    if values.number("ce_weight") > 0.0 {
        parts.push(("cross_entropy", values.number("ce_weight"), lesson.cross_entropy(tape)?));
    }
    if values.number("kd_weight") > 0.0 {
        let divergence = tape.kl_divergence(lesson.student.logits, teacher.logits, temperature)?;
        parts.push(("divergence", values.number("kd_weight"), divergence));
    }
    let mentors = vec![MentorUse::constant(&teacher.role, values.number("weight"), None)];
    Ok(Taught { mentors, ..Taught::sum(tape, parts)? })
}

/// The classifier stays the teacher's.
fn keep_classifier(lesson: &mut Lesson<'_>) {
    let of = |model: &Model| {
        let own = model.parameters.iter().filter(|one| one.spec.layer == model.network.logits);
        own.map(|one| one.value).collect::<Vec<_>>()
    };
    let (Some(student), Some(teacher)) = (&lesson.student.model, &lesson.mentors[0].model) else { return };
    let pairs: Vec<_> = of(student).into_iter().zip(of(teacher)).collect();
    pairs.into_iter().for_each(|(own, other)| lesson.keep_copy(own, other));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::Classroom;
    use crate::distill::check::{Small, check_method};

    #[test]
    fn gradients_are_those_of_the_loss() {
        let maps: &[(&str, [usize; 3])] = &[(PROJECTED, [3, 3, 4])];
        // A map of equal size, and one that is pooled first.
        for height in [3, 6] {
            let teacher: &[(&str, [usize; 3])] = &[("f1", [height, height, 4]), ("f2", [1, 1, 4])];
            let small = Small { student: maps, mentors: &[("teacher", teacher)], ..Small::default() };
            check_method("sim_kd", "{}", &small);
            check_method("sim_kd", r#"{"weight": 2, "ce_weight": 0.5, "kd_weight": 0.7, "temperature": 2}"#, &small);
        }
    }

    #[test]
    fn the_factor_reaches_the_net_that_learns() {
        let [student, teacher] = ["resnet8", "vgg8"].map(|name| crate::nn::build(name, 10, 3, 32, 32).unwrap());
        let mentors = vec![("teacher", &teacher)];
        let classroom = Classroom { student: &student, mentors, teachers: 1, assistants: 0 };
        for (json, factor) in [("{}", 2), (r#"{"factor": 4}"#, 4)] {
            let values = DESCRIPTION.from_json(&serde_json::from_str(json).unwrap()).unwrap();
            let made = (DESCRIPTION.student)(&classroom, &values).unwrap().unwrap();
            assert_eq!(made, student.joined_with(&teacher, factor).unwrap());
        }
    }
}
