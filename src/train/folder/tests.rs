//! Names and numbers of runs' folders, and what is refused.

use super::*;
use std::collections::BTreeSet;

#[test]
fn numbers_follow_the_highest_in_use_even_when_folders_race() {
    let root = tempfile::tempdir().unwrap();
    let runs = root.path().join("deep/runs");
    let made: BTreeSet<PathBuf> = std::thread::scope(|scope| {
        let make = || RunFolder::create_under(&runs, None, "fashion").unwrap().path;
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made, (1..=8).map(|number| runs.join(format!("fashion-{number}"))).collect());
    fs::create_dir(runs.join("fashion-41")).unwrap();
    fs::create_dir(runs.join("fashion-classroom-99")).unwrap();
    assert_eq!(RunFolder::create_under(&runs, None, "fashion").unwrap().path, runs.join("fashion-42"));
}

#[test]
fn names_cannot_leave_the_folder() {
    assert_eq!(as_file_name("../../etc/pass wd"), "-..-etc-pass-wd");
    assert_eq!(as_file_name(".."), "run");
    assert_eq!(as_file_name("fashion-classroom_2.1"), "fashion-classroom_2.1");
}

#[test]
fn a_folder_in_use_is_refused_and_left_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    drop(RunFolder::create(Some(&out), "x").unwrap());
    assert!(out.join(MODELS).is_dir() && out.join(CHECKPOINTS).is_dir());
    let error = RunFolder::create(Some(&out), "x").unwrap_err();
    assert!(error.to_string().ends_with("out is not empty"), "{error}");
    fs::write(out.join(CONFIG), "").unwrap();
    let error = RunFolder::create(Some(&out), "x").unwrap_err();
    assert!(error.to_string().ends_with("out already holds a run"), "{error}");
    assert_eq!(error.exit_status(), 2);
    let file = root.path().join("file");
    fs::write(&file, "text").unwrap();
    assert!(RunFolder::create(Some(&file), "x").unwrap_err().to_string().ends_with("file is a file"));
    let empty = root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    RunFolder::create(Some(&empty), "x").unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_a_wrong_request_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "text").unwrap();
    let error = RunFolder::create(Some(&file.join("a/b")), "x").unwrap_err();
    assert_eq!(error.exit_status(), 2);
    assert!(error.to_string().contains("cannot be written"), "{error}");
    // The first parents can be made, the last name is longer than file systems allow.
    let long = root.path().join("new/parent").join("n".repeat(300));
    let error = RunFolder::create(Some(&long), "x").unwrap_err();
    assert_eq!(error.exit_status(), 2);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn only_a_runs_folder_can_be_resumed_and_only_by_one_process() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    assert!(RunFolder::open(&path).unwrap_err().to_string().contains("does not exist"));
    let run = RunFolder::create(Some(&path), "x").unwrap();
    assert!(RunFolder::open(&path).unwrap_err().to_string().contains("holds no config.toml"));
    run.write_config("name = \"x\"\n").unwrap();
    if cfg!(target_os = "linux") {
        assert!(RunFolder::open(&path).unwrap_err().to_string().starts_with("another process"));
    }
    drop(run);
    // A kill between writing a file aside and renaming it.
    fs::write(path.join(".tmp-summary.json"), "{").unwrap();
    fs::write(path.join("models/.tmp-teacher.safetensors"), "half").unwrap();
    let run = RunFolder::open(&path).unwrap();
    assert_eq!(run.config().unwrap(), "name = \"x\"\n");
    let names = |path: &Path| -> BTreeSet<String> {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names(&path), ["checkpoints", "config.toml", "models"].map(String::from).into());
    assert_eq!(names(&path.join("models")), BTreeSet::new());
    assert_eq!(run.mentor_weights("peer-1"), path.join("models/peer-1.safetensors"));
    assert_eq!(run.student_weights("kd", 2), path.join("models/student-kd-seed2.safetensors"));
}
