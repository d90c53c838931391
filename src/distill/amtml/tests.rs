use super::*;
use crate::distill::check::{Mentors, Small, check_method};
use crate::distill::find;

/// Two teachers whose pooled features come with maps of other sizes than the student's.
const STUDENT: &[(&str, [usize; 3])] = &[("f1", [4, 4, 3]), ("f2", [4, 4, 4]), ("f3", [2, 2, 5]), ("f4", [1, 1, 5])];
const FIRST: &[(&str, [usize; 3])] = &[("f1", [4, 4, 2]), ("f2", [2, 2, 3]), ("f3", [2, 2, 6]), ("f4", [1, 1, 6])];
const SECOND: &[(&str, [usize; 3])] = &[("f1", [4, 4, 4]), ("f2", [2, 2, 3]), ("f3", [1, 1, 3])];
const MENTORS: Mentors<'static> = &[("teacher", FIRST), ("teacher-2", SECOND), ("peer-1", FIRST)];

fn small(phase: usize) -> Small<'static> {
    Small { batch: 4, classes: 3, student: STUDENT, mentors: MENTORS, phase, ..Small::default() }
}

#[test]
fn the_gradients_are_those_of_the_loss() {
    for options in [
        "{}",
        r#"{"kl_reduction": "batchmean", "beta": "max", "temperature": 2, "alpha": 0.4}"#,
        r#"{"hints": "same_depth", "angle_weight": 0}"#,
        r#"{"hints": "group", "distance_weight": 0, "regularisation": 0.1}"#,
        r#"{"hints": "second_map", "hint_weight": 3}"#,
        r#"{"hints": "attention", "hint_weight": 100, "tempered_student": true}"#,
        r#"{"frozen_regressors": true, "two_stages": false}"#,
        r#"{"teacher_weights": "average", "hint_weight": 0}"#,
    ] {
        check_method("amtml", options, &small(0));
    }
    check_method("amtml", "{}", &small(1));
    for phase in [0, 1] {
        check_method("amtml", r#"{"second_stage": "outcome"}"#, &small(phase));
    }
    check_method("amtml", r#"{"hints": "second_map"}"#, &small(1));
}

#[test]
fn one_image_has_no_relations_and_needs_none() {
    check_method("amtml", r#"{"angle_weight": 0, "distance_weight": 0}"#, &Small { batch: 1, ..small(0) });
}

/// Whom and what each variant asks: of student and teachers by their numbers of features.
fn taught(variant: &str, student: &str, teachers: &[&str]) -> Vec<(String, usize, String)> {
    let network = |name: &str| crate::nn::build(name, 10, 3, 32, 32).unwrap();
    let (student, networks) = (network(student), teachers.iter().map(|name| network(name)).collect::<Vec<_>>());
    let classroom = Classroom {
        student: &student,
        mentors: networks.iter().map(|network| ("teacher", network)).collect(),
        teachers: networks.len(),
        assistants: 0,
    };
    let values =
        DESCRIPTION.from_json(&serde_json::from_str(&format!(r#"{{"hints": "{variant}"}}"#)).unwrap()).unwrap();
    hints::of_classroom(&classroom, &values)
        .unwrap()
        .into_iter()
        .map(|hint| (hint.to, hint.teacher, hint.from))
        .collect()
}

#[test]
fn every_group_has_the_teacher_that_the_variant_says() {
    let three = ["resnet14", "vgg8", "wrn_16_1"];
    let of = |list: &[(&str, usize, &str)]| -> Vec<(String, usize, String)> {
        list.iter().map(|(to, teacher, from)| (to.to_string(), *teacher, from.to_string())).collect()
    };
    let (resnet, vgg, wrn) = ("f4", "f5", "f4");
    let expected = of(&[("f2", 0, resnet), ("f3", 1, vgg), ("f4", 2, wrn)]);
    assert_eq!(taught("teacher_level", "resnet8", &three), expected);
    assert_eq!(taught("group", "resnet8", &three), expected[..2]);
    assert_eq!(taught("second_map", "resnet8", &three), of(&[("f2", 0, "f2"), ("f2", 1, "f2"), ("f2", 2, "f2")]));
    assert_eq!(taught("same_depth", "resnet8", &three), of(&[("f2", 0, "f2"), ("f3", 1, "f3"), ("f4", 2, "f4")]));
    assert_eq!(taught("attention", "resnet8", &three), of(&[("f1", 0, "f1"), ("f2", 1, "f2"), ("f3", 2, "f3")]));
    // By attention every map of the student has a teacher, however many there are.
    assert_eq!(
        taught("attention", "vgg8", &three[..2]),
        of(&[("f1", 0, "f1"), ("f2", 1, "f2"), ("f3", 0, "f3"), ("f4", 1, "f4")])
    );
    assert_eq!(taught("attention", "resnet8", &["vgg8"]), of(&[("f1", 0, "f1"), ("f2", 0, "f2"), ("f3", 0, "f3")]));
    assert_eq!(taught("attention", "vgg8", &["resnet14"])[3], ("f4".to_string(), 0, "f3".to_string()));
    assert_eq!(taught("attention", "resnet8", &["resnet14"; 5]).len(), 3);
    // A fourth teacher begins again; a student with one map more has a group more.
    let four = ["resnet14"; 4];
    assert_eq!(taught("teacher_level", "resnet8", &four)[3], ("f2".to_string(), 3, "f4".to_string()));
    assert_eq!(taught("teacher_level", "vgg8", &four)[3], ("f5".to_string(), 3, "f4".to_string()));
}

#[test]
fn what_cannot_be_is_refused() {
    let read = |json: &str| DESCRIPTION.from_json(&serde_json::from_str(json).unwrap());
    let message = read(r#"{"alpha": 1.5}"#).unwrap_err().to_string();
    assert!(message.contains("expected a number from 0 to 1, found 1.5"), "{message}");
    let message = read(r#"{"frozen_regressors": true, "hint_weight": 0}"#).unwrap_err().to_string();
    assert!(message.contains("no regressors without hints"), "{message}");
    for options in [
        r#"{"second_stage": "outcome", "two_stages": false}"#,
        r#"{"second_stage": "outcome", "teacher_weights": "average"}"#,
    ] {
        let message = read(options).unwrap_err().to_string();
        assert!(message.contains("there is no outcome of it"), "{message}");
    }
    let network = crate::nn::build("resnet8", 10, 3, 32, 32).unwrap();
    let classroom = Classroom { student: &network, mentors: vec![("teacher", &network)], teachers: 1, assistants: 0 };
    let message = taps(&classroom, &read(r#"{"hints": "group"}"#).unwrap()).unwrap_err().to_string();
    assert!(message.contains("leaves out the last teacher"), "{message}");
}

#[test]
fn the_stages_are_the_releases() {
    let method = find("amtml").unwrap();
    let values = method.defaults();
    assert_eq!((method.phases)(&values), [80]);
    let one = method.from_json(&serde_json::from_str(r#"{"two_stages": false}"#).unwrap()).unwrap();
    assert!((method.phases)(&one).is_empty());
    let network = crate::nn::build("amtml_resnet8", 10, 3, 32, 32).unwrap();
    let convolutions = |network: &Network| {
        let all = network.parameters();
        let of = |role| all.iter().find(|one| one.role == role).map(|one| one.init).unwrap();
        (of(crate::nn::Role::Weight), of(crate::nn::Role::Gamma))
    };
    let expected = (Distribution::Normal { std: 0.02 }, Distribution::NormalAround { mean: 1.0, std: 0.02 });
    assert_eq!(convolutions(&restarted(&network)), expected);
    let linear = |network: &Network| network.parameters().into_iter().find(|one| one.name == "fc.weight").unwrap().init;
    assert_eq!(linear(&restarted(&network)), linear(&network));
}
