//! The page of a made-up run: whole, well formed, and safe from what people call their models.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::train::folder::RunFolder;
use crate::train::log::LineLog;
use crate::train::records::{
    Accuracies, ClassroomLine, MetricsLine, NamedValues, Phase, Spread, Summary, SummaryModel, TimingLine,
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
        method_name: None,
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
                                phase: Phase::Distil,
                                role: "student".into(),
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
    let mut timing = run.log("timing.jsonl").unwrap();
    for (phase, seconds) in [(Phase::Pretrain, 3600.0), (Phase::Distil, 12_820.0)] {
        let (method, seeds) = (None, Vec::new());
        let line = TimingLine {
            phase,
            method,
            seed: 1,
            seeds,
            epoch: 1,
            seconds,
            step_ms: 5.0,
            images_per_second: 1234.0,
            peak_mib: 512.0,
        };
        timing.append(&line).unwrap();
    }
    if !finished {
        return;
    }
    let classes =
        ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", &names.class];
    let per_class = |end: f64| -> Vec<Option<f64>> {
        let hard = [0.05, -0.1, 0.08, 0.0, 0.07, -0.08, 0.22, -0.07, -0.1, -0.06];
        hard.iter()
            .map(|hard| (end - hard + 0.02 * noise(&[(hard * 1e3) as u64, (end * 1e4) as u64])).min(0.996))
            .map(Some)
            .collect()
    };
    let model = |role: &str, model: &str, params, trained_by: &str, end: f64, values: Vec<f64>| SummaryModel {
        role: role.into(),
        model: model.into(),
        params,
        trained_by: trained_by.into(),
        method_name: None,
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
    let text = table(&summary(&[1, 2, 3]), 100);
    for part in ["teacher", "resnet20", "272,474", "90.4", "peer-3", "student", "cross_entropy", "best on"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(text.contains("classroomkd over the student alone: +2.4 points (beyond the spread of 3 seeds)"), "{text}");
    let text = table(&summary(&[1]), 100);
    assert!(text.contains("over the student alone: +2.2 points\n"), "{text}");
    assert_eq!(text.matches("1 seed: the spread is not known").count(), 1, "{text}");
    // One value is not written twice.
    assert!(!text.contains("seeds"), "{text}");
}

/// Reads the summary of a run, lets `change` change it, and writes it again.
fn changed(run: &Path, change: impl FnOnce(&mut Summary)) -> Summary {
    let path = run.join("summary.json");
    let mut summary = Summary::from_json(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut summary);
    fs::write(path, summary.to_json().unwrap()).unwrap();
    summary
}

/// A made-up finished run, whatever is changed in it, and its page.
fn page_with(seeds: &[u64], change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    synthetic(&run, &Names::plain(), seeds, true);
    change(&run);
    let out = folder.path().join("report.html");
    write(&[&run], &out).unwrap();
    let page = fs::read_to_string(out).unwrap();
    check_well_formed(&page).unwrap();
    page
}

/// A section of the page.
fn part<'a>(page: &'a str, title: &str) -> &'a str {
    let start = page.find(&format!("<h2>{title}</h2>")).unwrap_or_else(|| panic!("no section {title}"));
    &page[start..start + page[start..].find("</section>").unwrap()]
}

#[test]
fn the_student_alone_is_who_learns_from_labels_whatever_it_is_called() {
    // ClassroomKD goes by the baseline's name, the baseline by another.
    let mut text = String::new();
    let page = page_with(&[1, 2, 3], |run| {
        let summary = changed(run, |summary| {
            for model in summary.models.iter_mut().filter(|model| model.is_student()) {
                let label = match model.trained_by.as_str() {
                    Summary::ALONE => "baseline",
                    "classroomkd" => Summary::ALONE,
                    _ => continue,
                };
                let name = std::mem::replace(&mut model.trained_by, label.into());
                model.method_name = Some(name);
            }
        });
        text = table(&summary, 100);
    });
    assert!(text.contains("\ncross_entropy over the student alone: +2.4 points (beyond"), "{text}");
    assert!(!text.contains("baseline over"), "{text}");
    assert!(page.contains("% alone (baseline), ") && page.contains("% by cross_entropy (+2.4 points"), "{page}");
    assert!(page.contains("student · alone (baseline)") && page.contains("student · cross_entropy"), "{page}");
}

#[test]
fn a_class_without_images_is_a_dash_and_not_zero() {
    let page = page_with(&[1], |run| {
        changed(run, |summary| summary.models.iter_mut().for_each(|model| model.per_class[3] = None));
    });
    let row = part(&page, "Accuracy per class").lines().find(|line| line.contains("<th>Dress</th>")).unwrap();
    assert_eq!((row.matches("<td>–</td>").count(), row.matches("<td").count()), (7, 7), "{row}");
}

#[test]
fn taught_mentors_have_headings_of_their_own() {
    let page = page_with(&[1], |run| {
        let mut log = LineLog::open(&run.join("classroom.jsonl")).unwrap();
        for (role, method, first) in [("assistant-1", "takd", 0.9), ("assistant-2", "sokd", 1000.0)] {
            for epoch in 1..=3 {
                let line = ClassroomLine {
                    phase: Phase::Assist,
                    role: role.into(),
                    method: method.into(),
                    seed: 0,
                    epoch,
                    mentor: "teacher".into(),
                    rank: None,
                    weight: first * epoch as f64,
                    temperature: Some(4.0),
                    active: 1.0,
                };
                log.append(&line).unwrap();
            }
        }
        // As versions wrote it that did not say who is taught.
        let old =
            "{\"method\":\"\",\"seed\":0,\"epoch\":1,\"mentor\":\"old-mentor\",\"weight\":334.0,\"active\":1.0}\n";
        let text = fs::read_to_string(run.join("classroom.jsonl")).unwrap();
        fs::write(run.join("classroom.jsonl"), text + old).unwrap();
    });
    let classroom = part(&page, "The classroom over time");
    for heading in ["assistant-1, taught by takd", "assistant-2, taught by sokd", "classroomkd"] {
        assert_eq!(classroom.matches(&format!("<h3>{heading}</h3>")).count(), 1, "{heading}");
    }
    assert!(!classroom.contains("<h3></h3>") && !classroom.contains("334"), "{classroom}");
    assert!(classroom.contains("teacher, epoch 2: 2000.000") && classroom.contains("teacher, epoch 2: 1.800"));
}

#[test]
fn what_changes_is_drawn_and_what_does_not_is_a_row() {
    let page = page_with(&[1, 2, 3], |_| {});
    let classroom = part(&page, "The classroom over time");
    let (charts, table) = classroom.split_once("<h3>What stays the same</h3>").unwrap();
    // KD asks its mentors always, with the same weight and temperature.
    assert_eq!(charts.matches("<h3>").count(), 1, "only classroomkd has charts");
    for title in ["Rank", "Weight", "Temperature", "Asked, of all steps"] {
        assert_eq!(charts.matches(&format!("<figcaption>{title}")).count(), 1, "{title}");
    }
    let cells = "<td>kd</td><td>teacher, peer-1, peer-2, peer-3</td><td class=\"n\">0.25</td><td class=\"n\">4</td><td class=\"n\">100%</td>";
    assert!(table.contains(cells) && !table.contains("rank"), "{table}");
}

#[test]
fn the_page_shows_phases_terms_learned_words_and_speed() {
    let page = page_with(&[1, 2], |run| {
        let config = fs::read_to_string(run.join("config.toml")).unwrap();
        let method = "\n[[methods]]\nname = \"ca_mkd\"\nlabel = \"classroomkd\"\nfeature_start = 4\n";
        fs::write(run.join("config.toml"), config + method).unwrap();
        changed(run, |summary| {
            let model = summary.models.iter_mut().find(|model| model.trained_by == "classroomkd").unwrap();
            model.learned = vec![vec!["sub-policy 1: shear".into(), "sub-policy 2: noise".into()], vec!["none".into()]];
        });
        let lines = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let two = "\"losses\":{\"cross_entropy\":0.5,\"peer-1\":0.25}";
        let with = |line: &str| match line.contains("\"classroomkd\"") {
            true => line.replace("\"losses\":{\"cross_entropy\":0.5}", two) + "\n",
            false => line.to_string() + "\n",
        };
        fs::write(run.join("metrics.jsonl"), lines.lines().map(with).collect::<String>()).unwrap();
    });
    let said = "phase 2 of classroomkd begins with epoch 5";
    // In three curves and their note; in four charts of the classroom; with the loss's terms.
    assert_eq!(page.matches(said).count(), 3 + 1 + 4 + 1, "{page}");
    let terms = part(&page, "What the loss consists of");
    assert_eq!(terms.matches("<figure>").count(), 1, "{terms}");
    assert!(terms.contains("peer-1, epoch 8: 0.250"), "{terms}");
    let learned = part(&page, "What methods learned of their own");
    for cells in
        ["<td>classroomkd</td><td>seed 1</td><td>sub-policy 1: shear</td>", "<td></td><td>seed 2</td><td>none</td>"]
    {
        assert!(learned.contains(cells), "no {cells} in {learned}");
    }
    let footer = page.lines().find(|line| line.starts_with("<footer>")).unwrap();
    let speed =
        "Trained for 4 h 34 min: mentors 1 h (1,234 images/s), student 3 h 34 min (1,234 images/s); at most 512 MiB";
    assert!(footer.contains(speed), "{footer}");
}

#[test]
fn many_methods_are_summed_up_and_told_apart() {
    let page = page_with(&[1], |run| {
        let summary = changed(run, |summary| {
            let student = summary.models.last().unwrap().clone();
            summary.models.truncate(5);
            for index in 0..12 {
                let top1 = Accuracies { last: Spread::of(vec![0.7 + 0.01 * f64::from(index)]), best_validation: None };
                summary.models.push(SummaryModel { trained_by: format!("m{index}"), top1, ..student.clone() });
            }
        });
        fs::remove_file(run.join("metrics.jsonl")).unwrap();
        let mut log = LineLog::open(&run.join("metrics.jsonl")).unwrap();
        for model in summary.models.iter().filter(|model| model.is_student()) {
            let line = MetricsLine {
                phase: Phase::Distil,
                method: Some(model.trained_by.clone()),
                method_name: None,
                seed: 1,
                role: "student".into(),
                model: "resnet8".into(),
                epoch: 1,
                step: 1,
                lr: 0.1,
                loss: 1.0,
                losses: NamedValues(vec![("cross_entropy".into(), 1.0)]),
                train_top1: 0.5,
                validation_top1: None,
            };
            log.append(&line).unwrap();
        }
    });
    let lead = page.lines().find(|line| line.starts_with("<p class=\"lead\">")).unwrap();
    assert!(lead.contains("alone, and by 12 methods from 70.0% (m0) to 81.0% (m11)."), "{lead}");
    assert_eq!(page.matches("1 seed: the spread is not known").count(), 1);
    let legend = part(&page, "The student learns").lines().find(|line| line.contains("class=\"legend\"")).unwrap();
    let mut styles: Vec<&str> =
        legend.split("<g class=\"").skip(1).map(|rest| &rest[..rest.find('"').unwrap()]).collect();
    assert_eq!(styles.len(), 13);
    styles.sort_unstable();
    styles.dedup();
    assert_eq!(styles.len(), 13, "{legend}");
    assert!(styles.iter().all(|style| style.ends_with(" d0")), "twelve methods need no dashes");
}

#[test]
fn the_terminal_table_is_no_wider_than_it_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let names = Names { method: "a-method-with-a-long-label".into(), ..Names::plain() };
    synthetic(&run, &names, &[1, 2, 3, 4, 5, 6, 7, 8], true);
    let summary = changed(&run, |_| {});
    for width in [80, 100] {
        let text = table(&summary, width);
        let table = text.lines().take_while(|line| !line.contains("over the student"));
        let widest = table.map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= usize::from(width), "{widest} of {width} columns:\n{text}");
    }
}
