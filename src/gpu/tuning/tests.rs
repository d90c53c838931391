//! What is kept: by GPU and kernels, whole, whatever else writes there.

use std::fs;
use std::path::Path;

use super::*;

fn choices(pairs: &[(&str, &str)]) -> Choices {
    let mut choices = Choices::default();
    pairs.iter().for_each(|(key, name)| choices.insert(*key, *name));
    choices
}

fn open(folder: &Path) -> Cache {
    Cache::open(Some(folder), "GPU of a test / 2", (9, 0), 17)
}

/// The file in `folder`, beside the lock.
fn file(folder: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn choices_are_read_back_and_belong_to_a_gpu_and_its_kernels() {
    let folder = tempfile::tempdir().unwrap();
    let folder = &folder.path().join("made/when/needed");
    let cache = open(folder);
    assert_eq!(cache.get("conv \"a\""), None);
    assert_eq!(cache.add(&choices(&[("conv \"a\"", "128x64"), ("b", "x, 3 chunks")])).len(), 2);
    assert_eq!(cache.get("b").as_deref(), Some("x, 3 chunks"));
    let again = open(folder);
    assert_eq!((again.get("conv \"a\"").as_deref(), again.get("c")), (Some("128x64"), None));
    // Another GPU, another compute capability, other kernels.
    for (name, capability, kernels) in [("GPU", (9, 0), 17), ("GPU of a test / 2", (8, 0), 17), ("GPU", (9, 0), 18)] {
        assert_eq!(Cache::open(Some(folder), name, capability, kernels).get("b"), None);
    }
    // Names that become the same file are told apart by what is in it.
    assert_eq!(Cache::open(Some(folder), "GPU-of-a-test---2", (9, 0), 17).get("b"), None);
    // Without a folder they are forgotten.
    let cache = Cache::open(None, "GPU", (9, 0), 17);
    cache.add(&choices(&[("a", "x")]));
    assert_eq!(cache.get("a").as_deref(), Some("x"));
    assert_eq!(Cache::open(None, "GPU", (9, 0), 17).get("a"), None);
}

#[test]
fn a_damaged_file_is_as_good_as_none_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).add(&choices(&[("a", "x"), ("b", "y")]));
    let path = file(folder.path());
    let whole = fs::read_to_string(&path).unwrap();
    let cut = &whole[..whole.len() - 3];
    for damaged in ["", "\0\0\0", cut, &whole.replace("kd-tuning/1", "kd-tuning/2"), &whole.replace("kernels", "?")] {
        fs::write(&path, damaged).unwrap();
        let cache = open(folder.path());
        assert_eq!(cache.get("a"), None, "{damaged}");
        cache.add(&choices(&[("a", "x"), ("b", "y")]));
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }
    fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(open(folder.path()).get("a"), None);
}

#[test]
fn runs_at_once_lose_nothing_and_agree() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (open(folder.path()), open(folder.path()));
    assert_eq!(first.add(&choices(&[("a", "x"), ("b", "x")])), choices(&[("a", "x"), ("b", "x")]));
    // The second one has measured `b` as well, and takes what is there already.
    assert_eq!(second.add(&choices(&[("b", "y"), ("c", "y")])), choices(&[("b", "x"), ("c", "y")]));
    let third = open(folder.path());
    assert_eq!(["a", "b", "c"].map(|key| third.get(key).unwrap()), ["x", "x", "y"]);
    // What one of them knew and found unusable it may replace.
    assert_eq!(third.add(&choices(&[("a", "z")])), choices(&[("a", "z")]));
    assert_eq!(open(folder.path()).get("a").as_deref(), Some("z"));

    std::thread::scope(|scope| {
        for number in 0..8 {
            let add = move |folder: &Path| open(folder).add(&choices(&[(&format!("key {number}"), "x")]));
            let folder = folder.path();
            scope.spawn(move || add(folder));
        }
    });
    let last = open(folder.path());
    assert!((0..8).all(|number| last.get(&format!("key {number}")).is_some()));
    assert_eq!(file(folder.path()).parent(), Some(folder.path()));
}

#[test]
fn a_piece_of_work_keeps_its_own_choices() {
    let names = ["x", "y"].map(String::from);
    let cache = Cache::open(None, "GPU", (9, 0), 17);
    cache.add(&choices(&[("a", "x"), ("b", "gone")]));
    let tuning = Tuning::measured(cache);
    assert_eq!(tuning.known("a", &names).as_deref(), Some("x"));
    assert_eq!(tuning.known("b", &names), None, "a name that no variant has");
    let resumed = tuning.taken_up(Some(choices(&[("a", "y")])));
    assert_eq!(resumed.known("a", &names).as_deref(), Some("y"));
    assert_eq!((resumed.made(), tuning.made()), (choices(&[("a", "y")]), Choices::default()));
    // What plans that are never run take is not remembered.
    resumed.as_known().make(&choices(&[("c", "x")]));
    assert_eq!(resumed.made(), choices(&[("a", "y")]));
    assert!(resumed.measures() && !resumed.as_known().measures());
    // A run that was begun by rules of thumb goes on by them.
    assert!(resumed.taken_up(None).is_off());
    // Without a cache, the choices that were made before count all the same.
    let off = Tuning::default().taken_up(Some(choices(&[("a", "y")])));
    assert!(!off.is_off() && !off.measures());
    assert_eq!(off.known("a", &names).as_deref(), Some("y"));
}

#[test]
fn the_choices_of_a_file_are_taken_and_nothing_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.toml");
    assert!(Tuning::of_file(&path).unwrap_err().to_string().starts_with("KD_TUNING is"));
    for made_on in [None, Some("GPU")] {
        fs::write(&path, choices(&[("a", "y")]).to_toml(made_on)).unwrap();
        let tuning = Tuning::of_file(&path).unwrap().taken_up(Some(Choices::default()));
        assert_eq!(tuning.known("a", &["x".into(), "y".into()]).as_deref(), Some("y"));
        assert!(!tuning.measures() && tuning.made().is_empty());
    }
    fs::write(&path, "name = \"school\"").unwrap();
    let error = Tuning::of_file(&path).unwrap_err();
    assert_eq!(error.exit_status(), 2, "{error}");
}
