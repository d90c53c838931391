//! `ARCHITECTURE.md` leads a newcomer through the tree: where it points there has to be something.

use std::path::Path;

/// Every word in backquotes with a slash in it is a path from the repository's root.
#[test]
fn every_path_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let paths: Vec<&str> = quoted.filter(|word| word.contains('/') && !word.contains(' ')).collect();
    assert!(paths.len() > 60, "only {} paths were found", paths.len());
    let missing = |path: &&str| match path.strip_suffix('/') {
        Some(folder) => !root.join(folder).is_dir(),
        None => !root.join(path).is_file(),
    };
    let missing: Vec<&str> = paths.into_iter().filter(missing).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
}
