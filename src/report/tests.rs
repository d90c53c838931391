//! The page of a made-up run: whole, well formed, and safe from what people call their models.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::train::folder::RunFolder;
use crate::train::records::{
    Accuracies, ClassroomLine, MetricsLine, NamedValues, Phase, Spread, Summary, SummaryModel,
};

/// The names in a made-up run.
struct Names {
    run: String,
    teacher: String,
    peer: String,
    method: String,
    class: String,
    device: String,
}

impl Names {
    fn plain() -> Self {
        Self {
            run: "fashion-classroom".into(),
            teacher: "resnet20".into(),
            peer: "wrn_16_1".into(),
            method: "classroomkd".into(),
            class: "Ankle boot".into(),
            device: "cpu (2 threads)".into(),
        }
    }
}

/// A number between 0 and 1 that looks like noise and is always the same.
fn noise(parts: &[u64]) -> f64 {
    let mixed = parts.iter().fold(7u64, |mix, part| (mix ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

/// Accuracy that rises to `end` over `epochs`.
fn rising(end: f64, epoch: u64, epochs: u64, seed: u64) -> f64 {
    let progress = epoch as f64 / epochs as f64;
    end - 0.28 * (1.0 - progress).powi(2) + 0.012 * (noise(&[epoch, seed, (end * 1e4) as u64]) - 0.5)
}

/// Makes the folder of a run as `kd-engine run` would leave it.
fn synthetic(path: &Path, names: &Names, seeds: &[u64], finished: bool) {
    let run = RunFolder::create(Some(path), "x").unwrap();
    let config = format!(
        "name = {}\n\n[data]\nsource = \"embedded\"\nvalidation = 0.1\n\n[classroom]\nstudent = \"resnet8\"\nteachers = [\"resnet20\"]\n\n[train]\nepochs = 8\nbatch_size = 64\nseeds = {seeds:?}\n",
        toml::Value::from(names.run.as_str())
    );
    run.write_config(&config).unwrap();
    let mut metrics = run.log("metrics.jsonl").unwrap();
    let mut classroom = run.log("classroom.jsonl").unwrap();
    let mentors: [(&str, &str, f64, u64); 4] = [
        ("teacher", &names.teacher, 0.904, 272_474),
        ("peer-1", "resnet8", 0.851, 78_042),
        ("peer-2", "resnet14", 0.88, 175_258),
        ("peer-3", &names.peer, 0.87, 175_994),
    ];
    let students = [(Summary::ALONE, 0.85), ("kd", 0.872), (names.method.as_str(), 0.874)];
    let line = |phase, method: Option<&str>, seed, role: &str, model: &str, epoch: u64, end: f64| MetricsLine {
        phase,
        method: method.map(String::from),
        seed,
        role: role.into(),
        model: model.into(),
        epoch,
        step: 112 * epoch,
        lr: 0.05,
        loss: 2.1 * (1.02 - rising(end, epoch, 8, seed)),
        losses: NamedValues(vec![("cross_entropy".into(), 0.5)]),
        train_top1: rising(end - 0.01, epoch, 8, seed + 100),
        validation_top1: Some(rising(end, epoch, 8, seed)),
    };
    for epoch in 1..=8 {
        for (role, model, end, _) in mentors {
            metrics.append(&line(Phase::Pretrain, None, 1, role, model, epoch, end)).unwrap();
        }
    }
    for (method, end) in students {
        for seed in seeds {
            for epoch in 1..=8 {
                metrics.append(&line(Phase::Distil, Some(method), *seed, "student", "resnet8", epoch, end)).unwrap();
                for (index, (mentor, _, strength, _)) in mentors.iter().enumerate() {
                    let gap = strength - rising(end, epoch, 8, *seed) + 0.02 * noise(&[index as u64, epoch, *seed]);
                    let ranked = (method != "kd").then_some(gap);
                    if method != Summary::ALONE {
                        classroom
                            .append(&ClassroomLine {
                                method: method.into(),
                                seed: *seed,
                                epoch,
                                mentor: mentor.to_string(),
                                rank: ranked.map(|gap| 0.5 + gap),
                                weight: ranked.map_or(0.25, |gap| 0.8 + gap),
                                temperature: Some(ranked.map_or(4.0, |gap| 12.0 * (1.0 - gap))),
                                active: ranked.map_or(1.0, |gap| (0.5 + 3.0 * gap).clamp(0.0, 1.0)),
                            })
                            .unwrap();
                    }
                }
            }
        }
    }
    if !finished {
        return;
    }
    let classes =
        ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", &names.class];
    let per_class = |end: f64| -> Vec<f64> {
        let hard = [0.05, -0.1, 0.08, 0.0, 0.07, -0.08, 0.22, -0.07, -0.1, -0.06];
        hard.iter()
            .map(|hard| (end - hard + 0.02 * noise(&[(hard * 1e3) as u64, (end * 1e4) as u64])).min(0.996))
            .collect()
    };
    let model = |role: &str, model: &str, params, trained_by: &str, end: f64, values: Vec<f64>| SummaryModel {
        role: role.into(),
        model: model.into(),
        params,
        trained_by: trained_by.into(),
        top1: Accuracies {
            best_validation: Some(Spread::of(values.iter().map(|value| value - 0.001).collect())),
            last: Spread::of(values),
        },
        per_class: per_class(end),
        learned: Vec::new(),
    };
    let mut models: Vec<SummaryModel> = mentors
        .iter()
        .map(|(role, name, end, params)| model(role, name, *params, Summary::ALONE, *end, vec![*end]))
        .collect();
    for (method, end) in students {
        let values = seeds.iter().map(|seed| end + 0.012 * (noise(&[*seed, (end * 1e4) as u64]) - 0.5)).collect();
        models.push(model("student", "resnet8", 78_042, method, end, values));
    }
    let summary = Summary {
        format: Summary::FORMAT.into(),
        name: names.run.clone(),
        device: names.device.clone(),
        seeds: seeds.to_vec(),
        classes: classes.map(String::from).to_vec(),
        models,
    };
    run.write_summary(&summary).unwrap();
}

fn page_of(names: &Names) -> String {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    synthetic(&run, names, &[1, 2, 3], true);
    let out = folder.path().join("report.html");
    write(&[&run], &out).unwrap();
    fs::read_to_string(out).unwrap()
}

/// Reads the page tag by tag: every tag is one of ours, closed in order, its attributes are ours and quoted.
fn check_well_formed(page: &str) -> Result<(), String> {
    const TAGS: &str = " html head meta title style body header h1 h2 h3 p main section div table thead tbody tr th td span \
        small figure figcaption svg g path line circle rect text details summary pre footer ";
    const ATTRIBUTES: &str = " lang charset name content class style viewBox role aria-label d x x1 x2 y y1 y2 cx cy r rx \
        width height opacity ";
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").ok_or("no doctype")?;
    while let Some(start) = rest.find(['<', '>']) {
        let tag = rest[start..].strip_prefix('<').ok_or_else(|| format!("a bare > in {}", &rest[..start + 1]))?;
        let end = tag.find(['<', '>']).filter(|end| tag[*end..].starts_with('>')).ok_or("a tag without end")?;
        let (inside, after) = (&tag[..end], &tag[end + 1..]);
        rest = after;
        if let Some(name) = inside.strip_prefix('/') {
            match open.pop() {
                Some(opened) if opened == name => {}
                other => return Err(format!("</{name}> closes {other:?}")),
            }
            continue;
        }
        let (inside, closed) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let (name, mut attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        if !TAGS.contains(&format!(" {name} ")) {
            return Err(format!("unknown tag <{inside}>"));
        }
        while !attributes.is_empty() {
            let (key, value) = attributes.split_once("=\"").ok_or_else(|| format!("bare attribute in <{inside}>"))?;
            let (value, more) = value.split_once('"').ok_or_else(|| format!("open quote in <{inside}>"))?;
            if !ATTRIBUTES.contains(&format!(" {key} ")) || value.contains("://") && !value.contains("&lt;") {
                return Err(format!("attribute {key} in <{inside}>"));
            }
            attributes = more.strip_prefix(' ').unwrap_or(more);
        }
        if !closed {
            open.push(name);
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("not closed: {open:?}")) }
}

#[test]
fn the_page_has_every_section_and_is_well_formed() {
    let page = page_of(&Names::plain());
    check_well_formed(&page).unwrap();
    for part in [
        "<h1>fashion-classroom</h1>",
        "Test accuracy",
        "The student learns",
        "The mentors learn",
        "The classroom over time",
        "Accuracy per class",
        "Ankle boot",
        "resolved config",
        "source = &quot;embedded&quot;",
        "272,474",
        "over the student alone",
    ] {
        assert!(page.contains(part), "no `{part}`");
    }
    assert!(!page.contains("http") && !page.contains("NaN") && !page.contains("@import") && !page.contains("url("));
}

#[test]
fn equal_runs_give_equal_pages_but_for_the_line_of_the_footer() {
    let lines = |page: String| -> Vec<String> {
        page.lines().filter(|line| !line.starts_with("<footer>")).map(String::from).collect()
    };
    let page = page_of(&Names::plain());
    assert_eq!(page.lines().filter(|line| line.starts_with("<footer>") && line.ends_with("</footer>")).count(), 1);
    assert_eq!(lines(page), lines(page_of(&Names::plain())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn no_name_reaches_the_page_unescaped(
        names in proptest::collection::vec("[<>&\"'=/ a-z\u{1}\\\\]{1,14}|</title><script>|\" onload=\"x|]]>|<!--", 6)
    ) {
        let [run, teacher, peer, method, class, device] = names.try_into().unwrap();
        let names = Names { run, teacher, peer, method: format!("m{method}"), class, device };
        let page = page_of(&names);
        prop_assert_eq!(check_well_formed(&page), Ok(()));
        for name in [&names.run, &names.teacher, &names.peer, &names.method, &names.class, &names.device] {
            prop_assert!(page.contains(&html::escape(name)), "{} is not on the page", name);
        }
    }
}

#[test]
fn runs_stand_side_by_side_and_unfinished_ones_show_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = ["a/run", "b/run", "unfinished"].iter().map(|name| folder.path().join(name)).collect();
    synthetic(&paths[0], &Names::plain(), &[1, 2, 3], true);
    synthetic(&paths[1], &Names { method: "amtml".into(), ..Names::plain() }, &[1], true);
    synthetic(&paths[2], &Names::plain(), &[1], false);
    let out = folder.path().join("report.html");
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    write(&paths, &out).unwrap();
    let page = fs::read_to_string(&out).unwrap();
    check_well_formed(&page).unwrap();
    for part in ["run · classroomkd", "run #2 · amtml", "unfinished · This run is not finished", "3 runs side by side"]
    {
        assert!(page.contains(part), "no `{part}`");
    }
    // A run that has just begun has a config and nothing else.
    fs::create_dir(folder.path().join("new")).unwrap();
    fs::write(folder.path().join("new/config.toml"), "name = \"just begun\"\n").unwrap();
    write(&[&folder.path().join("new")], &out).unwrap();
    let page = fs::read_to_string(&out).unwrap();
    check_well_formed(&page).unwrap();
    assert!(page.contains("<h1>just begun</h1>"));
}

#[test]
fn what_is_not_a_run_is_refused_and_the_old_page_stays() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report.html");
    fs::write(&out, "old").unwrap();
    let run = folder.path().join("run");
    synthetic(&run, &Names::plain(), &[1], true);
    assert!(write(&[folder.path()], &out).unwrap_err().to_string().contains("holds no config.toml"));
    assert!(write(&[], &out).unwrap_err().to_string().contains("no run"));
    fs::write(run.join("summary.json"), "{\"format\":").unwrap();
    let error = write(&[&run], &out).unwrap_err();
    assert!(error.to_string().contains("summary.json: EOF"), "{error}");
    assert_eq!((error.exit_status(), fs::read_to_string(&out).unwrap().as_str()), (2, "old"));
}

#[test]
fn the_terminal_table_says_what_the_spread_supports() {
    let summary = |seeds: &[u64]| {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        synthetic(&run, &Names::plain(), seeds, true);
        Summary::from_json(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap()
    };
    let text = table(&summary(&[1, 2, 3]));
    for part in ["teacher", "resnet20", "272,474", "90.4", "peer-3", "student", "cross_entropy", "best on validation"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(text.contains("classroomkd over the student alone: +2.4 points (beyond the spread of 3 seeds)"), "{text}");
    let text = table(&summary(&[1]));
    assert!(text.contains("points (1 seed: the spread is not known)"), "{text}");
}
