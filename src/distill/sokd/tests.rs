use super::augmentation::KINDS;
use super::policy::{MARGIN, pairs};
use super::*;
use crate::distill::check::{Mentors, Small, check_method};
use crate::distill::{Equipment, Pupil, Rule, find};
use crate::ops::adam::{AdamOptions, AdamParameter};
use crate::ops::sgd::Watch;
use crate::tape::{Arena, Plan, StateLayout};
use crate::tensor::DType;

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
        r#"{"policy_decay": 0.7}"#,
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
    for options in [
        r#"{"base": "kd"}"#,
        r#"{"base": "dkd"}"#,
        r#"{"base": {"name": "dkd", "beta": 2.0, "temperature": 3.0, "warmup_epochs": 0}}"#,
    ] {
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

/// The probabilities after `steps` of a search whose objective has no gradient: what is drawn, always sub-policy 3, applies no
/// operation, and the student's map is the teacher's.
fn probabilities_without_a_gradient(options: &str, steps: usize) -> Vec<f64> {
    let values = DESCRIPTION.from_json(&serde_json::from_str(options).unwrap()).unwrap();
    let (mut layout, mut tape) = (StateLayout::new(), Tape::new(DType::F64));
    let [labels, number, broken, count] = [("labels", 4), ("number", 1), ("broken", 1), ("steps", 1)]
        .map(|(name, n)| layout.declare(name, DType::U32, [n]));
    let feature = layout.declare("feature", DType::F64, [4, 6, 6, 3]);
    let logits = layout.declare("logits", DType::F64, [4, 3]);
    let pairs = pairs(Some(42)).len();
    let noise = [("policy/logistic", [pairs, 2]), ("policy/gumbel", [1, pairs])];
    let noise = noise.map(|(name, shape)| (name, layout.declare(name, DType::F64, shape)));
    let [map, outputs, target] = [feature, logits, labels].map(|id| tape.state(&layout, id));
    let [number, broken, count] = [number, broken, count].map(|id| tape.state(&layout, id));
    tape.set_randomness(7, number);
    let pupil =
        |role: &str| Pupil { role: role.into(), features: vec![("f2".into(), map)], logits: outputs, model: None };
    let mut equipment = Equipment::new("method", DType::F64);
    for (name, id) in noise {
        equipment.given.insert(name.into(), tape.state(&layout, id));
    }
    let mut lesson = Lesson {
        student: pupil("student"),
        labels: target,
        mentors: vec![pupil("teacher")],
        teachers: 1,
        assistants: 0,
        label_smoothing: 0.0,
        phase: 0,
        batch: None,
        layout: &mut layout,
        equipment: &mut equipment,
    };
    let policy = Policy::new(&mut tape, &mut lesson, &values).unwrap();
    let sample = policy.sample(&mut tape, &lesson).unwrap();
    let rows = [Rows { start: 0, count: 4 }; 2];
    let search = Search { values: &values, policy: &policy, sample: &sample, control: None, rows };
    let loss = lesson.cross_entropy(&mut tape).unwrap();
    let mut augmenter = Augmenter::new(&values);
    let (update, _) = search.record(&mut tape, &mut lesson, map, loss, &mut augmenter).unwrap();

    let own: Vec<ValueId> = update.parameters.iter().map(|id| tape.state(&layout, *id)).collect();
    let gradients = formulas::differentiate(&mut tape, update.loss, &own).unwrap();
    let Rule::Adam { beta1, beta2, weight_decay } = update.optimizer else { panic!("{:?}", update.optimizer) };
    let mut parameters = Vec::new();
    for (index, (weight, gradient)) in own.iter().zip(gradients).enumerate() {
        let [first, second] = ["first", "second"].map(|name| {
            let id = layout.declare(format!("{name} {index}"), DType::F64, tape.shape(*weight));
            tape.state(&layout, id)
        });
        parameters.push(AdamParameter { weight: *weight, gradient, first, second });
    }
    let options = AdamOptions { betas: [beta1, beta2], weight_decay, ..AdamOptions::default() };
    tape.adam(&parameters, update.rate, count, Watch { loss, number, broken }, options).unwrap();
    let plan = Plan::new(&tape, &layout);
    let (mut arena, mut state) = (Arena::new(plan.bytes()), layout.allocate());
    equipment.initialise(&mut state, 1);
    equipment.enter(&mut state, 0.0);
    let image: Vec<f64> = (0..432).map(|index| f64::from(index % 7) / 7.0).collect();
    state.set_f64(feature, &image);
    state.set_f64(noise[0].1, &vec![-20.0; 2 * pairs]);
    let winner: Vec<f64> = (0..pairs).map(|pair| if pair == 3 { 50.0 } else { 0.0 }).collect();
    state.set_f64(noise[1].1, &winner);
    (0..steps).for_each(|_| plan.run(&mut arena, &mut state).unwrap());
    state.to_f64(policy.states[0])
}

/// Adam divides a gradient by its size: a decay of what was not drawn would move it by the whole rate in every step.
#[test]
fn what_was_not_drawn_does_not_decay() {
    let steps = 300;
    let found = probabilities_without_a_gradient("{}", steps);
    let (drawn, others): (Vec<_>, Vec<_>) = found.iter().enumerate().partition(|(index, _)| index / 2 == 3);
    assert!(others.iter().all(|(_, p)| **p == 0.5), "{others:?}");
    // What was drawn in every step moves by nearly the rate of 3e-4 in each.
    let moved = 0.5 - 3e-4 * steps as f64;
    assert!(drawn.iter().all(|(_, p)| (**p - moved).abs() < 0.01), "{drawn:?}");
    assert_eq!(probabilities_without_a_gradient(r#"{"policy_decay": 0}"#, steps), vec![0.5; found.len()]);
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
    let told = (DESCRIPTION.learned)(&values, &[], &parameter);
    let [first, second] = pairs(Some(42))[3];
    assert_eq!(told.len(), 3);
    assert_eq!(told[0].0, "sub-policy 1");
    assert!(told[0].1.starts_with(KINDS[first].name) && told[0].1.contains(KINDS[second].name), "{told:?}");
    // e^2 / (e^2 + 34)
    assert!(told[0].1.contains("17.9% of steps") && told[0].1.contains("with 25%"), "{told:?}");
    assert!((0.0..0.5).contains(&MARGIN));
}
