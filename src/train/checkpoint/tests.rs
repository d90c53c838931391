//! Kills, full disks and flipped bits.

use super::*;
use crate::train::durable::tests::FullDisk;
use crate::train::log::LineLog;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn checkpoint(stage: u32, step: u64) -> Checkpoint<'static> {
    let weights: Vec<u8> = (0..24).flat_map(|index| (index as f32 + step as f32).to_le_bytes()).collect();
    let cursor = Cursor {
        stage,
        phase: if stage == 0 { Phase::Pretrain } else { Phase::Distil },
        method: (stage > 0).then(|| "classroomkd".to_string()),
        seed: 1,
        seeds: Vec::new(),
        epoch: step / 100,
        step,
        stopped: false,
        metrics_length: 10 * step,
        classroom_length: 7 * step,
        config_digest: digest("name = \"x\""),
    };
    let tensors = vec![
        ("student/fc.weight".to_string(), DType::F32, vec![4, 6], Cow::Owned(weights)),
        ("student/correct".to_string(), DType::U32, vec![2], Cow::Owned(vec![1, 0, 0, 0, 2, 0, 0, 0])),
        ("step".to_string(), DType::F64, vec![], Cow::Owned((step as f64).to_le_bytes().to_vec())),
        ("mask".to_string(), DType::U8, vec![3], Cow::Owned(vec![0, 1, 1])),
        ("none".to_string(), DType::U8, vec![0], Cow::Owned(vec![])),
    ];
    Checkpoint { cursor, tensors }
}

fn stopped(stage: u32, step: u64) -> Checkpoint<'static> {
    let mut checkpoint = checkpoint(stage, step);
    checkpoint.cursor.stopped = true;
    checkpoint
}

fn sorted(mut checkpoint: Checkpoint<'static>) -> Checkpoint<'static> {
    checkpoint.tensors.sort_by(|left, right| left.0.cmp(&right.0));
    checkpoint
}

fn store(keep: usize) -> (tempfile::TempDir, CheckpointStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(&folder.path().join("checkpoints"), keep).unwrap();
    (folder, store)
}

fn bytes(store: &CheckpointStore) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&store.folder).unwrap() {
        for file in fs::read_dir(entry.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            found.insert(path.strip_prefix(&store.folder).unwrap().to_path_buf(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn the_newest_comes_back_and_the_newest_two_stay() {
    let (_folder, store) = store(2);
    assert_eq!(store.latest().unwrap(), None);
    for (stage, step) in [(0, 100), (0, 200), (0, 1000), (1, 100)] {
        store.save(&checkpoint(stage, step)).unwrap();
        assert_eq!(store.latest().unwrap(), Some(sorted(checkpoint(stage, step))));
    }
    assert_eq!(store.names().unwrap(), ["step-000-0000001000", "step-001-0000000100"]);
}

#[test]
fn equal_runs_leave_equal_bytes_in_any_order_of_tensors() {
    let (_first, first) = store(2);
    let (_second, second) = store(2);
    first.save(&checkpoint(0, 100)).unwrap();
    second.save(&sorted(checkpoint(0, 100))).unwrap();
    assert_eq!(bytes(&first), bytes(&second));
}

#[test]
fn a_run_stopped_between_checkpoints_ends_with_the_same_ones() {
    let (_first, first) = store(2);
    let (_second, second) = store(2);
    for step in [100, 200, 300] {
        first.save(&checkpoint(0, step)).unwrap();
    }
    for step in [100, 200] {
        second.save(&checkpoint(0, step)).unwrap();
    }
    second.save(&stopped(0, 250)).unwrap();
    assert_eq!(second.latest().unwrap().unwrap().cursor.step, 250);
    assert_eq!(second.names().unwrap().len(), 3);
    second.save(&checkpoint(0, 300)).unwrap();
    assert_eq!(bytes(&first), bytes(&second));
}

#[test]
fn a_kill_between_the_last_save_and_the_removal_is_made_good_at_the_end() {
    let (_folder, store) = store(3);
    store.tidy().unwrap();
    for step in [100, 200, 300] {
        store.save(&checkpoint(0, step)).unwrap();
    }
    CheckpointStore::open(&store.folder, 2).unwrap().tidy().unwrap();
    assert_eq!(store.names().unwrap(), ["step-000-0000000200", "step-000-0000000300"]);
}

#[test]
fn leftovers_of_a_kill_are_ignored_and_removed() {
    let (_folder, store) = store(2);
    store.save(&checkpoint(0, 100)).unwrap();
    // Killed while writing the next one, and while removing an old one.
    for leftover in [".tmp-step-000-0000000200", ".tmp-old-step-000-0000000050"] {
        fs::create_dir(store.folder.join(leftover)).unwrap();
        fs::write(store.folder.join(leftover).join(STATE), b"half").unwrap();
    }
    assert_eq!(store.latest().unwrap().unwrap().cursor.step, 100);
    store.save(&checkpoint(0, 200)).unwrap();
    let reopened = CheckpointStore::open(&store.folder, 2).unwrap();
    assert_eq!(fs::read_dir(&reopened.folder).unwrap().count(), 2);
    assert_eq!(reopened.latest().unwrap().unwrap().cursor.step, 200);
}

#[test]
fn every_truncation_and_every_flipped_byte_falls_back_to_the_one_before() {
    let (_folder, store) = store(2);
    store.save(&checkpoint(0, 100)).unwrap();
    store.save(&checkpoint(0, 200)).unwrap();
    let newest = store.folder.join("step-000-0000000200");
    let mut damages = 0;
    for file in [STATE, CURSOR, MANIFEST] {
        let whole = fs::read(newest.join(file)).unwrap();
        for at in (0..whole.len()).step_by(5) {
            // The newline after the JSON of the manifest may go: everything it says is still there.
            if file == MANIFEST && at + 1 == whole.len() {
                continue;
            }
            fs::write(newest.join(file), &whole[..at]).unwrap();
            assert_eq!(store.latest().unwrap().unwrap().cursor.step, 100, "{file} cut at byte {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            fs::write(newest.join(file), &flipped).unwrap();
            assert_eq!(store.latest().unwrap().unwrap().cursor.step, 100, "{file} flipped at byte {at}");
            damages += 2;
        }
        fs::remove_file(newest.join(file)).unwrap();
        assert_eq!(store.latest().unwrap().unwrap().cursor.step, 100, "{file} missing");
        fs::write(newest.join(file), &whole).unwrap();
    }
    assert!(damages > 200, "{damages}");
    assert_eq!(store.latest().unwrap().unwrap().cursor.step, 200);

    // The resumed run writes the damaged one again, and one of an abandoned future does not outlive it.
    fs::write(newest.join(STATE), b"damaged").unwrap();
    store.save(&checkpoint(0, 200)).unwrap();
    assert_eq!(store.latest().unwrap(), Some(sorted(checkpoint(0, 200))));
    store.save(&checkpoint(0, 150)).unwrap();
    assert_eq!(store.names().unwrap(), ["step-000-0000000100", "step-000-0000000150"]);
}

#[test]
fn when_all_are_damaged_the_newest_is_named() {
    let (_folder, store) = store(2);
    for step in [100, 200] {
        store.save(&checkpoint(0, step)).unwrap();
        fs::write(store.folder.join(format!("step-000-0000000{step}/{STATE}")), b"short").unwrap();
    }
    let error = store.latest().unwrap_err().to_string();
    assert!(error.contains("step-000-0000000200/state.safetensors: ends at byte 5, expected "), "{error}");
}

#[test]
fn a_full_disk_at_any_byte_keeps_the_last_checkpoint() {
    let (_folder, mut store) = store(1);
    store.save(&checkpoint(0, 100)).unwrap();
    let before = bytes(&store);
    let size: usize = before.values().map(Vec::len).sum();
    let left = Arc::new(AtomicUsize::new(0));
    store.disk = Box::new(FullDisk { left: left.clone() });
    for room in (0..size).step_by(13).chain([size - 1]) {
        left.store(room, Ordering::Relaxed);
        let error = store.save(&checkpoint(0, 200)).unwrap_err();
        assert_eq!(error.exit_status(), 1);
        assert!(error.to_string().starts_with("cannot save the checkpoint "), "{error}");
        assert_eq!(bytes(&store), before);
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1);
    }
    left.store(size + 100, Ordering::Relaxed);
    store.save(&checkpoint(0, 200)).unwrap();
    assert_eq!(store.names().unwrap(), ["step-000-0000000200"]);
}

#[test]
fn another_config_is_refused() {
    let checkpoint = checkpoint(0, 100);
    checkpoint.expect_config("name = \"x\"").unwrap();
    let error = checkpoint.expect_config("name = \"y\"").unwrap_err();
    assert_eq!(error.exit_status(), 2);
    assert!(error.to_string().contains("another config"), "{error}");
}

#[test]
fn tensors_that_do_not_fit_their_shape_or_share_a_name_are_refused() {
    let (_folder, store) = store(2);
    let mut wrong = checkpoint(0, 100);
    wrong.tensors[0].2 = vec![5, 5];
    assert!(store.save(&wrong).unwrap_err().to_string().contains("`student/fc.weight`"));
    let mut twice = checkpoint(0, 100);
    let copy = twice.tensors[0].clone();
    twice.tensors.push(copy);
    assert!(store.save(&twice).unwrap_err().to_string().contains("two tensors"));
    assert_eq!(store.latest().unwrap(), None);
}

/// A run in a process of its own: from its newest checkpoint on, a line and a checkpoint per step, until it is killed.
fn run_until_killed(folder: &Path) -> ! {
    let store = CheckpointStore::open(&folder.join("checkpoints"), 2).unwrap();
    let mut log = LineLog::open(&folder.join("metrics.jsonl")).unwrap();
    let cursor = store.latest().unwrap().map(|checkpoint| checkpoint.cursor);
    log.truncate_to(cursor.as_ref().map_or(0, |cursor| cursor.metrics_length)).unwrap();
    for step in cursor.map_or(0, |cursor| cursor.step + 1).. {
        log.append(&BTreeMap::from([("step", step)])).unwrap();
        let mut checkpoint = checkpoint(0, step);
        checkpoint.cursor.metrics_length = log.sync().unwrap();
        store.save(&checkpoint).unwrap();
    }
    unreachable!("there are more steps than time")
}

#[test]
fn a_process_killed_at_any_moment_goes_on_from_a_whole_checkpoint() {
    const FOLDER: &str = "KD_ENGINE_TEST_RUN_UNTIL_KILLED";
    if let Some(folder) = std::env::var_os(FOLDER) {
        run_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let this = "train::checkpoint::tests::a_process_killed_at_any_moment_goes_on_from_a_whole_checkpoint";
    let store = CheckpointStore::open(&folder.path().join("checkpoints"), 2).unwrap();
    let mut newest = 0;
    for round in 0..15u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this])
            .env(FOLDER, folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Time to come past the start, then a different moment of a step in every round.
        let before = newest;
        while store.latest().ok().flatten().is_none_or(|checkpoint| checkpoint.cursor.step <= before) {
            std::thread::sleep(std::time::Duration::from_millis(1));
            assert!(child.try_wait().unwrap().is_none(), "the run ended by itself in round {round}");
        }
        std::thread::sleep(std::time::Duration::from_micros(round * 611 % 5000));
        child.kill().unwrap();
        child.wait().unwrap();

        let cursor = store.latest().unwrap().unwrap().cursor;
        assert!(cursor.step > before, "round {round}: step {} after step {before}", cursor.step);
        newest = cursor.step;
        assert!(store.names().unwrap().iter().all(|name| read(&store.folder.join(name)).is_ok()), "round {round}");
        let lines = fs::read(folder.path().join("metrics.jsonl")).unwrap();
        let expected: String = (0..=newest).map(|step| format!("{{\"step\":{step}}}\n")).collect();
        assert_eq!(cursor.metrics_length, expected.len() as u64);
        assert!(lines.starts_with(expected.as_bytes()), "round {round}: the log up to the checkpoint");
    }
}
