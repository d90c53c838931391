//! What lines and summaries hold as JSON, and what older ones are read as.

use super::*;
use crate::train::log::json_line;

#[test]
fn metrics_and_classroom_lines_have_the_fields_of_the_contract_in_its_order() {
    let mut metrics = MetricsLine {
        phase: Phase::Distil,
        method: Some("classroomkd".into()),
        method_name: None,
        seed: 1,
        role: "student".into(),
        model: "resnet8".into(),
        epoch: 3,
        step: 336,
        lr: 0.05,
        loss: 1.23,
        losses: NamedValues(vec![("cross_entropy".into(), 0.8), ("peer-1".into(), 0.2)]),
        train_top1: 0.71,
        validation_top1: Some(0.70),
    };
    let text = r#"{"phase":"distil","method":"classroomkd","seed":1,"role":"student","model":"resnet8","epoch":3,"step":336,"lr":0.05,"loss":1.23,"losses":{"cross_entropy":0.8,"peer-1":0.2},"train_top1":0.71,"validation_top1":0.7}"#;
    assert_eq!(json_line(&metrics).unwrap(), text);
    assert_eq!(serde_json::from_str::<MetricsLine>(text).unwrap(), metrics);
    metrics.validation_top1 = Some(f64::NAN);
    assert_eq!(json_line(&metrics).unwrap_err().to_string(), "`validation_top1` is not a finite number");
    metrics.validation_top1 = None;
    assert!(json_line(&metrics).unwrap().ends_with(r#""train_top1":0.71}"#));

    let classroom = r#"{"method":"classroomkd","seed":1,"epoch":3,"mentor":"peer-1","rank":0.61,"weight":1.1,"temperature":3.2,"active":0.97}"#;
    let mut line: ClassroomLine = serde_json::from_str(classroom).unwrap();
    assert_eq!(json_line(&line).unwrap(), classroom);
    assert_eq!((line.phase, line.role.as_str()), (Phase::Distil, "student"));
    // Of a mentor that is taught it says so, and who it is.
    (line.phase, line.role, line.method) = (Phase::Assist, "assistant-1".into(), "takd".into());
    let text = json_line(&line).unwrap();
    assert!(text.starts_with(r#"{"phase":"assist","role":"assistant-1","method":"takd","seed":1"#), "{text}");
    assert_eq!(serde_json::from_str::<ClassroomLine>(&text).unwrap(), line);
}

#[test]
fn the_summary_reads_back_and_refuses_nan_and_other_formats() {
    let mut summary = Summary {
        format: Summary::FORMAT.into(),
        name: "a \"quoted\" name".into(),
        device: "cpu".into(),
        seeds: vec![1, 2],
        classes: vec!["Bag".into(), "Boot".into()],
        models: vec![SummaryModel {
            role: "student".into(),
            model: "resnet8".into(),
            params: 77_754,
            trained_by: "kd".into(),
            method_name: None,
            top1: Accuracies { last: Spread::of(vec![0.5, 0.7]), best_validation: None },
            per_class: vec![Some(0.1), None],
            learned: Vec::new(),
        }],
    };
    let text = summary.to_json().unwrap();
    assert!(text.starts_with(r#"{"format":"kd-summary/1","name":"a \"quoted\" name","device":"cpu","seeds":[1,2]"#));
    assert!(text.contains(r#""per_class":[0.1,null]"#) && !text.contains("method_name"), "{text}");
    assert_eq!(Summary::from_json(&text).unwrap(), summary);
    summary.models.clear();
    assert_eq!(Summary::from_json(&summary.to_json().unwrap()).unwrap(), summary);
    let error = Summary::from_json(&text.replace("summary/1", "summary/9")).unwrap_err();
    assert!(error.to_string().contains("`kd-summary/9`, expected `kd-summary/1`"), "{error}");
    summary = Summary::from_json(&text).unwrap();
    summary.models[0].top1.last.mean = f64::NAN;
    assert_eq!(summary.to_json().unwrap_err().to_string(), "`top1.last.mean` is not a finite number");
    // What a class without images is must not hide what a fault is.
    summary = Summary::from_json(&text).unwrap();
    summary.models[0].per_class[0] = Some(f64::NAN);
    assert_eq!(summary.to_json().unwrap_err().to_string(), "`per_class` is not a finite number");
}

#[test]
fn the_student_alone_is_told_by_its_method_and_not_by_its_label() {
    let model = |role: &str, label: &str, name: Option<&str>| SummaryModel {
        role: role.into(),
        model: "resnet8".into(),
        params: 1,
        trained_by: label.into(),
        method_name: name.map(String::from),
        top1: Accuracies { last: Spread::of(vec![0.5]), best_validation: None },
        per_class: Vec::new(),
        learned: Vec::new(),
    };
    assert!(model("student", "baseline", Some("cross_entropy")).is_alone());
    assert!(!model("student", "cross_entropy", Some("kd")).is_alone());
    assert!(!model("teacher", "cross_entropy", None).is_alone());
    // As summaries were before they said the name.
    assert!(model("student", "cross_entropy", None).is_alone());
}

#[test]
fn the_spread_is_the_sample_standard_deviation_and_unknown_for_one_seed() {
    let spread = Spread::of(vec![0.84, 0.85, 0.86]);
    assert!((spread.mean - 0.85).abs() < 1e-15 && (spread.std - 0.01).abs() < 1e-15, "{spread:?}");
    assert_eq!(Spread::of(vec![0.9]).known_std(), None);
    assert_eq!(Spread::of(vec![0.9]).std, 0.0);
}
