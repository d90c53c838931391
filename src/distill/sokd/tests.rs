use super::augmentation::KINDS;
use super::policy::{MARGIN, pairs};
use super::*;
use crate::distill::check::{Mentors, Small, check_method};
use crate::distill::find;

const STUDENT: &[(&str, [usize; 3])] = &[("f2", [6, 6, 3])];
const TEACHER: Mentors<'static> = &[("teacher", &[("f2", [6, 6, 4])])];

fn small() -> Small<'static> {
    Small { batch: 5, classes: 3, student: STUDENT, mentors: TEACHER, ..Small::default() }
}

#[test]
fn thirty_five_pairs_are_chosen_by_the_seed() {
    assert_eq!(pairs(None).len(), 36);
    let kept = pairs(Some(42));
    assert_eq!(kept.len(), 35);
    assert!(kept.iter().all(|[first, second]| first < second && *second < KINDS.len()));
    assert_eq!(kept, pairs(Some(42)));
    assert!((0..10).any(|seed| pairs(Some(seed)) != kept));
}

#[test]
fn every_base_is_known() {
    let base = DESCRIPTION.hyperparameters.iter().find(|one| one.name == "base").unwrap();
    let Kind::Method { others, .. } = base.kind else { panic!("{:?}", base.kind) };
    for name in others {
        assert!(find(name).is_some(), "{name}");
    }
}

#[test]
fn gradients_of_the_whole_loss_are_those_of_differences() {
    for options in [
        "{}",
        r#"{"detection_weight": 1.0, "feature_weight": 1.0, "held_out": false}"#,
        r#"{"overlap": "union", "adapter_relu": false, "policy_seed": null}"#,
        r#"{"overlap": "count2", "heat_classes": 2, "area_count": 3}"#,
        r#"{"areas": false, "translate_by_side": true}"#,
        r#"{"augmentation": false}"#,
        r#"{"consistency": false}"#,
    ] {
        check_method("sokd", options, &small());
    }
    check_method("sokd", "{}", &Small { phase: 1, ..small() });
}

#[test]
fn gradients_of_other_methods_losses_pass_through_areas() {
    let teacher: Mentors<'_> = &[("teacher", &[("f1", [8, 8, 3]), ("f2", [6, 6, 4])])];
    let student: &[(&str, [usize; 3])] = &[("f2", [6, 6, 3])];
    let given: &[(&str, &[usize])] = &[("head/0/weight", &[4, 3]), ("head/0/bias", &[3])];
    for options in [r#"{"base": "kd"}"#, r#"{"base": "dkd"}"#] {
        check_method("sokd", options, &Small { given, mentors: teacher, student, ..small() });
    }

    // The memory bank of `crd` has 20 images; integers of a check lie below the classes.
    let student: &[(&str, [usize; 3])] = &[("f2", [4, 4, 3]), ("f3", [1, 1, 6])];
    let teacher: Mentors<'_> = &[("teacher", &[("f2", [4, 4, 4]), ("f3", [1, 1, 4])])];
    let given: &[(&str, &[usize])] = &[("indices", &[5]), ("contrast", &[5, 9]), ("labels", &[20])];
    let options = r#"{"base": "crd", "heat_classes": 3, "area_count": 3}"#;
    check_method("sokd", options, &Small { given, mentors: teacher, student, ..small() });

    // Small maps and few classes: of tens of thousands of ReLUs some would stand within a difference's step of their kinks.
    let student: &[(&str, [usize; 3])] = &[("f1", [6, 6, 3]), ("f2", [4, 4, 4]), ("f3", [1, 1, 6])];
    let teacher: &[(&str, [usize; 3])] =
        &[("f1pre", [6, 6, 4]), ("f2pre", [4, 4, 5]), ("f3", [1, 1, 5]), ("f1", [6, 6, 4]), ("f2", [4, 4, 5])];
    let mentors: Mentors<'_> = &[("teacher", teacher)];
    for base in ["review_kd", "at"] {
        let options = format!(r#"{{"base": "{base}", "heat_classes": 3, "area_count": 3}}"#);
        check_method("sokd", &options, &Small { student, mentors, ..small() });
    }
}

#[test]
fn a_learned_policy_is_told_in_words() {
    let values = DESCRIPTION.defaults();
    let count = pairs(Some(42)).len();
    let mut choice = vec![0.0f32; count];
    choice[3] = 2.0;
    let parameter = |name: &str| match name {
        "policy.probability" => Some(vec![0.25; 2 * count]),
        "policy.choice" => Some(choice.clone()),
        "policy.magnitude" => Some(vec![0.5; 2 * count]),
        _ => None,
    };
    let told = (DESCRIPTION.learned)(&values, &parameter);
    let [first, second] = pairs(Some(42))[3];
    assert_eq!(told.len(), 3);
    assert_eq!(told[0].0, "sub-policy 1");
    assert!(told[0].1.starts_with(KINDS[first].name) && told[0].1.contains(KINDS[second].name), "{told:?}");
    // e^2 / (e^2 + 34)
    assert!(told[0].1.contains("17.9% of steps") && told[0].1.contains("with 25%"), "{told:?}");
    assert!((0.0..0.5).contains(&MARGIN));
}
